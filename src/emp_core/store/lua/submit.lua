-- submit: store new jobs and wake a worker for those that are due.
-- KEYS  tag
-- ARGV  waiting_limit
-- ITEM  id payload how idem_key idem_digest
-- REPLY the time of submission, then one answer per item: the state of a job that is stored now; or, where it is not, four
-- REPLY words: OK, REPEAT, EXISTS, KEY_REUSED or FULL; the job's id, its state and its time of submission
-- FLAGS
-- `how` is everything else about the job, the same for many: sixteen fields with \31 between them (see parse). Times are in
-- milliseconds, empty where not given; run_at and expires_at in Unix time, the others counted from now. Repeating a call whose answer was
-- lost is safe: the id and the same payload are answered OK again.
-- A job's hash has no fields for what every job begins with: pending, priority 0, attempt 0, 3 attempts at most.
local limit = tonumber(waiting_limit)
local waiting = {}
local function line_of(job_type)
  if not waiting[job_type] then
    local scheduled = tonumber(call('HGET', T .. ':counts', 'scheduled:' .. job_type)) or 0
    if scheduled > SEQUENCE_ROOM then scheduled = 0 end -- damaged
    waiting[job_type] = call('ZCARD', T .. ':pending:' .. job_type) + scheduled
  end
  return waiting[job_type]
end

local HOW = '^' .. string.rep('([^\31]*)\31', 15) .. '(.*)$'
local function parse(how)
  local trace, job_type, priority, run_at, delay, expires_in, expires_at, timeout, progress_timeout, max_attempts, backoff,
    on_lost, retention, digest, owner, tags = string.match(how, HOW)
  local due = tonumber(run_at) or (delay ~= '' and NOW + tonumber(delay)) or NOW
  local kind = {type = job_type, priority = priority, due = due, tags = {}, line = T .. ':pending:' .. job_type}
  kind.state = due > NOW and 'scheduled' or 'pending'
  kind.base = (1000 - priority) * SEQUENCE_ROOM
  if expires_at ~= '' then kind.expires_at = expires_at end
  if expires_in ~= '' then kind.expires_at = int(math.max(due, NOW) + tonumber(expires_in)) end
  -- The fourth is the job's number in the sequence, which is its own. Names are short: each waiting job has them.
  local fields = {'type', job_type, 'no', '', 'created_at', int(NOW)}
  local function keep(name, value, default)
    if value and value ~= default then fields[#fields + 1] = name; fields[#fields + 1] = value end
  end
  keep('state', kind.state, 'pending')
  keep('priority', priority, '0')
  keep('max_attempts', max_attempts, '3')
  keep('timeout', timeout, '')
  keep('progress_timeout', progress_timeout, '')
  keep('backoff', backoff, '')
  keep('on_lost', on_lost, 'retry')
  kind.format = on_lost == 'retry' and 1 or 2
  keep('retention', retention, '')
  keep('tags', tags, '')
  keep('digest', digest, '')
  keep('owner', owner, '')
  keep('trace', trace, '')
  keep('expires_at', kind.expires_at)
  kind.fields = fields
  for tag in string.gmatch(tags, '[^\n]+') do kind.tags[#kind.tags + 1] = T .. ':tag:' .. tag end
  return kind
end
local kinds = {}

local function first_of(idem_key, idem_digest)
  if idem_key == '' then return nil end
  local first, digest = string.match(text_of('idem', idem_key) or '', '^(%S+) (%S+)$')
  if not first then return nil end
  if digest ~= idem_digest then return 'KEY_REUSED', first end
  return 'REPEAT', first
end

-- Nearly always no id is known: one question settles that for all.
local keys, ids = {}, {}
for i = 1, ITEMS do
  local id = item(i)
  keys[i] = T .. ':job:' .. id
  if ids[id] then ids.twice = true end
  ids[id] = true
end
local all_new = not ids.twice and direct('EXISTS', unpack(keys)) == 0

local reply = {int(NOW)}
local sequence = call('INCRBY', T .. ':seq', ITEMS) - ITEMS
-- Damaged: a number that is no place in a line. As in heal, it goes on above all that were given.
if sequence < 0 or sequence > SEQUENCE_ROOM * 0.75 then
  sequence = NOW
  call('SET', T .. ':seq', int(NOW + ITEMS))
end
for i = 1, ITEMS do
  local id, payload, how, idem_key, idem_digest = item(i)
  local kind = kinds[how]
  if not kind then kind = parse(how); kinds[how] = kind end
  local word, first = first_of(idem_key, idem_digest)
  if word then
    local known = load(first) or {}
    reply[i + 1] = {word, first, known.state or '', known.created_at or ''}
  elseif not all_new and direct('EXISTS', keys[i]) == 1 then
    local stored = load(id) or {}
    local same = stored.type == kind.type and text_of('payload', id) == payload
    reply[i + 1] = {same and 'OK' or 'EXISTS', id, stored.state or '', stored.created_at or ''}
  elseif line_of(kind.type) >= limit then
    reply[i + 1] = {'FULL', id, '', ''}
  else
    require_format(kind.format)
    kind.fields[4] = int(sequence + i)
    direct('HSET', keys[i], unpack(kind.fields))
    direct('SET', T .. ':payload:' .. id, payload)
    if kind.expires_at then zadd(T .. ':expiring', kind.expires_at, id) end
    if kind.state == 'pending' then
      zadd(kind.line, int(kind.base + sequence + i), id)
      ring(kind.type)
      kind.id = id
      announce_available(kind, payload)
      update(kind, 'pending')
    else
      wait_until({id = id, type = kind.type}, kind.due)
    end
    for _, tag in ipairs(kind.tags) do zadd(tag, int(NOW), id) end
    if idem_key ~= '' then direct('SET', T .. ':idem:' .. idem_key, id .. ' ' .. idem_digest, 'PX', DAY) end
    kind.stored = (kind.stored or 0) + 1
    waiting[kind.type] = waiting[kind.type] + 1
    reply[i + 1] = kind.state
  end
end
for _, kind in pairs(kinds) do
  if kind.stored then
    count(kind.state, kind.type, kind.stored)
    count('submitted', kind.type, kind.stored)
    tally('submitted', kind.type, kind.stored)
  end
end
commit()
return reply
