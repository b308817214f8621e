-- minutes: read what happened in minutes, many in one reply: a day has 1,440.
-- KEYS  tag
-- ITEM  number
-- REPLY name and value after one another, per item
-- FLAGS no-writes allow-oom
local reply = {}
for i = 1, ITEMS do reply[i] = call('HGETALL', T .. ':minute:' .. item(i)) end
return reply
