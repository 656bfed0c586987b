-- Sends the files 0 to 9 of a folder in turn by POST. The last line of output is the result as JSON, times in microseconds.
--
--     wrk --script benchmarks/harness/wrk.lua URL -- FOLDER 'NAME: VALUE' ...
--
-- Each NAME: VALUE is a header.

local requests, turn = {}, 0

function init(arguments)
  local headers = {}
  for at = 2, #arguments do
    local name, value = arguments[at]:match("^(.-): (.*)$")
    headers[name] = value
  end
  for digit = 0, 9 do
    local file = assert(io.open(arguments[1] .. "/" .. digit, "rb"))
    requests[digit] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
end

function request()
  turn = (turn + 1) % 10
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "duration": %d, "p50": %d, "p99": %d, '
      .. '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout
  ))
end
