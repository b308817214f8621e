-- recover: take the jobs of workers whose lease is over or whose death was reported; they run again or fail.
-- KEYS  tag
-- ARGV  limit
-- REPLY how many jobs were taken; 1 if there is more to do, else 0
-- FLAGS allow-oom
-- A worker is first marked lost, so that its own calls are refused from then on, and forgotten only when it holds nothing.
--
-- A loss is charged to a job whose handler ran in the worker's own process. Starts are written behind, so the handler of a
-- job that is still claimed may have been called: the first time, the attempt counts and the job becomes a suspect. A worker
-- calls the handler of a job with a mark or a loss only when the store has its start. So the second time such a job was not
-- begun, and its attempt does not count.
local hold_until = tonumber(call('HGET', T .. ':sweep', 'hold_until')) or 0
if hold_until > NOW + LEASE then hold_until = 0 end -- damaged: it would be held for ever
local late = call('ZRANGEBYSCORE', T .. ':workers', '-inf', int(NOW), 'LIMIT', 0, 100)
local budget, more, forgotten = tonumber(limit), 0, 0

local function recover_job(job, why)
  let_go(job)
  count('lost', job.type, 1)
  if honour_cancel(job, 'recover') then return end
  local error = '{"message":' .. quote('its worker was lost: ' .. why) .. '}'
  local is_in_doubt = job.suspect or (tonumber(job.losses) or 0) > 0
  local is_claimed = job.state == 'claimed'
  local is_charged = not is_claimed and job.place ~= 'child'
  local is_unbegun = is_claimed and is_in_doubt
  if is_charged then charge_loss(job) end
  if is_charged and tonumber(job.losses) >= LOSSES_UNTIL_POISONED then
    finish_with_error(job, 'failed', 'recover', 'poisoned', error)
  elseif job.on_lost == 'fail' or not is_unbegun and tonumber(job.attempt) >= tonumber(job.max_attempts) then
    finish_with_error(job, 'failed', 'recover', 'worker_lost', error)
  else
    keep_attempt(job, is_unbegun and 'released' or 'lost', 'worker_lost', error)
    call('HSET', T .. ':job:' .. job.id, 'state', 'pending', 'settled', 'recover')
    if is_unbegun then
      call('HSET', T .. ':job:' .. job.id, 'attempt', int(job.attempt - 1))
      call('HINCRBY', T .. ':job:' .. job.id, 'releases', 1)
    elseif is_claimed then
      call('HSET', T .. ':job:' .. job.id, 'suspect', '1')
    end
    forget_attempt(job)
    move(job, 'pending')
    enter_line(job)
  end
end

local taken = 0
for _, worker in ipairs(late) do
  local key = T .. ':worker:' .. worker
  if call('TYPE', key).ok ~= 'hash' then call('DEL', key) end
  local lost = call('HGET', key, 'lost')
  if lost or NOW >= hold_until then
    if not lost then
      lost = 'no sign of life for a lease'
      call('HSET', key, 'lost', lost)
      announce_worker(worker, 'lost')
    end
    -- Marked lost, it is overdue for good: the order of the set then never hides it.
    call('ZADD', T .. ':workers', 0, worker)
    local ids = budget > 0 and call('SRANDMEMBER', T .. ':held:' .. worker, budget) or {}
    for _, id in ipairs(ids) do
      local job = load(id)
      if job and is_running(job) and job.worker == worker then recover_job(job, lost) else
        srem(T .. ':held:' .. worker, id)
        if not job then set_aside(T .. ':running', id, 'its worker was lost, and the job cannot be read') end
      end
    end
    taken, budget = taken + #ids, budget - #ids
    if call('SCARD', T .. ':held:' .. worker) > #ids then
      more = 1
    else
      forget_worker(worker, 'lost', lost)
      forgotten = forgotten + 1
    end
  end
end
-- Only if room was made for others to be seen: in the time after an outage the late ones stay.
if #late == 100 and forgotten > 0 then more = 1 end
commit()
return {taken, more}
