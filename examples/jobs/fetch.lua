-- fetch.lua - a handler of jobs: fetches a page, by LuaSocket's client.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local http = green.import_patched "socket.http"

local LIMIT <const> = 10  -- seconds

return function(url)
  local body, status = green.with_timeout(LIMIT, http.request, url)
  if not body then error(status, 0) end
  return ("%d, %d bytes"):format(status, #body)
end
