-- oldest: say since when the longest-waiting pending job of each type waits.
-- KEYS  tag
-- ITEM  job_type
-- REPLY Unix milliseconds per item, or an empty string
-- FLAGS no-writes allow-oom
-- A line is ordered by priority, then sequence: the head of each priority is that priority's oldest.
local reply = {}
for i = 1, ITEMS do
  local job_type = item(i)
  local from, oldest = '-inf', nil
  for _ = 1, 50 do
    local head = call('ZRANGEBYSCORE', T .. ':pending:' .. job_type, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not head[1] then break end
    local created = tonumber((call('HGET', T .. ':job:' .. head[1], 'created_at')))
    if created and (not oldest or created < oldest) then oldest = created end
    from = int((floor(tonumber(head[2]) / SEQUENCE_ROOM) + 1) * SEQUENCE_ROOM)
  end
  reply[i] = oldest and int(oldest) or ''
end
return reply
