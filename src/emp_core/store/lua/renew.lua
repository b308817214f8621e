-- renew: keep a worker's lease, and with it all its claims.
-- KEYS  tag
-- ARGV  worker lag troubles drains
-- REPLY OK or LOST; the epoch; the number of jobs it holds; 1 if it shall drain, else 0; then the ids it is asked to cancel
-- FLAGS allow-oom
-- A renewal under an id without a lease is answered LOST and creates nothing. `troubles` is JSON that only readers of the store
-- look into; `drains` is 1 from a worker that stops of itself.
local key = T .. ':worker:' .. worker
local born = call('GET', T .. ':epoch') or ''
if not call('ZSCORE', T .. ':workers', worker) or call('HEXISTS', key, 'lost') == 1 then return {'LOST', born, '0', '0'} end
call('ZADD', T .. ':workers', 'XX', int(NOW + LEASE), worker)
call('HSET', key, 'renewed_at', int(NOW), 'lag', lag, 'troubles', troubles)
if drains == '1' and call('HSETNX', key, 'draining', '1') == 1 then announce_worker(worker, 'draining') end
local reply = {'OK', born, int(call('SCARD', T .. ':held:' .. worker)), call('HGET', key, 'draining') or '0'}
for _, id in ipairs(call('SRANDMEMBER', T .. ':asked:' .. worker, 200)) do reply[#reply + 1] = id end
commit()
return reply
