--- LuaSec's module `ssl`: the installed one, unmodified, on connections that
--- block the calling green thread alone.
---
--- For code that exists. New code finds TLS with host names verified in
--- green.connect(host, port, {tls = true}).
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local Room = require "green.patch.import"
local require = require
local room = Room.new {
  ["ssl.core"] = function() return require "green.patch.luasec" end,
}

return (room.require "ssl")
