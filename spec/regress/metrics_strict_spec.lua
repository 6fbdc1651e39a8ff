--- The text of green.metrics had lines twice, and names with two types, where
--- a collector or a peer wished so; Prometheus then refuses the whole scrape.
--- A collector's error could raise in text(), and so could a finalizer that
--- called it.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local metrics = green.metrics

--- The value of a label, from the first byte behind its quote on; and where it
--- ends.
local function value_at(line, at)
  local bytes = {}
  while true do
    local c = line:sub(at, at)
    assert(c ~= "", "a value without an end: " .. line)
    if c == '"' then return table.concat(bytes), at + 1 end
    if c == "\\" then
      at = at + 1
      c = assert(({["\\"] = "\\", ['"'] = '"', n = "\n"})[line:sub(at, at)],
        "an escape that is none: " .. line)
    end
    bytes[#bytes + 1] = c
    at = at + 1
  end
end

--- The labels of a line, by name, and where they end.
local function labels_at(line, at)
  local labels = {}
  while line:sub(at, at) ~= "}" do
    local name, stop = line:match('^([%a_][%w_]*)="()', at)
    assert(name and not labels[name], "labels: " .. line)
    labels[name], at = value_at(line, stop)
    if line:sub(at, at) == "," then at = at + 1 end
  end
  return labels, at + 1
end

local function key_of(name, labels)
  local parts = {}
  for label, value in pairs(labels) do
    parts[#parts + 1] = ("%q=%q"):format(label, value)
  end
  table.sort(parts)
  return name .. "{" .. table.concat(parts, ",") .. "}"
end

local function number(text)
  local special = {["+Inf"] = math.huge, ["-Inf"] = -math.huge, NaN = 0 / 0}
  return special[text] or assert(tonumber(text), "no number: " .. text)
end

--- {name, labels, value}
local function parse_line(line)
  local name, at = line:match "^([%a_:][%w_:]*)()"
  assert(name, "no name: " .. line)
  local labels = {}
  if line:sub(at, at) == "{" then labels, at = labels_at(line, at + 1) end
  local value = line:match("^ (%S+)$", at)
  assert(value, "no value: " .. line)
  return name, labels, number(value)
end

local function family_of(types, name)
  if types[name] then return name end
  local histogram = name:match "^(.*)_bucket$" or name:match "^(.*)_sum$"
    or name:match "^(.*)_count$"
  assert(types[histogram] == "histogram", "no type: " .. name)
  return histogram
end

--- Each bucket holds what is in those below; the last one is all.
local function check_buckets(values, buckets)
  for key, list in pairs(buckets) do
    local last = -1
    for i, bucket in ipairs(list) do
      assert(bucket.value >= last, "not cumulative: " .. key)
      assert(i == 1 or bucket.le > list[i - 1].le, "not rising: " .. key)
      last = bucket.value
    end
    assert(list[#list].le == math.huge, "no +Inf: " .. key)
    assert(values[key:gsub("{", "_count{", 1)] == last, "_count: " .. key)
    assert(values[key:gsub("{", "_sum{", 1)], "_sum: " .. key)
  end
end

--- All values by name and labels. Raises what is wrong with the text.
local function parse(text)
  local types, helps, seen, values, buckets, now = {}, {}, {}, {}, {}, nil
  assert(utf8.len(text) and not text:find "\0" and text:find "\n$")
  for line in text:gmatch "([^\n]*)\n" do
    local what, name, rest = line:match "^# (%u+) (%S+) ?(.*)$"
    if what == "HELP" then
      assert(not helps[name] and not types[name], line)
      helps[name] = rest
    elseif what == "TYPE" then
      assert(not types[name] and not seen[name], line)
      types[name], seen[name], now = rest, true, name
    else
      local labels, value
      name, labels, value = parse_line(line)
      assert(family_of(types, name) == now, "not together: " .. line)
      local key = key_of(name, labels)
      assert(values[key] == nil, "twice: " .. line)
      values[key] = value
      if types[now] == "histogram" and name == now .. "_bucket" then
        local le = number(labels.le)
        labels.le = nil
        key = key_of(now, labels)
        buckets[key] = buckets[key] or {}
        table.insert(buckets[key], {le = le, value = value})
      end
    end
  end
  check_buckets(values, buckets)
  return values
end

local emitted

metrics.collect(function(emit)
  if emitted then emitted(emit) end
end)

--- The values while f(emit) collects.
local function collected(f)
  local reports, former = {}, io.stderr
  emitted = f
  -- luacheck: push ignore 122
  io.stderr = {write = function(_, text) table.insert(reports, text) end}
  local ok, text = pcall(metrics.text)
  io.stderr = former
  -- luacheck: pop
  emitted = nil
  assert.is_true(ok, text)
  return parse(text), table.concat(reports)
end

describe("the text of green.metrics", function()
  it("comes in a finalizer", function()
    local ok, text, heap
    setmetatable({}, {__gc = function()
      ok, text = pcall(metrics.text)
      heap = green.stats().heap
    end})
    collectgarbage()
    collectgarbage()
    assert.is_true(ok, text)
    parse(text) -- it is short still, and gives no turns
    assert.is_true(heap >= 0)
  end)

  it("is what a strict reader takes", function()
    local h = metrics.histogram("s_seconds", "He said \\ \"x\"\n", {1, 2},
      {"a", "b"})
    for i = 1, 9 do h:observe(i / 3, {a = 'q"\\\n' .. i % 2, b = "\xff"}) end
    metrics.gauge("s_gauge", "G"):set(-1 / 0)
    local values = parse(metrics.text())
    assert.equal(-math.huge, values["s_gauge{}"])
    assert.equal(5, values[key_of("s_seconds_count",
      {a = 'q"\\\n1', b = "\\xff"})])
  end)

  it("has one line for values that have one text", function()
    local c = metrics.counter("s_peers_total", "", {"a", "b"})
    c:inc(1, {a = "\xff"})
    c:inc(2, {a = "\\xff"})
    c:inc(4, {a = "x\0y"})
    c:inc(8, {a = "x", b = "y\0"})
    local values = parse(metrics.text())
    assert.equal(3, values[key_of("s_peers_total", {a = "\\xff", b = ""})])
    assert.equal(4, values[key_of("s_peers_total", {a = "x\\x00y", b = ""})])
    assert.equal(8, values[key_of("s_peers_total", {a = "x", b = "y\\x00"})])
  end)

  it("has one line 'overflow', also if a peer has that name", function()
    local c = metrics.counter("s_names_total", "", {"name"})
    collected(function() -- it reports the overflow
      c:inc(1, {name = "overflow"})
      for i = 1, 1500 do c:inc(1, {name = i}) end
    end)
    local values = parse(metrics.text())
    assert.equal(502, values[key_of("s_names_total", {name = "overflow"})])
  end)

  it("has no line of a histogram as another metric", function()
    for _, suffix in ipairs {"_bucket", "_sum", "_count"} do
      assert.has_error(function()
        metrics.gauge("luagreen_lag_seconds" .. suffix, "")
      end)
      assert.has_error(function() metrics.gauge("s_seconds" .. suffix, "") end)
      metrics.gauge("s_later" .. suffix, "")
      local _, reports = collected(function(emit)
        emit("s_seconds" .. suffix, 1)
      end)
      assert.matches("name of another metric expected", reports)
    end
    assert.has_error(function() metrics.histogram("s_later", "") end)
    parse(metrics.text())
  end)

  it("has the last value of what is collected twice", function()
    local values = collected(function(emit)
      emit("s_twice", 1, {a = "\xfe"})
      emit("s_twice", 2, {a = "\\xfe"})
    end)
    assert.equal(2, values[key_of("s_twice", {a = "\\xfe"})])
  end)

  it("comes whatever a collector does wrong", function()
    local raises = setmetatable({}, {__tostring = function() error "no" end})
    for _, f in ipairs {function() error(raises) end,
                        function(emit) emit("s_wrong", 1, "labels") end,
                        function(emit) emit("s_wrong", 1, nil, {}) end,
                        function(emit) emit("s_wrong", 1, {a = raises}) end,
                        function(emit) emit("s_wrong", 1, {[raises] = 1}) end,
                        function(emit) emit(raises, 1) end} do
      local values, reports = collected(f)
      assert.is_nil(values["s_wrong{}"])
      assert.matches("a collector of metrics failed", reports)
    end
  end)

  it("never shows a counter that falls", function()
    local c = metrics.counter("s_long_total", "")
    c:inc(math.maxinteger)
    c:inc(math.maxinteger)
    assert.equal(2.0 ^ 64, parse(metrics.text())["s_long_total{}"])
  end)
end)

describe("green.health", function()
  it("takes any reason", function()
    local raises = setmetatable({}, {__tostring = function() error "no" end})
    green.health.check("returns", function() return nil, raises end)
    green.health.check("raises", function() error(raises, 0) end)
    local ok, results = green.health.run()
    assert.is_false(ok)
    assert.is_string(results.returns.why)
    assert.is_string(results.raises.why)
    green.health.check("raises", function() error("a\nok\r\n", 0) end)
    local _, text = green.health.text()
    assert.equal(3, select(2, text:gsub("\n", "")))
    assert.matches("raises: a ok +%(", text)
    green.health.check("returns")
    green.health.check("raises")
  end)
end)
