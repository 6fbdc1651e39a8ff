-- resident.lua - a function: the resident bytes of this process.
-- SPDX-License-Identifier: MIT
return function()
  for line in io.lines("/proc/self/status") do
    local kb = line:match("^VmRSS:%s*(%d+)")
    if kb then return tonumber(kb) * 1024 end
  end
end
