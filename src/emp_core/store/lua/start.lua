-- start: say that the handlers of claimed jobs are about to be called.
-- KEYS  tag
-- ARGV  worker
-- ITEM  id token
-- REPLY one word per item: OK, LEASE_LOST or NOT_FOUND
-- FLAGS allow-oom
local reply = {}
for i = 1, ITEMS do
  local id, token = item(i)
  local job, word = held(id, token, worker, 'start')
  if job and job.state == 'claimed' then
    call('HSET', T .. ':job:' .. id, 'state', 'in_progress', 'started_at', int(NOW))
    move(job, 'in_progress')
    update(job, 'in_progress')
  end
  reply[i] = word or 'OK'
end
commit()
return reply
