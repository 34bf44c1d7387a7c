-- wrk: as post.lua, but counts answers by status, and times those of 200 by an id of the request
-- that aml-serve sends back. done() prints one line of JSON.

local ffi = require("ffi")
ffi.cdef [[ typedef struct { long s; long ns; } instant; int clock_gettime(int, instant *); ]]
local now = ffi.new("instant")
local function microseconds()
  ffi.C.clock_gettime(1, now)
  return tonumber(now.s) * 1000000 + math.floor(tonumber(now.ns) / 1000)
end

local threads = {}
function setup(thread)
  table.insert(threads, thread)
end

-- globals, because done() asks the thread for them
statuses, without_retry_after, buckets = {}, 0, {}
STEP = math.log(1.01)

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
  for i = 2, #args, 2 do
    wrk.headers[args[i]] = args[i + 1]
  end
end

function request()
  wrk.headers["x-request-id"] = string.format("%d", microseconds())
  return wrk.format()
end

local function header(headers, name)
  if headers[name] then return headers[name] end
  for stated, value in pairs(headers) do
    if stated:lower() == name then return value end
  end
end

function response(status, headers, body)
  local key = tostring(status)
  statuses[key] = (statuses[key] or 0) + 1
  if status == 200 then
    local us = microseconds() - tonumber(header(headers, "x-request-id"))
    local bucket = tostring(math.floor(math.log(math.max(us, 1)) / STEP))
    buckets[bucket] = (buckets[bucket] or 0) + 1
  elseif status == 503 and not header(headers, "retry-after") then
    without_retry_after = without_retry_after + 1
  end
end

local function percentile(counts, total, share)
  local order, seen = {}, 0
  for bucket, count in pairs(counts) do
    table.insert(order, {tonumber(bucket), count})
  end
  table.sort(order, function(a, b) return a[1] < b[1] end)
  for _, pair in ipairs(order) do
    seen = seen + pair[2]
    if seen >= share * total then return math.exp((pair[1] + 1) * STEP) end
  end
  return 0
end

function done(summary, latency, requests)
  local thread = threads[1]
  local counts, all = thread:get("statuses"), {}
  for status, count in pairs(counts) do
    table.insert(all, string.format('"%s": %d', status, count))
  end
  local times, good = thread:get("buckets"), counts["200"] or 0
  local e = summary.errors
  io.write(string.format(
    '\n{"statuses": {%s}, "without_retry_after": %d, "duration_us": %d, "p50_us": %d, '
      .. '"p99_us": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
    table.concat(all, ", "), thread:get("without_retry_after"), summary.duration,
    percentile(times, good, 0.5), percentile(times, good, 0.99),
    e.connect, e.read, e.write, e.timeout))
end
