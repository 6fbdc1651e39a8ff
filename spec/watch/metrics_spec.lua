--- green.metrics: counters, gauges, histograms, and their text for Prometheus.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local shell = require "spec.shell"
local terminal = require "spec.terminal"

local metrics = green.metrics

--- Metrics cannot be taken back, so each test has names of its own.
local made = 0
local function name(rest)
  made = made + 1
  return ("m%d_%s"):format(made, rest)
end

--- The lines of the text that name the metric, without the others.
local function lines_of(n)
  local lines = {}
  for line in metrics.text():gmatch "[^\n]*\n" do
    if line:find(n, 1, true) then lines[#lines + 1] = line end
  end
  return table.concat(lines)
end

--- What the library reports while f runs.
local function reported(f)
  local reports, former = {}, io.stderr
  -- luacheck: push ignore 122
  io.stderr = {write = function(_, text) table.insert(reports, text) end}
  local ok, err = pcall(f)
  io.stderr = former
  -- luacheck: pop
  if not ok then error(err, 0) end
  return reports
end

describe("green.metrics", function()
  it("counts, by labels in their order", function()
    local n = name "total"
    local c = metrics.counter(n, "How many.", {"method", "code"})
    c:inc(1, {method = "GET", code = 200})
    c:inc(2.5, {code = "200", method = "GET"})
    c:inc(nil, {method = "PUT"})
    assert.equal(("# HELP %s How many.\n# TYPE %s counter\n"):format(n, n)
      .. n .. '{method="GET",code="200"} 3.5\n'
      .. n .. '{method="PUT",code=""} 1\n', lines_of(n))
  end)

  it("shows a metric without labels from the start", function()
    local n = name "level"
    local g = metrics.gauge(n, "")
    assert.equal(("# TYPE %s gauge\n%s 0\n"):format(n, n), lines_of(n))
    g:set(10)
    g:inc(5)
    g:dec()
    assert.matches(n .. " 14\n", lines_of(n))
    g:set(math.huge)
    assert.matches(n .. " %+Inf\n", lines_of(n))
    g:set(0.1)
    assert.matches(n .. " 0%.1\n", lines_of(n))
    g:set(1e300)
    assert.matches(n .. " 1e%+300\n", lines_of(n))
  end)

  it("sums a histogram up, bucket by bucket", function()
    local n = name "seconds"
    local h = metrics.histogram(n, "Took.", {0.1, 1}, {"what"})
    for _, v in ipairs {0.05, 0.1, 0.5, 3} do h:observe(v, {what = "a"}) end
    assert.equal(("# HELP %s Took.\n# TYPE %s histogram\n"):format(n, n)
      .. n .. '_bucket{what="a",le="0.1"} 2\n'
      .. n .. '_bucket{what="a",le="1"} 3\n'
      .. n .. '_bucket{what="a",le="+Inf"} 4\n'
      .. n .. '_sum{what="a"} 3.65\n'
      .. n .. '_count{what="a"} 4\n', lines_of(n))
  end)

  it("times a function, also one that raises", function()
    local n = name "seconds"
    local h = metrics.histogram(n, "Took.")
    assert.same({1, nil, 3}, {h:time(function(...) return ... end, 1, nil, 3)})
    assert.has_error(function() h:time(error, "oh") end, "oh")
    assert.matches(n .. "_count 2\n", lines_of(n))
  end)

  it("escapes what needs it, and is UTF-8 whatever the labels", function()
    local n = name "total"
    local c = metrics.counter(n, "a \\ b\nc \"d\"", {"x"})
    c:inc(1, {x = "a \\ b\nc \"d\" \xff"})
    local text = lines_of(n)
    assert.matches("# HELP " .. n .. ' a \\\\ b\\nc "d"\n', text, 1, true)
    assert.matches(n .. '{x="a \\\\ b\\nc \\"d\\" \\\\xff"} 1\n', text, 1, true)
    assert.is_truthy(utf8.len(metrics.text()))
  end)

  it("has at most 1,000 series of a metric, then one warning", function()
    local n = name "total"
    local c = metrics.counter(n, "Peers.", {"peer"})
    local reports = reported(function()
      for i = 1, 1500 do c:inc(1, {peer = i}) end
      c:inc(1, {peer = 1})
    end)
    local text = lines_of(n)
    assert.equal(1003, select(2, text:gsub("\n", "")))
    assert.matches('{peer="overflow"} 500\n', text, 1, true)
    assert.matches('{peer="1"} 2\n', text, 1, true)
    assert.equal(1, #reports)
  end)

  it("asks collectors at each scrape, and keeps the lines of a name together",
    function()
      local n, other = name "level", name "total"
      local value, fails = 1, false
      metrics.collect(function(emit)
        emit(n, value, {b = 2, a = 1}, "A level.")
        emit(other, 7)
        emit(n, value + 1)
        if fails then error "oh" end
      end)
      assert.equal(("# HELP %s A level.\n# TYPE %s gauge\n"):format(n, n)
        .. n .. '{a="1",b="2"} 1\n' .. n .. " 2\n", lines_of(n))
      assert.equal(("# TYPE %s counter\n%s 7\n"):format(other, other),
        lines_of(other))
      value = 5
      fails = true
      local text
      local reports = reported(function() text = lines_of(n) end)
      fails = false
      assert.matches('{a="1",b="2"} 5\n', text, 1, true)
      assert.matches("a collector of metrics failed: [^\n]* oh", reports[1])
    end)

  it("gives the same metric to a module that is loaded again", function()
    local n = name "total"
    local c = metrics.counter(n, "A.", {"x"})
    assert.equal(c, metrics.counter(n, "Another help.", {"x"}))
    assert.has_error(function() metrics.counter(n, "A.", {"y"}) end)
    assert.has_error(function() metrics.gauge(n, "A.", {"x"}) end)
  end)

  it("has the runtime's own figures, and those of the process", function()
    green.sleep(0)
    local text = metrics.text()
    for _, n in ipairs {"luagreen_switches_total", "luagreen_run_queue",
      "process_open_fds", "process_resident_memory_bytes", "lua_memory_bytes",
      "process_cpu_seconds_total"} do
      assert.is_true(tonumber(text:match("\n" .. n .. " (%S+)\n")) > 0
        or n == "luagreen_run_queue", n)
    end
    assert.matches('luagreen_threads{state="running"} 1\n', text, 1, true)
    assert.matches('luagreen_lag_seconds_bucket{le="%+Inf"} %d+\n', text)
    local started = tonumber(text:match "\nprocess_start_time_seconds (%S+)")
    assert.is_true(math.abs(os.time() - started) < 3600 * 24)
    assert.equal("\n", text:sub(-1))
  end)

  it("yields while a thousand series are written", function()
    local n = name "total"
    local c = metrics.counter(n, "Many.", {"x"})
    for i = 1, 1000 do c:inc(1, {x = i}) end
    local turns, done = 0, false
    local t = green.spawn(function()
      while not done do
        turns = turns + 1
        green.sleep(0)
      end
    end)
    metrics.text()
    done = true
    t:join()
    assert.is_true(turns >= 10)
  end)

  it("is what promtool takes", function()
    if terminal.missing "promtool" then return pending "needs promtool" end
    local file <close> = help.file(metrics.text())
    local out = shell.run("promtool check metrics <%s 2>&1 || true", file.path)
    for line in out:gmatch "[^\n]+" do
      -- its lines with the names of this spec are true
      assert.matches("^m%d+_%w+ ", line)
    end
  end)

  it("refuses what makes no sense", function()
    local n = name "total"
    local c = metrics.counter(n, "A.", {"x"})
    for _, f in ipairs {
      function() metrics.counter("requests", "A.") end,
      function() metrics.counter("a b_total", "A.") end,
      function() metrics.counter("luagreen_switches_total", "A.") end,
      function() metrics.counter(name "total") end,
      function() metrics.gauge(name "a", "A.", {"le"}) end,
      function() metrics.gauge(name "a", "A.", {"__x"}) end,
      function() metrics.gauge(name "a", "A.", {"x", "x"}) end,
      function() metrics.histogram(name "a", "A.", {2, 1}) end,
      function() metrics.collect(1) end,
      function() c:inc(-1) end,
      function() c:inc("1") end,
      function() c:inc(0 / 0) end,
      function() c:inc(1, {y = 1}) end,
      function() c.inc({}, 1) end,
    } do
      assert.has_error(f)
    end
  end)
end)
