-- resident.lua - a function: the resident bytes of this process; of "VmHWM" the
-- most there have been.
-- SPDX-License-Identifier: MIT
return function(field)
  field = field or "VmRSS"
  for line in io.lines("/proc/self/status") do
    local kb = line:match("^" .. field .. ":%s*(%d+)")
    if kb then return tonumber(kb) * 1024 end
  end
end
