-- examples/jobs: nothing is lost when workers die, fail or are stopped.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local shell = require "spec.shell"
local terminal = require "spec.terminal"

local function lua_redis()
  return package.searchpath("redis",
    package.path .. ";/usr/share/lua/5.3/?.lua")
end

local missing = terminal.missing "redis-server"
  and "redis-server is not installed"
  or not lua_redis() and "lua-redis is not installed"

-------------------------------------------------------------------- a server --

local Fleet = {}
Fleet.__index = Fleet

local function contents(path)
  local file = io.open(path)
  if not file then return "" end
  local text = file:read "a"
  file:close()
  return text
end

--- A process in the background, for at most a minute. Its output goes to a
--- file, its id to another.
function Fleet:start(name, command)
  local base = self.directory .. "/" .. name
  assert(os.execute(("timeout 60 sh -c 'echo $$ >%s.pid; exec %s' >%s.log 2>&1 "
    .. "</dev/null &"):format(base, command, base)))
  help.wait_until(function()
    return contents(base .. ".pid"):find "\n"
  end, name)
  self.pids[name] = contents(base .. ".pid"):match "%d+"
end

function Fleet:signal(name, signal)
  return os.execute(("kill -%s %s 2>/dev/null"):format(signal, self.pids[name]))
end

function Fleet:log(name)
  return contents(self.directory .. "/" .. name .. ".log")
end

function Fleet:expect(name, text)
  help.wait_until(function() return self:log(name):find(text, 1, true) end,
    ("%s says %s"):format(name, text))
end

--- A worker with this handler, whose code sees green and `directory`.
function Fleet:worker(name, handler, options)
  local path = self.directory .. "/" .. name .. ".lua"
  local file = assert(io.open(path, "w"))
  file:write("local green = require 'green'\nio.stdout:setvbuf 'line'\n",
    ("local directory = %q\n"):format(self.directory), handler)
  file:close()
  self:start(name, ("bin/luagreen examples/jobs/worker.lua %s redis=%s %s")
    :format(path, self.address, options))
end

function Fleet:__close()
  self.queue:close()
  for name in pairs(self.pids) do self:signal(name, "KILL") end
  os.execute("rm -rf " .. self.directory)
end

--- A Redis server of our own, a queue on it, and a client that looks in.
local function fleet()
  local jobs = dofile "examples/jobs/jobs.lua"
  local directory = shell.scratch()
  local address = "unix:" .. directory .. "/redis"
  local self = setmetatable({directory = directory, address = address,
    pids = {}, queue = jobs.queue("jobs", address)}, Fleet)
  self:start("server", ("redis-server --port 0 --unixsocket %s/redis --dir %s "
    .. "--save \"\""):format(directory, directory))
  help.wait_until(function()
    local ok, client = pcall(jobs.connect, address)
    self.client = ok and client
    return ok
  end, "redis-server")
  return self
end

--- {the id, worker, idle time and deliveries of each job that is delivered}
function Fleet:pending()
  return self.client:xpending("jobs", "workers", "-", "+", 100)
end

function Fleet:settled()
  help.wait_until(function() return #self:pending() == 0 end, "nothing pending")
  assert.equal(0, self.queue:length())
end

local function it_does(what, f)
  it(what, function()
    if missing then
      pending(missing)
      return
    end
    local self <close> = fleet()
    f(self)
  end)
end

----------------------------------------------------------------------- specs --

local quiet <const> = {report = function() end}

local function with(options)
  return setmetatable(options, {__index = quiet})
end

describe("examples/jobs", function()
  it_does("has a killed worker's jobs done by another", function(f)
    local ids = {}
    for i = 1, 20 do ids[i] = f.queue:put("job " .. i) end
    f:worker("stuck", [[return function(data)
      print("stuck in " .. data)
      green.sleep(1000)
    end]], "threads=3 idle=0.3")
    help.wait_until(function()
      return select(2, f:log "stuck":gsub("stuck in", "")) == 3
    end, "three jobs begun")
    f:worker("good", "return string.upper", "threads=3 idle=1")
    for i = 4, 20 do assert.equal("JOB " .. i, f.queue:result(ids[i], 30)) end
    assert(f:signal("stuck", "KILL"))
    for i = 1, 3 do assert.equal("JOB " .. i, f.queue:result(ids[i], 30)) end
    f:settled()
    assert.same({}, f.queue:dead())
  end)

  it_does("renews the claim to a job that takes longer", function(f)
    local worker = f.queue:work(function() green.sleep(1000) end,
      with {idle = 0.6, threads = 1})
    f.queue:put "long"
    help.wait_until(function() return next(worker.running) end, "a job begun")
    local longest = 0
    help.wait_until(function()
      green.sleep(0.001)
      local idle = f:pending()[1][3]
      longest = math.max(longest, idle)
      return idle < longest
    end, "less idle than before")
    worker:kill()
  end)

  it_does("tries a job that fails again, and then counts it as dead",
    function(f)
      local seen, reported = {}, {}
      local worker = f.queue:work(function(_, job)
        seen[#seen + 1] = job.deliveries
        error("no luck", 0)
      end, {idle = 0.05, deliveries = 3,
        report = function(err) reported[#reported + 1] = err end})
      local id = f.queue:put "bad"
      assert.same({nil, "no luck"}, {f.queue:result(id, 30)})
      assert.same({1, 2, 3}, seen)
      assert.equal(id .. ": no luck", reported[3])
      assert.same({{id = id, data = "bad", error = "no luck",
        deliveries = "3"}}, f.queue:dead())
      f:settled()
      worker:stop()
      assert.equal(0, worker:wait(30))
    end)

  it_does("gives no worker a job that ended all of those who had it",
    function(f)
      f.client:eval("redis.call('XGROUP', 'CREATE', 'jobs', 'workers', 0, "
        .. "'MKSTREAM')", 0)
      local id = f.queue:put "poison"
      f.client:xreadgroup("GROUP", "workers", "victim", "STREAMS", "jobs", ">")
      local worker = f.queue:work(error, with {idle = 0.05, deliveries = 1})
      assert.same({nil, "no worker survived it"}, {f.queue:result(id, 30)})
      assert.equal("poison", f.queue:dead()[1].data)
      worker:kill()
    end)

  it_does("settles a job once, whoever else has done it", function(f)
    local worker = f.queue:work(function(_, job)
      assert(f.client:xack("jobs", "workers", job.id) == 1)
    end, with {most = 1, threads = 1, idle = 1})
    local id = f.queue:put "mine"
    assert.equal(1, worker:wait(30))
    assert.same({nil, "timeout"}, {f.queue:result(id, 0)})
  end)

  it_does("lets any number wait for results while others put", function(f)
    local waiters = {}
    for i = 1, 20 do
      waiters[i] = green.spawn(f.queue.result, f.queue, f.queue:put(i), 30)
    end
    help.wait_until(function()
      return f.client:info().clients.blocked_clients == "20"
    end, "all wait in Redis")
    local last = f.queue:put "last"
    local worker = f.queue:work(function(data) return data end, quiet)
    for i = 1, 20 do assert.equal(tostring(i), waiters[i]:wait()) end
    assert.equal("last", f.queue:result(last, 30))
    worker:kill()
  end)

  it_does("goes on when its connections are cut", function(f)
    local worker = f.queue:work(string.upper, with {threads = 1})
    assert.equal("A", f.queue:result(f.queue:put "a", 30))
    f.client:client("KILL", "TYPE", "normal", "SKIPME", "yes")
    assert.equal("B", f.queue:result(f.queue:put "b", 30))
    worker:kill()
  end)

  for what, stop in pairs {
    ["when it is told to"] = function(f)
      help.wait_until(function()
        green.sleep(0.001)
        return f.queue:stop() == 1
      end, "a worker told")
    end,
    ["at Ctrl-C"] = function(f) assert(f:signal("last", "INT")) end,
  } do
    it_does("finishes what runs, and stops, " .. what, function(f)
      f:worker("last", [[return function(data)
        print "begun"
        while not io.open(directory .. "/go") do green.sleep(0.01) end
        return data
      end]], "threads=1 idle=1")
      local id = f.queue:put "slow"
      f:expect("last", "begun")
      stop(f)
      io.open(f.directory .. "/go", "w"):close()
      assert.equal("slow", f.queue:result(id, 30))
      f:expect("last", "worker-1 ends, 1 jobs done")
      f:settled()
    end)
  end

  it_does("submits from the command line", function(f)
    f:worker("good", [[return function(data)
      if data == "bad" then error("oh", 0) end
      return data .. "!"
    end]], "deliveries=1")
    local submit = "bin/luagreen examples/jobs/submit.lua redis=" .. f.address
    local pipe = io.popen(submit .. " one 'two words' bad")
    assert.equal("one: one!\ntwo words: two words!\nbad: failed: oh\n",
      pipe:read "a")
    assert.is_nil(pipe:close())
    pipe = io.popen(submit .. " --dead")
    assert.matches("after 1 deliveries: oh\n  bad\n", pipe:read "a", 1, true)
    pipe:close()
  end)
end)
