-- report: keep what running handlers have said: progress, a message, log lines.
-- KEYS  tag
-- ARGV  worker log_cap
-- ITEM  id token fraction message log
-- REPLY one word per item: OK, LEASE_LOST or NOT_FOUND
-- FLAGS
-- Fraction and message are empty where they did not change; a message of one space clears it. The log is lines of JSON
-- objects, one per line.
local reply = {}
for i = 1, ITEMS do
  local id, token, fraction, message, log = item(i)
  local job, word = held(id, token, worker, 'report')
  if job then
    if fraction ~= '' or message ~= '' then
      job.progress = fraction ~= '' and fraction or job.progress or '0.0'
      job.message = message ~= '' and message or job.message or ''
      call('HSET', T .. ':job:' .. id, 'progress', job.progress, 'message', job.message)
      update(job, job.state)
    end
    if log ~= '' then
      local key, lines = T .. ':log:' .. id, {}
      for line in string.gmatch(log, '[^\n]+') do
        lines[#lines + 1] = line
        if #lines == 1000 then call('RPUSH', key, unpack(lines)); lines = {} end
      end
      if #lines > 0 then call('RPUSH', key, unpack(lines)) end
      call('LTRIM', key, -tonumber(log_cap), -1)
      if not job.logged then call('HSET', T .. ':job:' .. id, 'logged', '1') end
    end
  end
  reply[i] = word or 'OK'
end
commit()
return reply
