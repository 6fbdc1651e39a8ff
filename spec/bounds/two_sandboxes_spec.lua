--- Scripts of two sandboxes that have functions and objects of each other: the
--- bounds are those of the thread that runs.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

--- Two sandboxes; the second has what the text in the first returns, as `it`.
local function two(owner, text, caller)
  local a, b = green.sandbox(owner), green.sandbox(caller)
  local ok, it = a:spawn(text):join()
  assert.is_true(ok, tostring(it))
  b.env.it = it
  return a, b
end

--- The results of a text in a sandbox; raises what it raises.
local function run(box, text)
  return box:spawn(text):wait()
end

local function stop(...)
  for _, box in ipairs {...} do
    box:kill()
    while box:stats().threads > 0 do green.sleep(0) end
  end
end

describe("a function of another sandbox", function()
  help.configured(setup, teardown, {preempt = 0.002, grace = 0.05})

  it("spawns in the caller's, within its limit", function()
    local a, b = two({grants = {"coroutine"}}, [[
      return {function() return green.spawn(green.sleep, 1e6) end,
        function(f) return green.group():spawn(f, 1e6) end,
        function(f) return green.pool(9):spawn(f, 1e6) end,
        function() return green.spawn_after(1e6, green.sleep) end,
        coroutine.wrap(function() green.spawn(green.sleep, 1e6) end)}]],
      {limits = {threads = 6}})
    for i = 1, 5 do
      b.env.i = i
      run(b, "it[i](green.sleep)")
      assert.equal(i, b:stats().threads)
    end
    assert.has_error(function() run(b, "it[1]() it[1]()") end)
    assert.equal(0, a:stats().threads)
    stop(b)
  end)

  it("is ended by the caller's limit of time, not its own", function()
    local text = "return function() while true do end end"
    local a, b = two({}, text, {limits = {stretch = 0.05}})
    local ok, err = b:spawn("it()"):join()
    assert.same({false, "it computed for too long"}, {ok, err.reason})
    local c, d = two({limits = {stretch = 0.05}}, text, {})
    local t = d:spawn "it()"
    assert.same({nil, "timeout"}, {t:join(0.3)})
    stop(a, b, c, d)
    assert.equal("killed", t:status())
  end)

  it("ends with the caller's sandbox, not with its own", function()
    local a, b = two({}, "return function() green.sleep(1e6) end", {})
    local t = b:spawn "it()"
    green.sleep(0)
    assert.equal(0, a:kill())
    green.sleep(0.001)
    assert.equal("blocked", t:status())
    assert.equal(1, b:kill())
    stop(b)
    assert.equal("killed", t:status())
  end)

  it("names files where the caller may", function()
    local path = os.tmpname()
    os.remove(path)
    local server = assert(green.listen("unix:" .. path))
    local text = ("return function() return green.connect(%q) ~= nil end")
      :format("unix:" .. path)
    local connect, both = {grants = {"connect"}}, {grants = {"connect", "io"}}
    local a, b = two(both, text, connect)
    assert.has_error(function() run(b, "return it()") end)
    local c, d = two(connect, text, both)
    assert.is_true(run(d, "return it()"))
    server:close()
    os.remove(path)
    stop(a, b, c, d)
  end)

  it("makes what counts in the caller's", function()
    local a, b = two({grants = {"connect", "coroutine"}}, [[
      return function()
        return green.queue(), coroutine.create(function() end),
          green.socketpair()
      end]], {limits = {items = 2, coroutines = 1, descriptors = 2}})
    run(b, "made = table.pack(it())")
    local stats = b:stats()
    assert.same({1, 2}, {stats.coroutines, stats.descriptors})
    -- Whoever has it later.
    a.env.q = b.env.made[1]
    assert.has_error(function() run(a, "for i = 1, 3 do q:put(i) end") end)
    stats = a:stats()
    assert.same({0, 0, 0}, {stats.coroutines, stats.descriptors, stats.items})
    assert.equal(2, b:stats().items)
    a.env.q, b.env.made = nil, nil
    help.wait_until(function()
      collectgarbage()
      stats = b:stats()
      return stats.coroutines + stats.descriptors + stats.items == 0
    end)
  end)
end)
