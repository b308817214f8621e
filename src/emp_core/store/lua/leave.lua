-- leave: end a worker's lease, because it stops or because its supervisor saw it die.
-- KEYS  tag
-- ARGV  worker reason
-- REPLY LEFT; LOST if it still held jobs, which recover may take at once; NOT_FOUND
-- FLAGS allow-oom
local key = T .. ':worker:' .. worker
if not call('ZSCORE', T .. ':workers', worker) then return 'NOT_FOUND' end
if call('EXISTS', T .. ':held:' .. worker) == 1 then
  if call('HSETNX', key, 'lost', reason) == 1 then announce_worker(worker, 'lost') end
  call('ZADD', T .. ':workers', 0, worker)
  commit()
  return 'LOST'
end
forget_worker(worker, 'left', reason)
announce_worker(worker, 'left')
commit()
return 'LEFT'
