-- claim: give a worker the most urgent waiting jobs of the types it has room for.
-- KEYS  tag
-- ARGV  worker number total nonce byte_limit
-- ITEM  job_type room pool pool_room plugin
-- REPLY word; milliseconds until the next scheduled job is due, or -1; 1 if claimable jobs stay behind; then two words per
-- REPLY job: its payload, and with \31 between them id type token attempt max_attempts priority losses suspect digest refusals
-- REPLY timeout progress_timeout backoff on_lost trace handle
-- FLAGS allow-oom
-- Types may share a pool of slots: a pool's room bounds all its types together.
-- Words: OK; LOST (no lease: register under a new id), LATE (the lease is overdue: renew first), DRAINING, OLD (a lower
-- number than the last one): these take nothing. The last number again is answered with the same jobs: an answer that was
-- lost must not strand them with a worker that does not know them.
local worker_key, held_key, running_key = T .. ':worker:' .. worker, T .. ':held:' .. worker, T .. ':running'
local lease = call('ZSCORE', T .. ':workers', worker)
local known = call('HMGET', worker_key, 'lost', 'draining', 'claim', 'claim_ids')
if not lease or known[1] then return {'LOST', '-1', '0'} end
local last = tonumber(known[3]) or 0
if last > SEQUENCE_ROOM then last = 0 end -- damaged: no claim would ever have a higher one
if tonumber(number) < last then return {'OLD', '-1', '0'} end

total, byte_limit = tonumber(total), tonumber(byte_limit)
local reply = {'OK', '-1', '0'}
local words = 3
local function give(job, payload)
  reply[words + 1] = payload
  reply[words + 2] = job.id .. '\31' .. job.type .. '\31' .. job.token .. '\31' .. job.attempt .. '\31' .. job.max_attempts
    .. '\31' .. job.priority .. '\31' .. (job.losses or '0') .. '\31' .. (job.suspect or '')
    .. '\31' .. (job.digest or '') .. '\31' .. (job.refusals or '0')
    .. '\31' .. (job.timeout or '') .. '\31' .. (job.progress_timeout or '') .. '\31' .. (job.backoff or '')
    .. '\31' .. (job.on_lost or '') .. '\31' .. (job.trace or '') .. '\31' .. (job.handle or '')
  words = words + 2
end

if tonumber(number) == last then
  for id in string.gmatch(known[4] or '', '%S+') do
    local job = load(id)
    local payload = job and text_of('payload', id)
    if payload and job.worker == worker and job.state == 'claimed' then give(job, payload) end
  end
  return reply
end
if known[2] then return {'DRAINING', '-1', '0'} end
if tonumber(lease) < NOW then return {'LATE', '-1', '0'} end

-- One cursor per type over the head of its waiting line; the most urgent head of all is taken next.
local lines, pools = {}, {}
-- At least one: ZRANGE from 0 to -1 would give a whole line.
local step = ITEMS > 4 and math.ceil(total / ITEMS) + 8 or math.max(1, total)
local function refill(line)
  line.heads = call('ZRANGE', line.key, line.seen, line.seen + step - 1, 'WITHSCORES')
  line.seen = line.seen + #line.heads / 2
  line.at = 1
  line.payloads = {}
end
-- Payloads are read ahead, as one call for many costs a fraction of many calls, while they are small.
local ahead, SMALL = 1, 65536
local taken, bytes, ids = 0, 0, {}
local function payload_of(line)
  if line.payloads[line.at] == nil then
    local keys, size = {}, 0
    local last = math.min(line.at + 2 * (math.min(ahead, total - taken) - 1), #line.heads - 1)
    for at = line.at, last, 2 do keys[#keys + 1] = T .. ':payload:' .. line.heads[at] end
    for i, text in ipairs(direct('MGET', unpack(keys))) do
      line.payloads[line.at + 2 * (i - 1)] = text
      size = size + (text and #text or 0)
    end
    ahead = size <= SMALL and 16 or 1
  end
  return line.payloads[line.at]
end
for i = 1, ITEMS do
  local job_type, room, pool, pool_room, plugin = item(i)
  pools[pool] = tonumber(pool_room)
  if not is_paused(job_type) then
    local line = {type = job_type, room = tonumber(room), pool = pool, plugin = plugin, key = T .. ':pending:' .. job_type,
      seen = 0, gone = 0}
    refill(line)
    if #line.heads > 0 then lines[#lines + 1] = line end
  end
end
local function most_urgent()
  if #lines == 1 then
    local line = lines[1]
    if line.room <= 0 or pools[line.pool] <= 0 then return nil end
    if line.at > #line.heads and #line.heads > 0 then refill(line) end
    return line.heads[line.at] and line
  end
  local best, best_score
  for _, line in ipairs(lines) do
    local has_room = line.room > 0 and pools[line.pool] > 0
    if has_room and line.at > #line.heads and #line.heads > 0 then refill(line) end
    local head = has_room and line.heads[line.at]
    if head then
      local score = tonumber(line.heads[line.at + 1])
      if not best or score < best_score then best, best_score = line, score end
    end
  end
  return best
end

local first_token = '1-' .. nonce
local examined, bound = 0, total + 100
local taken_last
while taken < total and examined < bound do
  local line = most_urgent()
  if not line then break end
  local id = line.heads[line.at]
  local job, why = load(id)
  examined = examined + 1
  local payload = job and payload_of(line)
  if not job or job.state ~= 'pending' or job.type ~= line.type then
    set_aside(line.key, id, why or 'not a pending job of this type')
    line.seen = line.seen - 1
  elseif not payload then
    set_aside(line.key, id, 'the payload is gone')
    line.seen = line.seen - 1
    if job.expires_at then zrem(T .. ':expiring', id) end
    finish_with_error(job, 'failed', 'claim', 'error', '{"message":"its payload is gone from the store"}')
  elseif job.expires_at and tonumber(job.expires_at) <= NOW then
    line.gone = line.gone + 1
    expire_job(job)
  else
    bytes = bytes + #payload
    if taken > 0 and bytes > byte_limit then break end
    taken = taken + 1
    line.room, line.gone = line.room - 1, line.gone + 1
    pools[line.pool] = pools[line.pool] - 1
    ids[taken] = id
    -- Nearly every claim is a job's first: what it gives needs no reckoning.
    job.token = job.token and int(tonumber(string.match(job.token, '^%d+')) + 1) .. '-' .. nonce or first_token
    job.attempt = job.attempt == '0' and '1' or int(job.attempt + 1)
    job.worker, job.progress, job.message = worker, nil, nil
    direct('HSET', JOB .. id, 'state', 'claimed', 'worker', worker, 'token', job.token, 'attempt', job.attempt,
      'claimed_at', NOW_TEXT, 'plugin', line.plugin)
    if job.expires_at then
      zrem(T .. ':expiring', id)
      direct('HDEL', T .. ':job:' .. id, 'expires_at')
    end
    zadd(running_key, NOW_TEXT, id)
    sadd(held_key, id)
    move(job, 'claimed')
    tally_duration('wait', job.type, NOW - (job.run_at and math.max(job.created_at, job.run_at) or job.created_at))
    update(job, 'claimed')
    give(job, payload)
    taken_last = job
  end
  line.at = line.at + 2
end
if taken_last then announce_worker(worker, 'busy', taken_last) end
call('HSET', worker_key, 'claim', number, 'claim_ids', table.concat(ids, ' '))
-- What was looked at and not set aside is the head of its line still.
for _, line in ipairs(lines) do
  if line.gone > 0 then call('ZREMRANGEBYRANK', line.key, 0, line.gone - 1) end
end
-- A claim that leaves claimable jobs behind rings for the next worker; one that took nothing never rings.
for i = 1, ITEMS do
  local job_type = item(i)
  if direct('EXISTS', T .. ':pending:' .. job_type) == 1 and not is_paused(job_type) then
    reply[3] = '1'
    if taken > 0 then ring(job_type) end
  end
end
local next_due = call('ZRANGE', T .. ':scheduled', 0, 0, 'WITHSCORES')
if next_due[2] then reply[2] = int(math.max(0, tonumber(next_due[2]) - NOW)) end
commit()
return reply
