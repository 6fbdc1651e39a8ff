-- green.config went through its table in the order of next(): where a value did
-- not fit, any of the others were set already. Times came back smaller than
-- they were given: 1.001 s in milliseconds was 1.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local function answer() return {} end

--- These take any value.
local flags = {recycle = true, sigint = true, accounting = true}

--- All options, with a value that they do not have.
local function others()
  return {grace = 1.5, keep_stacks = 77, max_stacks = 7777, max_threads = 777,
    max_timers = 777, max_descriptors = 777, max_items = 777, max_jobs = 7,
    max_line = 7777, max_client_line = 777, dns_ttl = 7.5,
    dns_negative_ttl = 7.5, dns_cache = 7, resolver = answer,
    poll_switches = 77, poll_ms = 7, budget = 7, recycle = false,
    sigint = false, accounting = true, dump_signal = "WINCH", watchdog = 7.5,
    preempt = 7.5}
end

describe("green.config", function()
  it("sets nothing where one of the values does not fit", function()
    local before = green.config()
    for name in pairs(before) do assert.is_not_nil(others()[name], name) end
    for name in pairs(before) do
      local options = others()
      if flags[name] then
        options[name .. "s"] = 1 -- no option
      else
        options[name] = {}
      end
      local ok, err = pcall(green.config, options)
      assert.is_false(ok)
      assert.truthy(err:find(name, 1, true), err)
      assert.same(before, green.config())
    end
  end)

  it("tells where the call was", function()
    local ok, err = pcall(function()
      green.config {budget = 5, grace = "no"}
    end)
    assert.is_false(ok)
    assert.truthy(err:find("config_all_or_none_spec.lua:%d+: bad value"), err)
  end)

  it("takes what it has returned", function()
    local before = green.config()
    for _, s in ipairs {1.001, 0.0019, 4.35, 64.1, 8.2} do
      green.config {grace = s, dns_ttl = s}
      local now = green.config()
      green.config(now)
      assert.same(now, green.config())
      if s >= 1 then assert.equal(s, now.dns_ttl) end
      assert.equal(s, now.grace)
    end
    green.config(others())
    for name, value in pairs(others()) do
      assert.equal(value, green.config()[name])
    end
    green.config(before)
    assert.same(before, green.config())
  end)
end)
