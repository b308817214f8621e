-- start: record that the handlers of claimed jobs have been called, `begun_ago` milliseconds ago, and where.
-- KEYS  tag
-- ARGV  worker
-- ITEM  id token begun_ago place
-- REPLY one word per item: OK, LEASE_LOST or NOT_FOUND
-- FLAGS allow-oom
-- A place is empty for a handler in the worker's own process, or `child`: recover charges no loss to such a job.
local reply = {}
for i = 1, ITEMS do
  local id, token, begun_ago, place = item(i)
  local job, word = held(id, token, worker, 'start')
  if job and job.state == 'claimed' then
    call('HSET', T .. ':job:' .. id, 'state', 'in_progress', 'started_at', int(NOW - begun_ago))
    if place ~= '' then call('HSET', T .. ':job:' .. id, 'place', place) end
    move(job, 'in_progress')
    update(job, 'in_progress')
  end
  reply[i] = word or 'OK'
end
commit()
return reply
