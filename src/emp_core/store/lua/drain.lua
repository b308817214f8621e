-- drain: ask a worker to claim nothing more, finish what it has and leave.
-- KEYS  tag
-- ARGV  worker
-- REPLY OK or NOT_FOUND
-- FLAGS allow-oom
local key = T .. ':worker:' .. worker
if not call('ZSCORE', T .. ':workers', worker) or call('HEXISTS', key, 'lost') == 1 then return 'NOT_FOUND' end
call('HSET', key, 'draining', '1')
ring_bell(T .. ':bell:' .. worker)
announce_worker(worker, 'draining')
commit()
return 'OK'
