--- green.trace: the picture of what every thread did and when.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local picture = require "spec.watch.picture"
local shell = require "spec.shell"

--- A program of threads that compute, wait, spawn and are killed, by chance.
local function random_program(steps)
  local q = green.queue(2)
  local ended = {}
  local function worker(n)
    for _ = 1, steps do
      local what = math.random(7)
      local _ <close> = what < 4 and green.trace.span("step " .. what) or nil
      if what == 1 then green.sleep(0)
      elseif what == 2 then green.sleep(math.random() / 5000)
      elseif what == 3 then q:put(n, 0.001)
      elseif what == 4 then q:get(0.001)
      elseif what == 5 then green.spawn_n(function() green.sleep(0) end)
      elseif what == 6 then for _ = 1, math.random(300) do tostring(n) end
      else pcall(function() table.sort({3, 2, 1}, function(a, b)
        green.sleep(0)
        return a < b
      end) end)
      end
    end
  end
  for i = 1, 8 do ended[i] = green.spawn(worker, i) end
  local victim = green.spawn(function() green.sleep(60) end)
  green.sleep(0.001)
  victim:kill()
  for _, t in ipairs(ended) do t:join() end
  return ended
end

local function traced(opts, f, ...)
  green.trace.start(opts)
  local ok, err = pcall(f, ...)
  local text = green.trace.stop()
  if not ok then error(err, 0) end
  return picture.entries(text), text
end

--- Runs a check of JSON's by another language's parser; nil: there is none.
local function parse(text)
  local file <close> = help.file(text, ".json")
  for _, command in ipairs {
    "python3 -c 'import json, sys; json.load(open(sys.argv[1], \"rb\"))'",
    "node -e 'JSON.parse(require(\"fs\").readFileSync(process.argv[1]))'",
  } do
    local program = command:match "^%S+"
    if os.execute("command -v " .. program .. " >/dev/null 2>&1") then
      shell.run("%s %s", command, file.path)
      return true
    end
  end
end

local function find(entries, ph, pattern)
  for _, e in ipairs(entries) do
    if e.ph == ph and e.line:find(pattern) then return e end
  end
  return nil
end

describe("green.trace", function()
  it("tiles each thread's life, and its running is what stats() counts",
    function()
      help.with_config({accounting = true}, function()
        local threads
        local entries = traced(nil, function()
          threads = random_program(20)
        end)
        picture.check(entries)
        local rows = picture.rows(entries)
        for _, t in ipairs(threads) do
          assert.equal(math.floor(t:stats().cpu * 1e9 + 0.5),
            picture.ran(rows, t.id))
        end
      end)
    end)

  it("draws what was under way when the ring has lost its beginning",
    function()
      for _, events in ipairs {64, 256} do
        picture.check((traced({events = events}, random_program, 20)))
      end
    end)

  it("says who woke a thread, and for what it had waited", function()
    local entries = traced(nil, function()
      local event = green.event()
      local t = green.spawn(function() event:wait() end)
      t.name = "waiter"
      green.sleep(0)
      green.spawn(function() event:send() end).name = "waker"
      t:join()
      green.sleep(0.001)
    end)
    assert.truthy(find(entries, "X", '"event:wait 0x%x+"'))
    assert.truthy(find(entries, "X", '"woken by":"#%d+ waker"'))
    assert.truthy(find(entries, "X", '"woken by":"a timer"'))
    assert.truthy(find(entries, "M", '"name":"#%d+ waiter"'))
  end)

  it("says who spawned a thread, and how it ended", function()
    local entries = traced(nil, function()
      local parent = green.spawn(function()
        green.spawn(function() green.sleep(0) end).name = "child"
        local failing = green.spawn(error, "oh")
        failing:join()
      end)
      parent.name = "parent"
      parent:join()
      green.sleep(0.001)
    end)
    picture.check(entries)
    assert.truthy(find(entries, "X", '"spawned by":"#%d+ parent"'))
    assert.truthy(find(entries, "X", '"ended":"failed"'))
    assert.falsy(find(entries, "X", '"ended":"done"'))
  end)

  it("counts threads from the beginning to the end", function()
    local entries = traced(nil, function()
      local ended = 0
      for _ = 1, 20 do
        green.spawn_n(function()
          green.sleep(0.001)
          ended = ended + 1
        end)
      end
      help.wait_until(function() return ended == 20 end)
      green.sleep(0.001)
    end)
    local alive = {}
    for _, e in ipairs(entries) do
      alive[#alive + 1] = math.tointeger(tonumber(
        e.line:match '"threads".*"alive":(%d+)'))
    end
    assert.is_true(math.max(table.unpack(alive)) > alive[#alive])
  end)

  it("shows where the watchdog found that a thread held up all others",
    function()
      local former = green.on_blocked(function() end)
      local entries = traced(nil, function()
        help.with_config({watchdog = 0.02, preempt = false}, function()
          local t = green.spawn(function()
            local stop = os.clock() + 0.3
            while os.clock() < stop do end
          end)
          t.name = "hog"
          t:join()
        end)
      end)
      green.on_blocked(former)
      picture.check(entries)
      local mark = find(entries, "i", '"held up all others"')
      assert.matches('"what":"computing"', mark.line)
      assert.truthy(find(entries, "M", '"tid":' .. mark.tid
        .. '.*"#%d+ hog"'))
    end)

  it("names the descriptor, and shows a look-up", function()
    local entries = traced(nil, function()
      local listener <close> = assert(green.listen("127.0.0.1", 0))
      local _, port = listener:getsockname()
      local client <close> = green.spawn(function()
        assert(green.connect("localhost", port)):close()
      end)
      listener:accept():close()
      client:join()
    end)
    picture.check(entries)
    assert.truthy(find(entries, "X", '"woken by":"fd %d+"'))
    assert.truthy(find(entries, "b", '"look%-up"'))
    assert.truthy(find(entries, "e", '"look%-up"'))
  end)

  it("is JSON whatever the names", function()
    local nasty = "a \"name\" \\ of\nlines\0 \1 \xff \xed\xa0\x80 \xc0\xaf "
      .. "\xf4\x90\x80\x80 \u{fffd} ü €"
    local _, text = traced({stacks = true}, function()
      local t = green.spawn(function() green.sleep(0.001) end)
      t.name = nasty
      green.current().name = nasty
      green.trace.mark(nasty, {[nasty] = nasty, [1] = 2, [2.5] = {},
        [true] = math.huge, nan = 0 / 0, low = -math.huge, f = print})
      green.trace.mark("a value", nasty)
      green.trace.counter(nasty, 0 / 0)
      local _ <close> = green.trace.span(nasty, {no = false})
      t:join()
      green.current().name = "main"
    end)
    picture.check(picture.entries(text))
    if not parse(text) then pending "needs python3 or node" end
  end)

  it("nests spans that wait, and those that end in another order", function()
    local entries = traced(nil, function()
      local outer = green.trace.span "outer"
      local inner = green.trace.span("inner", {n = 1})
      green.sleep(0.001)
      outer:close()
      green.sleep(0.001)
      inner:close()
      inner:close()
    end)
    picture.check(entries)
    local order = {}
    for _, e in ipairs(entries) do
      if e.ph == "B" then order[#order + 1] = e.name end
      if e.ph == "E" then order[#order + 1] = "end" end
    end
    assert.same({"outer", "inner", "end", "end", "inner", "end"}, order)
  end)

  it("draws a span that began before the ring does, and one left open",
    function()
      local left
      local entries = traced({events = 64}, function()
        local long = green.trace.span "long"
        left = green.trace.span "left"
        for _ = 1, 200 do green.sleep(0) end
        long:close()
      end)
      picture.check(entries)
      assert.truthy(find(entries, "B", '"long"'))
      assert.truthy(find(entries, "B", '"left"'))
      left:close()
    end)

  it("costs nothing that lasts: a span may outlive its trace", function()
    local span
    traced(nil, function() span = green.trace.span "early" end)
    local entries = traced(nil, function() span:close() end)
    assert.truthy(find(entries, "B", '"early"'))
    picture.check(entries)
  end)

  it("does nothing while off", function()
    assert.is_false(green.trace.running())
    green.trace.mark("nothing", {a = 1})
    green.trace.counter("nothing", 1)
    local one, two = green.trace.span "a", green.trace.span "b"
    assert.equal(one, two)
    one:close()
  end)

  it("may be stopped by the thread it traces, while others wait", function()
    green.trace.start()
    local t = green.spawn(function() return green.trace.stop() end)
    local waiter = green.spawn(green.sleep, 60)
    local text = t:wait()
    waiter:kill()
    picture.check(picture.entries(text))
    assert.is_false(green.trace.running())
  end)

  it("notes only the threads asked for", function()
    local t = green.spawn(function() for _ = 1, 3 do green.sleep(0) end end)
    t.name = "wanted"
    local other = green.spawn(function() green.sleep(0.001) end)
    other.name = "unwanted"
    local _, text = traced({threads = {t}}, function()
      t:join()
      other:join()
    end)
    assert.truthy(text:find("wanted", 1, true))
    assert.falsy(text:find("unwanted", 1, true))
  end)

  it("shows kills", function()
    local entries = traced(nil, function()
      local t = green.spawn(function() green.sleep(60) end)
      green.sleep(0)
      t:kill()
      t:join()
      pcall(function()
        local _ <close> = green.timeout(0.001)
        green.sleep(60)
      end)
    end)
    assert.truthy(find(entries, "i", '"killed"'))
    assert.truthy(find(entries, "i", '"killed".*"by":"#%d+ '))
    assert.truthy(find(entries, "X", '"ended":"killed"'))
    assert.truthy(find(entries, "i", '"interrupted: killed"'))
    assert.truthy(find(entries, "i", '"cancelled by its scope"'))
  end)

  it("writes a file, and goes on if it cannot be opened", function()
    green.trace.start()
    local text, err = green.trace.stop "/nonexistent/trace.json"
    assert.is_nil(text)
    assert.matches("^/nonexistent/trace.json: ", err)
    assert.is_true(green.trace.running())
    local file <close> = help.file ""
    assert.is_true(green.trace.stop(file.path))
    local f <close> = assert(io.open(file.path))
    picture.check(picture.entries(f:read "a"))
    green.trace.start()
    local pieces = {}
    assert.is_true(green.trace.stop {write = function(_, piece)
      table.insert(pieces, piece)
      return true
    end})
    picture.check(picture.entries(table.concat(pieces)))
  end)

  it("refuses what makes no sense", function()
    assert.has_error(function() green.trace.start {event = 1} end)
    assert.has_error(function() green.trace.start {threads = {1}} end)
    assert.has_error(function() green.trace.start {threads = {}} end)
    assert.has_error(function() green.trace.stop() end)
    assert.has_error(function() green.trace.mark() end)
    assert.has_error(function() green.trace.counter("a", "b") end)
    green.trace.start()
    assert.has_error(function() green.trace.start() end)
    assert.has_error(function() green.trace.stop(1) end)
    green.trace.stop()
  end)
end)
