-- complete: move jobs to completed and store their results.
-- KEYS  tag
-- ARGV  worker
-- ITEM  id token result begun_ago
-- REPLY one word per item: OK, LEASE_LOST or NOT_FOUND
-- FLAGS allow-oom
-- A job that began and ended within one flush is still claimed here: it passes through in_progress first (pass_through).
local reply = {}
for i = 1, ITEMS do
  local id, token, result, begun_ago = item(i)
  local job, word = held_in_brief(id, token, worker, 'complete')
  if job then
    pass_through(job, begun_ago == '' and 0 or begun_ago) -- what has a result has begun
    let_go(job)
    local backstop = finish(job, 'completed', 'complete')
    direct('SET', T .. ':result:' .. id, result, 'PX', backstop)
  end
  reply[i] = word or 'OK'
end
commit(worker)
return reply
