-- retain: delete final jobs whose retention is over, with everything that is theirs.
-- KEYS  tag
-- ARGV  limit
-- REPLY how many were deleted; at the limit the caller calls again
-- FLAGS allow-oom
local over = call('ZRANGEBYSCORE', T .. ':retained', '-inf', int(NOW), 'LIMIT', 0, tonumber(limit))
local function delete(id, job)
  zrem(T .. ':retained', id)
  if job then
    zrem(T .. ':finished:' .. job.state, id)
    zrem(T .. ':finished:' .. job.state .. ':' .. job.type, id)
    for tag in string.gmatch(job.tags or '', '[^\n]+') do zrem(T .. ':tag:' .. tag, id) end
  end
  call('UNLINK', T .. ':job:' .. id, T .. ':payload:' .. id, T .. ':result:' .. id, T .. ':error:' .. id,
    T .. ':attempts:' .. id, T .. ':log:' .. id)
end
for _, id in ipairs(over) do
  local job = load(id)
  local kept_until = job and job.finished_at and job.finished_at + (tonumber(job.retention) or RETENTION[job.state] or 0)
  if kept_until and kept_until > NOW then
    zadd(T .. ':retained', int(kept_until), id) -- its score was damaged
  else
    delete(id, job)
  end
end
commit()
return #over
