--- The report of an error ran the __tostring of a sandbox's script outside of
--- the sandbox: one long match in it stopped the whole program for good.

local green = require "green"

--- The script's own find, and that of strings.
local texts = {
  [[local s, find = ("a"):rep(3000), string.find
    error(setmetatable({}, {__tostring = function()
      return (find(s, ".-.-.-b")) end}))]],
  [[error(setmetatable({}, {__tostring = function()
      return (("a"):rep(3000):find(".-.-.-b")) end}))]],
}

describe("the report of a script's error", function()
  it("gives the others their turns, and ends", function()
    local former = green.config()
    green.config {preempt = 0.002, grace = 0.02}
    local _ <close> = setmetatable({}, {__close = function()
      green.config {preempt = former.preempt, grace = former.grace}
    end})
    local box = green.sandbox {}
    for _, text in ipairs(texts) do
      box:spawn(text)
      green.sleep(0.001)
      local t = box:spawn("green.sleep(0)")
      assert.is_true((t:join(10)))
    end
    local limit = os.time() + 30
    while box:stats().threads > 0 or #green.threads() > 1 do
      assert(os.time() < limit, "the reports do not end")
      green.sleep(0.005)
    end
  end)
end)
