-- announce: make job types known, and forget those that nobody announced for a long time.
-- KEYS  tag
-- ARGV  keep_for
-- ITEM  field announcement
-- REPLY OK
-- FLAGS allow-oom
-- FORMAT any
-- The tag is the namespace's, not a partition's, so there is no format here; register, which comes first, has checked it. A value is the Unix milliseconds of the last announcement, a space and JSON.
local kind = call('TYPE', T .. ':types').ok
if kind ~= 'hash' and kind ~= 'none' then call('DEL', T .. ':types') end -- damaged
local known = call('HGETALL', T .. ':types')
for i = 1, #known, 2 do
  local seen = tonumber(string.match(known[i + 1], '^%d+'))
  if not seen or NOW - seen > tonumber(keep_for) then call('HDEL', T .. ':types', known[i]) end
end
for i = 1, ITEMS do
  local field, announcement = item(i)
  call('HSET', T .. ':types', field, int(NOW) .. ' ' .. announcement)
end
return 'OK'
