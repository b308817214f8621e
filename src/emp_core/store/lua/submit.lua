-- submit: store new jobs and wake a worker for those that are due.
-- KEYS  tag
-- ARGV  waiting_limit
-- ITEM  id job_type payload priority run_at delay expires_in timeout progress_timeout max_attempts backoff retention tags digest idem_key idem_digest owner
-- REPLY four words per item: OK, REPEAT, EXISTS, KEY_REUSED or FULL; the job's id, its state and its time of submission
-- FLAGS
-- Times in milliseconds, empty where not given; run_at in Unix time, the others counted from now. Repeating a call whose
-- answer was lost is safe: the id and the same payload are answered OK again.
local limit = tonumber(waiting_limit)
local waiting = {}
local function line_of(job_type)
  if not waiting[job_type] then
    waiting[job_type] = call('ZCARD', T .. ':pending:' .. job_type)
      + (tonumber(call('HGET', T .. ':counts', 'scheduled:' .. job_type)) or 0)
  end
  return waiting[job_type]
end

local function first_of(idem_key, idem_digest)
  if idem_key == '' then return nil end
  local first, digest = string.match(text_of('idem', idem_key) or '', '^(%S+) (%S+)$')
  if not first then return nil end
  if digest ~= idem_digest then return 'KEY_REUSED', first end
  return 'REPEAT', first
end

local reply = {}
local function answer(word, id, state, created_at)
  reply[#reply + 1] = word
  reply[#reply + 1] = id
  reply[#reply + 1] = state or ''
  reply[#reply + 1] = created_at or ''
end

local sequence = call('INCRBY', T .. ':seq', ITEMS) - ITEMS
for i = 1, ITEMS do
  local id, job_type, payload, priority, run_at, delay, expires_in, timeout, progress_timeout, max_attempts, backoff,
    retention, tags, digest, idem_key, idem_digest, owner = item(i)
  local word, first = first_of(idem_key, idem_digest)
  local stored = not word and load(id)
  if word then
    local known = load(first) or {}
    answer(word, first, known.state, known.created_at)
  elseif stored then
    local same = stored.type == job_type and text_of('payload', id) == payload
    answer(same and 'OK' or 'EXISTS', id, stored.state, stored.created_at)
  elseif line_of(job_type) >= limit then
    answer('FULL', id)
  else
    local due = tonumber(run_at) or (delay ~= '' and NOW + tonumber(delay)) or NOW
    local state = due > NOW and 'scheduled' or 'pending'
    local job = {id = id, type = job_type, priority = priority, seq = int(sequence + i), state = state}
    local fields = {'type', job_type, 'state', state, 'priority', priority, 'seq', job.seq, 'attempt', '0',
      'max_attempts', max_attempts, 'created_at', int(NOW)}
    local function keep(name, value)
      if value ~= '' then fields[#fields + 1] = name; fields[#fields + 1] = value end
    end
    keep('timeout', timeout)
    keep('progress_timeout', progress_timeout)
    keep('backoff', backoff)
    keep('retention', retention)
    keep('tags', tags)
    keep('digest', digest)
    keep('owner', owner)
    if expires_in ~= '' then
      local expires_at = int(math.max(due, NOW) + tonumber(expires_in))
      keep('expires_at', expires_at)
      zadd(T .. ':expiring', expires_at, id)
    end
    call('HSET', T .. ':job:' .. id, unpack(fields))
    call('SET', T .. ':payload:' .. id, payload)
    if state == 'pending' then
      zadd(T .. ':pending:' .. job_type, score_of(job), id)
      ring(job_type)
      announce_available(job, payload)
      update(job, 'pending')
    else
      wait_until(job, due)
    end
    for tag in string.gmatch(tags, '[^\n]+') do zadd(T .. ':tag:' .. tag, int(NOW), id) end
    if idem_key ~= '' then call('SET', T .. ':idem:' .. idem_key, id .. ' ' .. idem_digest, 'PX', DAY) end
    count(state, job_type, 1)
    count('submitted', job_type, 1)
    tally('submitted', job_type)
    waiting[job_type] = waiting[job_type] + 1
    answer('OK', id, state, int(NOW))
  end
end
commit()
return reply
