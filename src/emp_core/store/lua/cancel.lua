-- cancel: call jobs off; a waiting one at once, a running one by asking its worker, who confirms with the token.
-- KEYS  tag
-- ARGV  worker
-- ITEM  id token by why begun_ago
-- REPLY one word per item: CANCELLED, ASKED, FINAL or NOT_FOUND; to a confirmation OK, LEASE_LOST or NOT_FOUND
-- FLAGS allow-oom
-- The token and the worker are empty in a request. The request is kept with the job: it never runs again.
local waiting_in = {pending = true, scheduled = true}
local function ask(id, by, why)
  local job = load(id)
  if not job then return 'NOT_FOUND' end
  if waiting_in[job.state] then
    zrem(job.state == 'pending' and T .. ':pending:' .. job.type or T .. ':scheduled', id)
    if job.expires_at then zrem(T .. ':expiring', id) end
    call('HSET', T .. ':job:' .. id, 'cancel_at', int(NOW), 'cancel_by', by, 'cancel_why', why)
    finish(job, 'cancelled', 'cancel')
    return 'CANCELLED'
  end
  if not is_running(job) then return 'FINAL' end
  if not job.cancel_at then
    call('HSET', T .. ':job:' .. id, 'cancel_at', int(NOW), 'cancel_by', by, 'cancel_why', why)
    call('SADD', T .. ':asked:' .. job.worker, id)
    update(job, job.state)
  end
  ring_bell(T .. ':bell:' .. job.worker)
  return 'ASKED'
end

local reply = {}
for i = 1, ITEMS do
  local id, token, by, why, begun_ago = item(i)
  if token == '' then
    reply[i] = ask(id, by, why)
  else
    local job, word = held(id, token, worker, 'cancel')
    if job and not job.cancel_at then job, word = nil, 'LEASE_LOST' end
    if job then
      pass_through(job, begun_ago)
      let_go(job)
      finish(job, 'cancelled', 'cancel')
    end
    reply[i] = word or 'OK'
  end
end
commit(worker ~= '' and worker)
return reply
