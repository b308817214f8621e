-- register: give a worker its lease; nothing else creates one.
-- KEYS  tag
-- ARGV  worker info epoch
-- REPLY OK or LOST; the epoch of the store; the length of a lease in milliseconds
-- FLAGS allow-oom
-- `info` is a JSON object that only readers of the store look into.
local key = T .. ':worker:' .. worker
local born = set_epoch(epoch)
if call('HEXISTS', key, 'lost') == 1 then return {'LOST', born, int(LEASE)} end
call('ZADD', T .. ':workers', int(NOW + LEASE), worker)
call('HSET', key, 'info', info, 'renewed_at', int(NOW))
call('HSETNX', key, 'started_at', int(NOW))
announce_worker(worker, 'idle')
commit()
return {'OK', born, int(LEASE)}
