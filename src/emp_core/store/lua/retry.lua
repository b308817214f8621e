-- retry: end attempts that failed and schedule the next ones.
-- KEYS  tag
-- ARGV  worker
-- ITEM  id token reason error delay begun_ago loss
-- REPLY one word per item: OK, LEASE_LOST or NOT_FOUND
-- FLAGS allow-oom
-- With a loss the handler's process died of its own, and not with its worker.
local reply = {}
for i = 1, ITEMS do
  local id, token, reason, error, delay, begun_ago, loss = item(i)
  local job, word = held(id, token, worker, 'retry')
  if job then
    pass_through(job, begun_ago)
    let_go(job)
    if not honour_cancel(job, 'retry') then
      if loss ~= '' then charge_loss(job) end
      keep_attempt(job, 'retry', reason, error)
      call('HSET', T .. ':job:' .. id, 'state', 'scheduled', 'settled', 'retry')
      forget_attempt(job)
      move(job, 'scheduled')
      count('retried', job.type, 1)
      wait_until(job, NOW + tonumber(delay))
    end
  end
  reply[i] = word or 'OK'
end
commit(worker)
return reply
