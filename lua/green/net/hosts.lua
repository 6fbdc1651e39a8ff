--- Addresses as texts: one spelling of each, and what counts as one peer.
---
--- Never switches.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local table, tonumber = table, tonumber

local hosts = {}

--- No leading zeros, which some read as octal numbers.
local function is_ipv4(text)
  local parts = {text:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$"}
  for i = 1, #parts do
    local part = parts[i]
    if #part > 3 or part:find "^0%d" or tonumber(part) > 255 then
      return false
    end
  end
  return #parts == 4
end

--- The system's spelling of an address of that family, "inet" or "inet6"; nil
--- if the text is none.
function hosts.spelled(text, family)
  if family == "inet" then return is_ipv4(text) and text or nil end
  if not text:find "^[%x:.]+$" then return nil end
  local found = core.getaddrinfo("server", text, nil, "inet6", "stream", 0, "n")
  return found and found[1].addr or nil
end

--- IPv4's address if the host came to a socket of both families.
function hosts.unmapped(host)
  return (host:gsub("^::ffff:(%d+%.)", "%1"))
end

local function groups_of(text)
  local list = {}
  for group in text:gmatch "[%x.]+" do
    list[#list + 1] = group
    if group:find(".", 1, true) then list[#list + 1] = "" end -- two in one
  end
  return list
end

--- The peer that a host counts as: an address of IPv4, the /64 of one of IPv6,
--- of which each customer has all.
function hosts.counted(host)
  host = hosts.unmapped(host)
  if not host:find(":", 1, true) then return host end
  local left, right = host:gsub("%%.*", ""):match "^(.-)::(.*)$"
  local front, back = groups_of(left or host), groups_of(right or "")
  local zeros = 8 - #front - #back
  for i = #front + 1, 4 do
    front[i] = zeros > 0 and "0" or back[#back - 8 + i]
    zeros = zeros - 1
  end
  return table.concat(front, ":", 1, 4) .. "::/64"
end

return hosts
