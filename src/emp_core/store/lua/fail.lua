-- fail: end jobs without a result.
-- KEYS  tag
-- ARGV  worker
-- ITEM  id token reason error begun_ago loss
-- REPLY one word per item: OK, LEASE_LOST or NOT_FOUND
-- FLAGS allow-oom
-- With a loss the handler's process died of its own, and not with its worker.
local reply = {}
for i = 1, ITEMS do
  local id, token, reason, error, begun_ago, loss = item(i)
  local job, word = held(id, token, worker, 'fail')
  if job then
    pass_through(job, begun_ago)
    let_go(job)
    if not honour_cancel(job, 'fail') then
      if loss ~= '' then charge_loss(job) end
      finish_with_error(job, 'failed', 'fail', reason, error)
    end
  end
  reply[i] = word or 'OK'
end
commit(worker)
return reply
