-- register: give a worker its lease; nothing else creates one.
-- KEYS  tag
-- ARGV  worker info epoch
-- REPLY OK or LOST; the epoch of the store; the length of a lease in milliseconds
-- FLAGS allow-oom
-- `confirms` says that the worker calls the handler of a job with a mark or a loss only when the store has its start (see
-- recover). `info` is a JSON object that only readers of the store look into. `epoch` is taken if the store has none yet, with the
-- time before it: an epoch is the Unix milliseconds of the store's birth, a dash and chance.
local key = T .. ':worker:' .. worker
call('SET', T .. ':epoch', NOW_TEXT .. '-' .. epoch, 'NX')
local born = call('GET', T .. ':epoch')
if call('HEXISTS', key, 'lost') == 1 then return {'LOST', born, int(LEASE)} end
call('ZADD', T .. ':workers', int(NOW + LEASE), worker)
call('HSET', key, 'info', info, 'renewed_at', int(NOW), 'confirms', '1')
call('HSETNX', key, 'started_at', int(NOW))
announce_worker(worker, 'idle')
commit()
return {'OK', born, int(LEASE)}
