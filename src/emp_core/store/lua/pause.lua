-- pause: let no job of a type be claimed, or let them be claimed again.
-- KEYS  tag
-- ARGV  job_type paused
-- REPLY OK
-- FLAGS allow-oom
-- The set stands in the partition, since the claim and every ring must see it in their own script.
if paused == '1' then
  call('SADD', T .. ':paused', job_type)
  call('DEL', T .. ':wake:' .. job_type)
else
  call('SREM', T .. ':paused', job_type)
  if call('EXISTS', T .. ':pending:' .. job_type) == 1 then ring(job_type) end
end
commit()
return 'OK'
