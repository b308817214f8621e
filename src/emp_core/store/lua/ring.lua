-- ring: ring a type's doorbell for another worker; whoever took a ring and has no room for the type gives it back so.
-- KEYS  tag
-- ARGV  job_type
-- REPLY OK
-- FLAGS allow-oom
if call('EXISTS', T .. ':pending:' .. job_type) == 1 then ring(job_type) end
commit()
return 'OK'
