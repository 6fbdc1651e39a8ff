-- The end of a program, under a stock interpreter: each spec is a program.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

--- The common part of the programs: a thread of each kind, each with a <close>
--- variable that prints; `say` prints at once.
local prelude = [[
local green = require "green"
io.stdout:setvbuf "no"
local function say(...) print(...) end
local function closing(name, f)
  return setmetatable({}, {__close = function(_, err)
    if f then f() end
    say("closed " .. name .. (err and " by " .. tostring(err) or ""))
  end})
end
local kinds = {
  sleeping = function() green.sleep(60) end,
  waiting = function() green.event():wait() end,
  getting = function() green.queue():get() end,
  sorting = function() table.sort({1, 2}, function() green.sleep(60) end) end,
  nested = function()
    coroutine.wrap(function()
      coroutine.wrap(function() green.sleep(60) end)()
    end)()
  end,
  ready = function() while true do green.sleep(0) end end,
  joining = function() green.spawn(green.sleep, 60):join() end,
  protected = function() pcall(green.sleep, 60) end,
  stubborn = function() while true do pcall(green.sleep, 60) end end,
  shielded = function()
    local _ <close> = closing("inside shielded", function()
      green.shield(1, green.sleep, 0.005)
    end)
    green.sleep(60)
  end,
}
local function spawn_all()
  green.config {grace = 0.1}
  for name, f in pairs(kinds) do
    green.spawn_n(function()
      local _ <close> = closing(name)
      f()
    end)
  end
  green.spawn_after(60, say, "never")
  green.spawn_n(say, "never started, if main never blocks")
end
local _, _ = spawn_all, closing
]]

local all = {"sleeping", "waiting", "getting", "sorting", "nested", "ready",
             "joining", "protected", "stubborn", "shielded", "inside shielded"}

local function run(program)
  return help.child(prelude:gsub("\n", " ") .. program)
end

local function assert_all_closed(out)
  for _, name in ipairs(all) do
    assert.matches("closed " .. name, out, 1, true)
  end
end

for _, keep in ipairs {"", "green.config{keep_stacks = 0} "} do
  local policy = keep == "" and "keeping stacks" or "leaving stacks"
  describe("the end of the program, " .. policy, function()
    it("kills the others and runs their <close> variables", function()
      local out, how, code = run(keep .. [[
        spawn_all()
        green.sleep(0.005)
        say "main ends"
      ]])
      assert.same({"exit", 0}, {how, code}, out)
      assert_all_closed(out)
      assert.truthy(out:find "main ends" < out:find "closed sleeping")
      assert.not_matches("never\n", out)
    end)

    it("is the same when an error of main's chunk ends it", function()
      local out, how, code = run(keep .. [[
        spawn_all()
        green.sleep(0.005)
        error "main failed"
      ]])
      assert.same({"exit", 1}, {how, code}, out)
      assert.matches("main failed", out)
      assert_all_closed(out)
    end)

    it("is the same by os.exit(code, true) in main", function()
      local out, how, code = run(keep .. [[
        spawn_all()
        green.sleep(0.005)
        os.exit(7, true)
      ]])
      assert.same({"exit", 7}, {how, code}, out)
      assert_all_closed(out)
    end)

    it("is the same by os.exit(true, true) in a green thread", function()
      local out, how, code = run(keep .. [[
        spawn_all()
        green.spawn(function()
          local _ <close> = closing "the one that exits"
          green.sleep(0.005)
          os.exit(true, true)
        end)
        green.sleep(60)
        say "main goes on"
      ]])
      assert.same({"exit", 0}, {how, code}, out)
      assert_all_closed(out)
      assert.matches("closed the one that exits", out)
      assert.not_matches("main goes on", out)
    end)

    it("is the same by os.exit(code, true) deep inside a green thread",
      function()
        local out, how, code = run(keep .. [[
          spawn_all()
          green.spawn(function()
            green.sleep(0.005)
            coroutine.wrap(function()
              table.sort({1, 2, 3}, function() os.exit(4, true) end)
            end)()
          end)
          pcall(green.sleep, 60)
          say "main goes on"
        ]])
        assert.same({"exit", 4}, {how, code}, out)
        assert_all_closed(out)
        assert.not_matches("main goes on", out)
      end)

    it("by os.exit(code) runs no <close>, as in stock Lua", function()
      for _, where in ipairs {"os.exit(3)",
                              "green.spawn(os.exit, 3) green.sleep(60)"} do
        local out, how, code = run(keep .. [[
          spawn_all()
          green.sleep(0.005)
        ]] .. where)
        assert.same({"exit", 3}, {how, code}, out)
        assert.not_matches("closed sleeping", out)
      end
    end)
  end)
end

describe("the end of the program", function()
  it("does not wait for threads, and starts none", function()
    local out, how, code = run [[
      green.spawn(say, "must not run")
      say "main ends"
    ]]
    assert.same({"exit", 0}, {how, code}, out)
    assert.equal("main ends\n", out)
  end)

  it("waits for them if main does", function()
    local out = run [[
      green.spawn(function() green.sleep(0.005) say "done" end)
      green.wait_others()
      say "main ends"
    ]]
    assert.equal("done\nmain ends\n", out)
  end)

  it("lets clean-up block for the grace, and no longer", function()
    local out, how, code = run [[
      green.config {grace = 0.05}
      green.spawn(function()
        local _ <close> = closing("quick", function()
          green.shield(nil, green.sleep, 0.005)
        end)
        green.sleep(60)
      end)
      green.spawn(function()
        local _ <close> = closing("slow", function()
          green.shield(60, green.sleep, 60)
        end)
        green.sleep(60)
      end)
      green.sleep(0)
    ]]
    assert.same({"exit", 0}, {how, code}, out)
    assert.matches("closed quick", out)
    assert.not_matches("closed slow$", out)
  end)

  it("reports a thread that lives on", function()
    local out, how, code = run [[
      green.config {grace = 0.02}
      local t = green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          while true do
            pcall(function()
              local _ <close> = setmetatable({}, {__close = function()
                while true do pcall(green.sleep, 60) end
              end})
              error "again"
            end)
          end
        end})
        green.sleep(60)
      end)
      t.name = "immortal"
      green.sleep(0)
    ]]
    assert.same({"exit", 0}, {how, code}, out)
    if #out > 0 then assert.matches("immortal", out) end
  end)

  it("finds objects that clean-up uses still whole", function()
    local out, how, code = run [[
      local older = io.tmpfile()
      green.sleep(0)
      local younger
      green.spawn(function()
        local _ <close> = closing("user of files", function()
          older:write "x"
          younger:write "x"
        end)
        green.sleep(60)
      end)
      younger = io.tmpfile()
      green.sleep(0)
    ]]
    assert.same({"exit", 0}, {how, code}, out)
    assert.matches("closed user of files", out)
    assert.not_matches("closed file", out)
  end)

  it("works with finalizers older and younger than the hub", function()
    local out, how, code = help.child [[
      local function finalizer(name)
        return setmetatable({}, {__gc = function()
          local ok, err = pcall(function()
            local green = require "green"
            local q = green.queue(1)
            assert(q:put(1, 0) and q:get(0) == 1)
            green.sleep(1)
          end)
          print(name, ok, (tostring(err):gsub(".*: ", "")))
        end})
      end
      OLDER = finalizer "older"
      local green = require "green"
      YOUNGER = finalizer "younger"
      green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          print "thread closed"
        end})
        green.sleep(60)
      end)
      green.sleep(0)
    ]]
    assert.same({"exit", 0}, {how, code}, out)
    assert.matches("thread closed", out)
    assert.matches("older\tfalse", out)
    assert.matches("younger\tfalse", out)
  end)

  it("works when the hub was never used, and when it was loaded twice",
    function()
      local out, how, code = help.child [[
        require "green"
        package.loaded["green"], package.loaded["green.core"] = nil, nil
        local green = require "green"
        green.spawn(print, "x")
        green.sleep(0)
      ]]
      assert.same({"exit", 0}, {how, code}, out)
      assert.equal("x\n", out)
      out, how, code = help.child [[require "green"]]
      assert.same({"", "exit", 0}, {out, how, code})
    end)

  it("works when a coroutine of the user's loaded the library", function()
    local out, how, code = help.child [[
      local green = coroutine.wrap(function() return require "green" end)()
      collectgarbage()
      green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          print "closed"
        end})
        green.sleep(60)
      end)
      coroutine.wrap(function() green.sleep(0.001) end)()
    ]]
    assert.same({"exit", 0, "closed\n"}, {how, code, out})
  end)

  it("is survived by thousands of live threads", function()
    local out, how, code = run [[
      local n = 0
      for i = 1, 5000 do
        green.spawn_n(function()
          local _ <close> = setmetatable({}, {__close = function()
            n = n + 1
            if n == 5000 then say "all closed" end
          end})
          if i % 2 == 0 then green.sleep(60)
          else ("x"):gsub("x", function() green.sleep(60) end) end
        end)
      end
      green.sleep(0)
    ]]
    assert.same({"exit", 0}, {how, code}, out)
    assert.matches("all closed", out)
  end)

  it("kills within a <close> of main", function()
    local out, how, code = run [[
      local t <close> = green.spawn(function()
        local _ <close> = closing "child"
        green.sleep(60)
      end)
      green.sleep(0)
      say "main ends"
    ]]
    assert.same({"exit", 0}, {how, code}, out)
    assert.matches("^main ends\nclosed child", out)
  end)
end)

describe("Ctrl-C", function()
  local function interrupted(program)
    -- beside us: system() ignores SIGINT while its command runs
    return run([[
      local function ctrl_c()
        local killer = io.popen("read _; kill -INT " .. PID(), "w")
        killer:write "\n"
        killer:flush()
      end
    ]] .. program)
  end

  it("interrupts main while it is parked, and the others clean up", function()
    local out, how, code = interrupted [[
      spawn_all()
      green.spawn_after(0.005, ctrl_c)
      green.sleep(60)
      say "main goes on"
    ]]
    assert.same({"exit", 1}, {how, code}, out)
    assert.matches("interrupted!", out)
    assert.not_matches("main goes on", out)
    assert_all_closed(out)
  end)

  it("interrupts main while it computes", function()
    local out, how, code = interrupted [[
      green.sleep(0)
      ctrl_c()
      while true do end
    ]]
    assert.same({"exit", 1}, {how, code}, out)
    assert.matches("interrupted!", out)
  end)

  it("interrupts main while another thread computes", function()
    local out, how, code = interrupted [[
      green.spawn(function()
        ctrl_c()
        while true do end
      end)
      local ok, err = pcall(green.sleep, 60)
      say(ok, err)
      os.exit(9)
    ]]
    assert.same({"exit", 9}, {how, code}, out)
    assert.matches("false\tinterrupted!", out)
  end)

  it("can be caught, and strikes once", function()
    local out, how, code = interrupted [[
      green.spawn_after(0.005, ctrl_c)
      local ok, err = pcall(green.sleep, 60)
      say(ok, err)
      green.sleep(0.005)
      say "main goes on"
    ]]
    assert.same({"exit", 0}, {how, code}, out)
    assert.equal("false\tinterrupted!\nmain goes on\n", out)
  end)

  it("for the second time has the default action", function()
    local out, how, code = interrupted [[
      green.spawn_after(0.005, ctrl_c)
      pcall(green.sleep, 60)
      say "first"
      ctrl_c()
      green.sleep(60)
    ]]
    assert.same({"signal", 2}, {how, code}, out)
    assert.matches("first", out)
  end)

  it("is left alone by config{sigint = false}: main stays parked", function()
    local out, how, code = interrupted [[
      green.config {sigint = false}
      green.spawn_n(ctrl_c) -- when main is parked: Lua's own handler struck it
      green.spawn_after(0.1, function()
        say "still here"
        os.execute("kill -TERM " .. PID())
      end)
      green.sleep(60)
      say "main goes on"
    ]]
    assert.same({"signal", 15}, {how, code}, out)
    assert.matches("^still here\n", out)
    assert.not_matches("main goes on", out)
  end)
end)
