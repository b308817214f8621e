-- sweep: take the janitor's turn, and say which of its duties have work.
-- KEYS  tag
-- ARGV  pause gap
-- REPLY 1 if it is our turn, else 0; then 1 or 0 for each of promote, expire, recover and retain; how many records were ever
-- REPLY set aside, and how many other keys repaired
-- FLAGS allow-oom
-- One process at a time sweeps a partition. Time in which nobody swept does not count: after a gap, or when the clock went
-- back, every lease looks old although its worker lives, so recover then waits for one lease.
local known = call('HMGET', T .. ':sweep', 'at', 'set_aside', 'repaired')
local last, aside, repaired = tonumber(known[1]), tonumber(known[2]) or 0, tonumber(known[3]) or 0
if last and NOW >= last and NOW - last < tonumber(pause) then return {0, 0, 0, 0, 0, aside, repaired} end
if not last or NOW < last or NOW - last > tonumber(gap) then
  call('HSET', T .. ':sweep', 'at', int(NOW), 'hold_until', int(NOW + LEASE))
else
  call('HSET', T .. ':sweep', 'at', int(NOW))
end
local function is_due(key)
  local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return head[2] and tonumber(head[2]) <= NOW and 1 or 0
end
-- A deadline further ahead than one lease was given by a clock that has gone back since.
local far = call('ZREVRANGEBYSCORE', T .. ':workers', '+inf', '(' .. int(NOW + LEASE), 'LIMIT', 0, 200)
for _, worker in ipairs(far) do call('ZADD', T .. ':workers', int(NOW + LEASE), worker) end
return {1, is_due(T .. ':scheduled'), is_due(T .. ':expiring'), is_due(T .. ':workers'), is_due(T .. ':retained'), aside,
  repaired}
