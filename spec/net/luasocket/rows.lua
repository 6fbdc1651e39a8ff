--- A list of rows, and the function that adds one: a name, a function, and what
--- it returns. The function gets LuaSocket's table and the helpers of
--- luasocket_spec.lua; its results are written as that spec's show() has them.
--- SPDX-License-Identifier: MIT

return function()
  local rows = {}
  return rows, function(name, f, expected)
    rows[#rows + 1] = {name = name, f = f, expected = expected}
  end
end
