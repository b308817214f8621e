-- release: give jobs back; their attempts are not charged.
-- KEYS  tag
-- ARGV  worker
-- ITEM  id token delay begun_ago
-- REPLY one word per item: OK, LEASE_LOST or NOT_FOUND
-- FLAGS allow-oom
-- Without a delay the job waits in its old place. With one it was refused by this worker's version of the job type, which
-- is counted, and it waits that long.
local reply = {}
for i = 1, ITEMS do
  local id, token, delay, begun_ago = item(i)
  local job, word = held(id, token, worker, 'release')
  if job then
    pass_through(job, begun_ago)
    let_go(job)
    if not honour_cancel(job, 'release') then
      local state = delay == '' and 'pending' or 'scheduled'
      keep_attempt(job, 'released', '')
      call('HSET', T .. ':job:' .. id, 'state', state, 'settled', 'release', 'attempt', int(job.attempt - 1))
      call('HINCRBY', T .. ':job:' .. id, delay == '' and 'releases' or 'refusals', 1)
      forget_attempt(job)
      move(job, state)
      if delay == '' then enter_line(job) else wait_until(job, NOW + tonumber(delay)) end
    end
  end
  reply[i] = word or 'OK'
end
commit(worker)
return reply
