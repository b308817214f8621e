-- save: keep the handles by which running handlers find work that they have begun elsewhere.
-- KEYS  tag
-- ARGV  worker
-- ITEM  id token handle
-- REPLY one word per item: OK, LEASE_LOST or NOT_FOUND
-- FLAGS allow-oom
-- A handle is JSON text that nobody reads here; an empty one takes away what was. It outlives the attempt, and revive.
local reply = {}
for i = 1, ITEMS do
  local id, token, handle = item(i)
  local job, word = held(id, token, worker, 'save')
  if job then
    if handle == '' then
      call('HDEL', T .. ':job:' .. id, 'handle')
    else
      call('HSET', T .. ':job:' .. id, 'handle', handle)
    end
  end
  reply[i] = word or 'OK'
end
commit()
return reply
