-- complete: move jobs to completed and store their results.
-- KEYS  tag
-- ARGV  worker
-- ITEM  id token result
-- REPLY one word per item: OK, LEASE_LOST or NOT_FOUND
-- FLAGS allow-oom
-- A job that began and ended within one flush is still claimed here: it passes through in_progress first.
local reply = {}
for i = 1, ITEMS do
  local id, token, result = item(i)
  local job, word = held_in_brief(id, token, worker, 'complete')
  if job then
    if job.state == 'claimed' then
      job.started_at, job.begins_now = NOW_TEXT, true
      update(job, 'in_progress')
    end
    let_go(job)
    local backstop = finish(job, 'completed', 'complete')
    call('SET', T .. ':result:' .. id, result, 'PX', backstop)
  end
  reply[i] = word or 'OK'
end
commit(worker)
return reply
