-- report: keep what running handlers have said: progress, a message, log lines.
-- KEYS  tag
-- ARGV  worker log_cap
-- ITEM  id token fraction message log log_from
-- REPLY one word per item: OK, LEASE_LOST or NOT_FOUND
-- FLAGS
-- Fraction and message are empty where they did not change; a message begins with an equals sign. The log is JSON objects, one per line; log_from is how many
-- lines of this attempt were sent before: lines that are already here are passed over, so a repeat adds none twice.
local reply = {}
for i = 1, ITEMS do
  local id, token, fraction, message, log, log_from = item(i)
  local job, word = held(id, token, worker, 'report')
  if job then
    if fraction ~= '' or message ~= '' then
      job.progress = fraction ~= '' and fraction or job.progress or '0.0'
      job.message = message ~= '' and string.sub(message, 2) or job.message or ''
      call('HSET', T .. ':job:' .. id, 'progress', job.progress, 'message', job.message)
      update(job, job.state)
    end
    if log ~= '' then
      local key, lines, at = T .. ':log:' .. id, {}, tonumber(log_from)
      if call('TYPE', key).ok ~= 'list' then call('DEL', key) end -- a damaged one, if any
      local counted, n = string.match(job.logged or '', '^(%S+) (%d+)$')
      local have = counted == token and tonumber(n) or 0
      for line in string.gmatch(log, '[^\n]+') do
        at = at + 1
        if at > have then lines[#lines + 1] = line end
      end
      for from = 1, #lines, 1000 do call('RPUSH', key, unpack(lines, from, math.min(from + 999, #lines))) end
      call('LTRIM', key, -tonumber(log_cap), -1)
      call('HSET', T .. ':job:' .. id, 'logged', token .. ' ' .. int(math.max(at, have)))
    end
  end
  reply[i] = word or 'OK'
end
commit()
return reply
