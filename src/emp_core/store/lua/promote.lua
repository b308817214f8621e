-- promote: move scheduled jobs that are due into their waiting lines.
-- KEYS  tag
-- ARGV  limit
-- REPLY how many moved; at the limit the caller calls again
-- FLAGS allow-oom
local due = call('ZRANGEBYSCORE', T .. ':scheduled', '-inf', int(NOW), 'LIMIT', 0, tonumber(limit))
for _, id in ipairs(due) do
  local job, why = load(id)
  if not job or job.state ~= 'scheduled' then
    set_aside(T .. ':scheduled', id, why or 'not a scheduled job')
  elseif job.run_at and tonumber(job.run_at) > NOW then
    zadd(T .. ':scheduled', job.run_at, id) -- its score was damaged
  else
    zrem(T .. ':scheduled', id)
    call('HSET', T .. ':job:' .. id, 'state', 'pending')
    move(job, 'pending')
    enter_line(job)
  end
end
commit()
return #due
