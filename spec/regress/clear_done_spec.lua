-- If the program called task_done for items before anybody got them, clear
-- counted them once more when it dropped them, and join returned before later
-- items were done.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("clear", function()
  it("counts an item done once, also if task_done came first", function()
    local q = green.queue()
    for i = 1, 3 do q:put(i) end
    for _ = 1, 3 do q:task_done() end
    assert.equal(3, q:clear())
    assert.is_true(q:join(0))
    q:put(4)
    assert.same({nil, "timeout"}, {q:join(0)})
    q:get()
    q:task_done()
    assert.is_true(q:join(0))
  end)
end)
