-- What every verb shares. KEYS[1] is the tag of the partition: all its keys begin with it and live in one slot.
-- Hash fields of a job are written at once; entries of indexes, counters, rings and publications are collected and
-- written once by commit(), so a batch costs one command per index and not one per job.
local T = KEYS[1]
local JOB = T .. ':job:'
-- Channels know no database: the scripts of all databases but 0 have the number here (scripts.py).
local FEED = T .. ':feed:'
local floor, format = math.floor, string.format
local DAY, LEASE = 86400000, 15000
local SEQUENCE_ROOM = 4398046511104 -- 2^42: the score of a waiting job is (1000 - priority) * 2^42 + sequence, below 2^53
local RETENTION = {completed = DAY, failed = 7 * DAY, cancelled = 7 * DAY}
local LOSSES_UNTIL_POISONED = 3

local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + floor(tonumber(t[2]) / 1000)
end
local NOW = now()
local STAMP = format('%.3f', NOW / 1000)

-- Scores and times must not pass tostring(): it rounds to 14 digits. Whole numbers only; %d is four times as fast as %.0f.
local function int(n) return format('%d', n) end
local NOW_TEXT = int(NOW)

local function quote(text)
  if not text or text == '' then return '""' end
  return cjson.encode(text)
end

-- Keep a note for `emp doctor`, and count it, so that the next sweep can log it. An id or a key may hold any bytes; all but
-- printable ASCII become \xNN.
local direct, try = redis.call, redis.pcall
local function note_damage(key, id, why)
  local function printable(text)
    return quote((string.gsub(tostring(text), '[^%w%p ]', function(byte) return format('\\x%02x', string.byte(byte)) end)))
  end
  local note = '{"id":' .. printable(id) .. ',"index":' .. printable(key) .. ',"why":' .. printable(why) .. ',"at":' .. STAMP .. '}'
  if type(try('LPUSH', T .. ':broken', note)) ~= 'number' then
    direct('DEL', T .. ':broken')
    direct('LPUSH', T .. ':broken', note)
  end
  direct('LTRIM', T .. ':broken', 0, 999)
  try('HINCRBY', T .. ':sweep', id == '' and 'repaired' or 'set_aside', 1)
end

-- Run a command again that a damaged key or field has stopped, after it has been deleted (decision 0077).
local function heal(err, command, key, ...)
  err = tostring(err)
  local is_number = string.find(err, 'not an integer', 1, true) or string.find(err, 'overflow', 1, true)
  if not is_number and not string.find(err, 'WRONGTYPE', 1, true) then
    return direct(command, key, ...) -- it fails again, and ends the script
  end
  if command == 'INCRBY' then
    -- The sequence goes on above all numbers that it has given: it counts jobs, and there was less than one a millisecond.
    direct('SET', key, NOW_TEXT)
  elseif is_number then
    direct('HDEL', key, (...))
  elseif try('DEL', key) ~= 1 then
    -- A script that only reads takes the key to be empty.
    return ({HGETALL = {}, HMGET = {}, SMEMBERS = {}, ZRANGEBYSCORE = {}, ZCARD = 0, SCARD = 0})[command] or false
  end
  note_damage(key, '', is_number and 'no whole number in ' .. (...) or 'a value of another type')
  return direct(command, key, ...)
end

-- Run a command. A damaged key or field must not end a script between two of its writes. `direct` is for what each job needs
-- on keys whose type is known, and for commands that take a key of any type.
local function call(command, key, ...)
  local reply = try(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  return heal(reply.err, command, key, ...)
end

-- The format of the store (see format.py). A store without a number and without an epoch or a job is new: what writes gives
-- it the oldest format that this release knows.
local FORMAT = OLDEST_FORMAT
local function refuse_format(reads_only)
  local number = redis.pcall('GET', T .. ':format')
  if number == '1' then return nil end -- what nearly all have
  if not number then
    if call('EXISTS', T .. ':epoch', T .. ':seq') > 0 then
      return redis.error_reply('EMPFORMAT the store has no format number, so an older release has written it. Stop the '
        .. 'processes of that release, then run `emp store migrate`')
    end
    if not reads_only then call('SET', T .. ':format', FORMAT) end
    return nil
  end
  FORMAT = type(number) == 'string' and string.find(number, '^[1-9]%d*$') and tonumber(number) or 0
  if FORMAT >= OLDEST_FORMAT and FORMAT <= NEWEST_FORMAT then return nil end
  return redis.error_reply('EMPFORMAT the store has format ' .. (FORMAT > 0 and number or '(unreadable)') .. ', this release '
    .. 'works with formats ' .. OLDEST_FORMAT .. ' to ' .. NEWEST_FORMAT .. '. ' .. (FORMAT > NEWEST_FORMAT
    and 'Install the release that the other processes on this store run'
    or 'Stop the processes of the older release, then run `emp store migrate`'))
end

-- Raise the format before the first write that releases of older formats would do wrong.
local function require_format(number)
  if FORMAT < number then
    FORMAT = number
    call('SET', T .. ':format', FORMAT)
  end
end

-- Index writes of this call: key -> list of arguments.
local zadds, zrems, sadds, srems = {}, {}, {}, {}
local function zadd(key, score, member)
  local list = zadds[key]
  if not list then list = {}; zadds[key] = list end
  list[#list + 1] = score
  list[#list + 1] = member
end
local function remember(batch, key, member)
  local list = batch[key]
  if not list then list = {}; batch[key] = list end
  list[#list + 1] = member
end
local function zrem(key, member) remember(zrems, key, member) end
local function sadd(key, member) remember(sadds, key, member) end
local function srem(key, member) remember(srems, key, member) end

local function write(command, batch)
  for key, list in pairs(batch) do
    for from = 1, #list, 1000 do
      local reply = try(command, key, unpack(list, from, math.min(from + 999, #list)))
      if type(reply) == 'table' then heal(reply.err, command, key, unpack(list, from, math.min(from + 999, #list))) end
    end
  end
end

-- Sums by job type and name; commit() makes one field of the two.
local function add(sums, job_type, name, n)
  local of_type = sums[job_type]
  if not of_type then of_type = {}; sums[job_type] = of_type end
  of_type[name] = (of_type[name] or 0) + n
end
-- Tells whether a field is new; the first one of a key is.
local function write_sums(key, sums)
  local is_new = false
  for job_type, of_type in pairs(sums) do
    for name, n in pairs(of_type) do
      if n ~= 0 then
        local sum = try('HINCRBY', key, name .. ':' .. job_type, n)
        if type(sum) == 'table' then sum = heal(sum.err, 'HINCRBY', key, name .. ':' .. job_type, n) end
        if sum == n then is_new = true end
      end
    end
  end
  return is_new
end
-- Counters: jobs by live state and type, and totals that only grow.
local counts, tallies = {}, {}
local function count(name, job_type, n) add(counts, job_type, name, n) end
-- What happened in this minute, for throughput and durations.
local function tally(name, job_type, n) add(tallies, job_type, name, n or 1) end
-- Durations are counted in buckets of powers of two: bucket b holds those below 2^b milliseconds. They go into the minute and,
-- with their sum, into totals that are kept for ever, as does why jobs failed.
local buckets, durations, totals = {}, {}, {}
local function tally_duration(name, job_type, milliseconds)
  milliseconds = math.max(milliseconds, 0)
  local _, bucket = math.frexp(milliseconds)
  local names = buckets[name]
  if not names then names = {sum = name .. ':sum'}; buckets[name] = names end
  if not names[bucket] then names[bucket] = name .. ':' .. math.min(bucket, 32) end
  add(durations, job_type, names[bucket], 1)
  add(totals, job_type, names.sum, milliseconds)
end

-- The messages of this call as pieces of text, which table.concat joins once: a string per message would be made twice.
local updates, pieces, until_progress = {}, 0, {}
local function update(job, state)
  local of_type = until_progress[job.type]
  if not of_type then of_type = {}; until_progress[job.type] = of_type end
  local middle = of_type[state]
  if not middle then
    middle = '","type":"job_update","timestamp":' .. STAMP .. ',"job_type":"' .. job.type .. '","status":"' .. state
      .. '","progress":'
    of_type[state] = middle
  end
  updates[pieces + 1] = pieces == 0 and '{"job_id":"' or '\n{"job_id":"'
  updates[pieces + 2] = job.id
  updates[pieces + 3] = middle
  updates[pieces + 4] = job.progress or '0.0'
  if job.message and job.message ~= '' then
    updates[pieces + 5] = ',"message":' .. quote(job.message) .. '}'
  else
    updates[pieces + 5] = ',"message":""}'
  end
  pieces = pieces + 5
end
local offers, offered, until_payload = {}, 0, {}
local function announce_available(job, payload)
  local of_type = until_payload[job.type]
  if not of_type then of_type = {}; until_payload[job.type] = of_type end
  local middle = of_type[job.priority]
  if not middle then
    middle = '","type":"job_available","timestamp":' .. STAMP .. ',"job_type":"' .. job.type .. '","priority":' .. job.priority
      .. ',"job_request_payload":'
    of_type[job.priority] = middle
  end
  local omitted = payload == '' or #payload > 4096
  offers[offered + 1] = offered == 0 and '{"job_id":"' or '\n{"job_id":"'
  offers[offered + 2] = job.id
  offers[offered + 3] = middle
  offers[offered + 4] = omitted and '""' or cjson.encode(payload)
  offers[offered + 5] = omitted and ',"payload_omitted":true}' or ',"payload_omitted":false}'
  offered = offered + 5
end
local workers = {}
local function announce_worker(worker, status, job)
  workers[#workers + 1] = '{"worker_id":"' .. worker .. '","type":"worker_status","timestamp":' .. STAMP .. ',"status":"'
    .. status .. '","job_id":' .. (job and '"' .. job.id .. '"' or 'null')
    .. ',"job_type":' .. (job and '"' .. job.type .. '"' or 'null') .. '}'
end

-- The doorbell of a type holds at most one token; a paused type is not rung. The token's time to live only cleans up
-- after types that no worker serves: a worker claims before it waits, so an expired token is not missed.
local rings = {}
local function ring(job_type) rings[job_type] = true end
local function ring_bell(key)
  if call('LLEN', key) == 0 then
    call('RPUSH', key, '1')
    direct('PEXPIRE', key, DAY)
  end
end
local function is_paused(job_type) return call('SISMEMBER', T .. ':paused', job_type) == 1 end

-- With a worker: one that let its last job go is announced as idle.
local function commit(worker)
  write('ZREM', zrems)
  write('ZADD', zadds)
  write('SREM', srems)
  write('SADD', sadds)
  local let_go_of = worker and srems[T .. ':held:' .. worker]
  if let_go_of and direct('EXISTS', T .. ':held:' .. worker) == 0 then announce_worker(worker, 'idle') end
  write_sums(T .. ':counts', counts)
  if next(tallies) or next(durations) then
    local key = T .. ':minute:' .. int(floor(NOW / 60000))
    local is_new = write_sums(key, tallies)
    if write_sums(key, durations) or is_new then direct('PEXPIRE', key, DAY) end
    write_sums(T .. ':totals', durations)
    write_sums(T .. ':totals', totals)
  end
  for job_type in pairs(rings) do
    if not is_paused(job_type) then ring_bell(T .. ':wake:' .. job_type) end
  end
  if offered > 0 then direct('PUBLISH', FEED .. 'available', table.concat(offers)) end
  if pieces > 0 then direct('PUBLISH', FEED .. 'updates', table.concat(updates)) end
  if #workers > 0 then direct('PUBLISH', FEED .. 'workers', table.concat(workers, '\n')) end
end

-- What the scripts reckon with: whole numbers, and what a job must have.
-- Rarely called, so its tables are made here: what stands outside of functions is executed by every call of every script.
local function why_not(job)
  for _, name in ipairs({'type', 'no', 'created_at'}) do
    if not job[name] then return name .. ' is missing' end
  end
  local whole = 'priority no attempt max_attempts created_at claimed_at started_at finished_at expires_at run_at cancel_at '
    .. 'losses releases refusals round'
  for name in string.gmatch(whole, '%S+') do
    if job[name] and not string.find(job[name], '^%-?%d+$') then return name .. ' is not a whole number' end
  end
end
-- A job's small fields by name; nil where there is no readable job record under this id.
local function load(id)
  local flat = redis.pcall('HGETALL', JOB .. id)
  local size = #flat
  if size == 0 then return nil, flat.err end
  -- What a job begins with has no field until it changes. Those that are nil make room for what most jobs get, so that the
  -- table does not grow: 16 places, of which a 17th would make 32.
  local job = {id = id, state = 'pending', priority = '0', attempt = '0', max_attempts = '3', type = nil, no = nil,
    created_at = nil, digest = nil, owner = nil, worker = nil, token = nil, claimed_at = nil, plugin = nil, started_at = nil,
    progress = nil}
  local has_empty = false
  for i = 1, size, 2 do
    local value = flat[i + 1]
    job[flat[i]] = value
    has_empty = has_empty or value == ''
  end
  -- One look at all of them together is as good as one at each, and nearly always enough.
  if has_empty or not (job.type and job.no and job.created_at) or not string.find(job.no .. job.created_at .. job.attempt
    .. job.max_attempts .. (job.claimed_at or '') .. (job.started_at or '') .. (job.finished_at or '')
    .. (job.expires_at or '') .. (job.run_at or '') .. (job.cancel_at or '') .. (job.losses or '') .. (job.releases or '')
    .. (job.refusals or '') .. (job.round or ''), '^%d+$') or not string.find(job.priority, '^%-?%d+$') then
    local why = why_not(job)
    if why then return nil, why end
  end
  if job.token and not string.find(job.token, '^%d+%-') then return nil, 'token has no serial' end
  if not job.worker and (job.state == 'claimed' or job.state == 'in_progress') then return nil, 'nobody holds it' end
  return job
end

-- A record that cannot be read must not stop a sweep or a claim: it leaves its index and waits for `emp doctor`.
local function set_aside(index, id, why)
  call('ZREM', index, id)
  note_damage(index, id, why or 'no record')
end

-- A string beside the job's hash: its payload, its error. nil where it is gone or is something else.
local function text_of(kind, id)
  local text = redis.pcall('GET', T .. ':' .. kind .. ':' .. id)
  return type(text) == 'string' and text or nil
end

local function is_running(job) return job.state == 'claimed' or job.state == 'in_progress' end

local function move(job, state)
  count(job.state, job.type, -1)
  count(state, job.type, 1)
  job.state = state
end

local function score_of(job) return int((1000 - job.priority) * SEQUENCE_ROOM + job.no) end

-- Put a job that is in no index into its waiting line.
local function enter_line(job)
  zadd(T .. ':pending:' .. job.type, score_of(job), job.id)
  ring(job.type)
  local key = T .. ':payload:' .. job.id
  local length = redis.pcall('STRLEN', key) -- an error where the payload is damaged, which claim finds out
  announce_available(job, type(length) == 'number' and length <= 4096 and call('GET', key) or '')
  update(job, 'pending')
end

local function wait_until(job, due)
  zadd(T .. ':scheduled', int(due), job.id)
  direct('HSET', JOB .. job.id, 'run_at', int(due))
  update(job, 'scheduled')
end

-- Keep the record of an attempt that ended while the job goes on (the last one stands in the job itself).
-- `error` is JSON text and is spliced in as it came.
local function keep_attempt(job, outcome, reason, error)
  local key = T .. ':attempts:' .. job.id
  if direct('TYPE', key).ok ~= 'list' then direct('DEL', key) end
  direct('RPUSH', key, '{"attempt":' .. job.attempt .. ',"round":' .. (job.round or '1') .. ',"worker_id":"' .. (job.worker or '')
    .. '","claimed_at":' .. (job.claimed_at or 'null') .. ',"started_at":' .. (job.started_at or 'null')
    .. ',"ended_at":' .. (job.finished_at or int(NOW)) .. ',"outcome":"' .. outcome
    .. '","plugin_version":' .. quote(job.plugin) .. ',"reason":' .. quote(reason) .. ',"error":' .. (error or 'null') .. '}')
  direct('LTRIM', key, -100, -1)
end

-- Take a running job out of its worker's hands; the caller says where it goes.
local RUNNING = T .. ':running'
local held_keys = {} -- one worker's, nearly always
local function let_go(job)
  local held_key = held_keys[job.worker]
  if not held_key then held_key = T .. ':held:' .. job.worker; held_keys[job.worker] = held_key end
  zrem(RUNNING, job.id)
  srem(held_key, job.id)
  if job.cancel_at then call('SREM', T .. ':asked:' .. job.worker, job.id) end
end

local function forget_attempt(job)
  direct('HDEL', JOB .. job.id, 'worker', 'claimed_at', 'started_at', 'place', 'plugin', 'progress', 'message')
  job.progress, job.message = nil, nil
end

-- Charge a loss: the process that ran the handler has died. A loss that was in doubt (see recover) is charged with it.
local function charge_loss(job)
  job.losses = int((tonumber(job.losses) or 0) + (job.suspect and 2 or 1))
  direct('HSET', JOB .. job.id, 'losses', job.losses)
  if job.suspect then direct('HDEL', JOB .. job.id, 'suspect') end
end

-- Until when a final job is kept, and how long its time to live is: the same for nearly all of a call.
local keeping = {}
local function kept_for(retention, state)
  local by = retention or state
  local texts = keeping[by]
  if not texts then
    local milliseconds = tonumber(retention) or RETENTION[state]
    texts = {int(NOW + milliseconds), int(milliseconds + DAY)}
    keeping[by] = texts
  end
  return texts[1], texts[2]
end

-- Let a job whose handler ended before its start was written pass through in_progress; `begun_ago` is how many milliseconds
-- ago the handler was called, or empty where it was not. The caller writes `started_at`, or keeps it with the attempt.
local function pass_through(job, begun_ago)
  if begun_ago == '' or job.state ~= 'claimed' then return end
  job.started_at, job.begins_now = int(NOW - begun_ago), true
  update(job, 'in_progress')
end

local RETAINED = T .. ':retained'
local finished_keys = {} -- by state, and below it by type: of one call nearly all are the same
-- Give a job its final state. Whoever calls has taken it out of the index of its old state.
local function finish(job, state, verb, reason)
  if state == 'completed' then
    -- That it is at 1.0 and settled by complete follows from its state.
    job.progress = '1.0'
    if job.begins_now then
      direct('HSET', JOB .. job.id, 'state', state, 'finished_at', NOW_TEXT, 'started_at', job.started_at)
    else
      direct('HSET', JOB .. job.id, 'state', state, 'finished_at', NOW_TEXT)
    end
  elseif reason then
    direct('HSET', JOB .. job.id, 'state', state, 'finished_at', NOW_TEXT, 'settled', verb, 'reason', reason)
  else
    direct('HSET', JOB .. job.id, 'state', state, 'finished_at', NOW_TEXT, 'settled', verb)
  end
  if job.begins_now and state ~= 'completed' then direct('HSET', JOB .. job.id, 'started_at', job.started_at) end
  local of_state = finished_keys[state]
  if not of_state then of_state = {all = T .. ':finished:' .. state, by_type = {}}; finished_keys[state] = of_state end
  local of_type = of_state.by_type[job.type]
  if not of_type then of_type = of_state.all .. ':' .. job.type; of_state.by_type[job.type] = of_type end
  zadd(of_state.all, NOW_TEXT, job.id)
  zadd(of_type, NOW_TEXT, job.id)
  local until_when, backstop = kept_for(job.retention, state)
  zadd(RETAINED, until_when, job.id)
  -- A time to live runs no script, so it is only the backstop for what is large, a day after the janitor's turn. The
  -- small hash has none: retain needs its type and tags to find the index entries, however late it comes.
  direct('PEXPIRE', T .. ':payload:' .. job.id, backstop)
  -- Every verb that keeps an attempt says so: in `settled`, or revive in `round`.
  if job.settled or job.round then direct('PEXPIRE', T .. ':attempts:' .. job.id, backstop) end
  if job.logged then direct('PEXPIRE', T .. ':log:' .. job.id, backstop) end
  count(job.state, job.type, -1)
  count(state, job.type, 1)
  tally(state, job.type)
  if state == 'failed' then add(totals, job.type, 'failed:' .. reason, 1) end
  if job.started_at then tally_duration('run', job.type, NOW - job.started_at) end
  update(job, state)
  job.state = state
  return backstop
end

local function finish_with_error(job, state, verb, reason, error)
  local backstop = finish(job, state, verb, reason)
  if error and error ~= '' then direct('SET', T .. ':error:' .. job.id, error, 'PX', backstop) end
end

local function expire_job(job)
  zrem(T .. ':expiring', job.id)
  finish_with_error(job, 'failed', 'expire', 'expired', '{"message":"no worker claimed it before it expired"}')
end

-- The job of (id, token) if this worker holds it; else nil and the word to answer. The same finish twice is OK: a client
-- that timed out cannot know whether its call ran.
local function held(id, token, worker, verb)
  local job = load(id)
  if not job then return nil, 'NOT_FOUND' end
  if job.token == token then
    if is_running(job) and job.worker == worker then return job end
    local settled = job.state == 'completed' and 'complete' or job.settled
    if settled == verb and not is_running(job) then return nil, 'OK' end
  end
  count('refused', job.type, 1)
  return nil, 'LEASE_LOST'
end

-- The same for who needs few of its fields: reading those and no others takes half the time, and nearly always all is
-- as it should be.
local function held_in_brief(id, token, worker, verb)
  local found = redis.pcall('HMGET', JOB .. id, 'token', 'worker', 'state', 'type', 'started_at', 'message', 'retention',
    'settled', 'round', 'logged', 'cancel_at')
  local state, started_at = found[3], found[5]
  if found[1] == token and found[2] == worker and (state == 'claimed' or state == 'in_progress') and found[4]
    and (not started_at or string.find(started_at, '^%d+$')) then
    return {id = id, token = token, worker = worker, state = state, type = found[4], started_at = started_at or nil,
      message = found[6], retention = found[7], settled = found[8], round = found[9], logged = found[10],
      cancel_at = found[11]}
  end
  return held(id, token, worker, verb)
end

-- A cancel request wins over whatever would make the job run again.
local function honour_cancel(job, verb)
  if not job.cancel_at then return false end
  finish(job, 'cancelled', verb)
  return true
end

-- Return the store's epoch: the Unix milliseconds of its birth, a dash and something random. A new store gets this one.
local function set_epoch(random)
  local epoch = call('GET', T .. ':epoch')
  if not epoch then
    epoch = NOW_TEXT .. '-' .. random
    call('SET', T .. ':epoch', epoch)
  end
  return epoch
end

-- Delete all that is a worker's, and keep a record of how it went.
local function forget_worker(worker, status, reason)
  local key = T .. ':worker:' .. worker
  local facts = call('HMGET', key, 'info', 'started_at')
  local is_json = facts[1] and pcall(cjson.decode, facts[1])
  call('LPUSH', T .. ':lost', '{"worker_id":' .. quote(worker) .. ',"status":"' .. status .. '","reason":'
    .. quote(reason) .. ',"at":' .. int(NOW) .. ',"started_at":' .. (tonumber(facts[2]) and facts[2] or 'null')
    .. ',"info":' .. (is_json and facts[1] or '{}') .. '}')
  call('LTRIM', T .. ':lost', 0, 99)
  call('ZREM', T .. ':workers', worker)
  call('DEL', key, T .. ':asked:' .. worker, T .. ':bell:' .. worker)
end
