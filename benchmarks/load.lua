-- Posts the files 0 to 9 of a folder in turn; its last line is the result, as JSON, times in microseconds.
--
--     wrk --script benchmarks/load.lua URL -- CONTENT-TYPE FOLDER

local requests, turn = {}, 0

function init(arguments)
  for digit = 0, 9 do
    local file = assert(io.open(arguments[2] .. "/" .. digit, "rb"))
    requests[digit] = wrk.format("POST", nil, { ["Content-Type"] = arguments[1] }, file:read("*a"))
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
