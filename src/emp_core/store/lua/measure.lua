-- measure: read all that is counted, of one moment, in one reply.
-- KEYS  tag
-- ARGV  worker_limit
-- REPLY the store's clock; the epoch; counts, totals, each name and value after one another; paused types; the ended jobs that are
-- REPLY kept: type, completed, failed, cancelled after one another; how many records were ever set aside; how many workers
-- REPLY there are; then, for each of the first worker_limit of them, its lease deadline, how many jobs it holds, and info, lost, draining, lag, renewed_at
-- FLAGS no-writes allow-oom
local sums = call('HGETALL', T .. ':counts')
local kept, seen = {}, {}
for i = 1, #sums, 2 do
  local state, job_type = string.match(sums[i], '^(%a+):(.+)$')
  if RETENTION[state] and not seen[job_type] then
    seen[job_type] = true
    kept[#kept + 1] = job_type
    for _, final in ipairs({'completed', 'failed', 'cancelled'}) do
      kept[#kept + 1] = call('ZCARD', T .. ':finished:' .. final .. ':' .. job_type)
    end
  end
end
local reply = {NOW_TEXT, call('GET', T .. ':epoch') or '', sums, call('HGETALL', T .. ':totals'),
  call('SMEMBERS', T .. ':paused'), kept, tonumber(call('HGET', T .. ':sweep', 'set_aside') or 0) or 0, call('ZCARD', T .. ':workers')}
local leases = call('ZRANGEBYSCORE', T .. ':workers', '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, tonumber(worker_limit))
for i = 1, #leases, 2 do
  local about = call('HMGET', T .. ':worker:' .. leases[i], 'info', 'lost', 'draining', 'lag', 'renewed_at')
  local row = {leases[i + 1], call('SCARD', T .. ':held:' .. leases[i])}
  for at = 1, 5 do row[at + 2] = about[at] or '' end
  reply[#reply + 1] = row
end
return reply
