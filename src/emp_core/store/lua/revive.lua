-- revive: let failed or cancelled jobs run again in a new round, because a person wants it.
-- KEYS  tag
-- ITEM  id
-- REPLY one word per item: OK, CONFLICT or NOT_FOUND
-- FLAGS
-- Attempts and losses begin at 0, the expiry is cleared, the history stays, the token goes on.
local reply = {}
for i = 1, ITEMS do
  local id = item(i)
  local job = load(id)
  local payload = T .. ':payload:' .. id
  if not job then
    reply[i] = 'NOT_FOUND'
  elseif not (job.state == 'failed' or job.state == 'cancelled') or call('EXISTS', payload) == 0 then
    reply[i] = 'CONFLICT'
  else
    local key = T .. ':job:' .. id
    -- Without a worker the job ended while it waited, and its attempts are all kept already.
    if job.worker then
      local lost = job.reason == 'worker_lost' or job.reason == 'poisoned'
      keep_attempt(job, lost and 'lost' or job.state, job.reason, text_of('error', id) or 'null')
    end
    zrem(T .. ':finished:' .. job.state, id)
    zrem(T .. ':finished:' .. job.state .. ':' .. job.type, id)
    zrem(T .. ':retained', id)
    call('DEL', T .. ':error:' .. id)
    for _, kept in ipairs({key, payload, T .. ':attempts:' .. id, T .. ':log:' .. id}) do call('PERSIST', kept) end
    call('HDEL', key, 'worker', 'claimed_at', 'started_at', 'finished_at', 'progress', 'message', 'reason', 'losses',
      'suspect', 'place', 'refusals', 'releases', 'expires_at', 'run_at', 'cancel_at', 'cancel_by', 'cancel_why', 'settled',
      'plugin')
    job.round = int((tonumber(job.round) or 1) + 1)
    call('HSET', key, 'state', 'pending', 'attempt', '0', 'round', job.round)
    job.progress, job.message, job.attempt = nil, nil, '0'
    -- The totals of final states only grow, so this is no move() between counters.
    count('pending', job.type, 1)
    count('revived', job.type, 1)
    job.state = 'pending'
    enter_line(job)
    reply[i] = 'OK'
  end
end
commit()
return reply
