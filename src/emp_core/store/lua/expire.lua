-- expire: fail jobs that no worker claimed in time.
-- KEYS  tag
-- ARGV  limit
-- REPLY how many were looked at; at the limit the caller calls again
-- FLAGS allow-oom
local late = call('ZRANGEBYSCORE', T .. ':expiring', '-inf', int(NOW), 'LIMIT', 0, tonumber(limit))
for _, id in ipairs(late) do
  local job, why = load(id)
  if not job or not (job.state == 'pending' or job.state == 'scheduled') then
    set_aside(T .. ':expiring', id, why or 'not a waiting job')
  elseif job.expires_at and tonumber(job.expires_at) > NOW then
    zadd(T .. ':expiring', job.expires_at, id) -- its score was damaged
  else
    zrem(job.state == 'pending' and T .. ':pending:' .. job.type or T .. ':scheduled', id)
    expire_job(job)
  end
end
commit()
return #late
