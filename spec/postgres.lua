--- A PostgreSQL server of its own, for a spec: in a directory that is removed
--- with it, reached by a Unix socket there, and by a port if one is asked for.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

local postgres = {}

--- A shell's words that run a command as a user who may run servers: root may
--- not, so then it is Debian's user.
local function as_server()
  if shell.run "id -u":match "%d+" ~= "0" then return "" end
  return "setpriv --reuid=postgres --regid=postgres --clear-groups "
end

local function find_programs()
  for _, dir in ipairs {"$(pg_config --bindir)", "/usr/lib/postgresql/*/bin"} do
    local p = io.popen("ls -d " .. dir .. " 2>/dev/null | tail -n 1")
    local path = p:read "l"
    p:close()
    local works = path and os.execute(("[ -x '%s/initdb' ]"):format(path))
    if works then return path end
  end
end

--- Starts one, at a port of this host, too, if given. Returns what stands
--- before a command so that libpq finds it, and a function that ends it; or nil
--- and why not.
function postgres.start(port)
  local bin = find_programs()
  if not bin then return nil, "there is no PostgreSQL server" end
  local as = as_server()
  if as ~= "" and not os.execute "id postgres >/dev/null 2>&1" then
    return nil, "root may not run PostgreSQL, and there is no user for it"
  end
  local dir = shell.scratch()
  if as ~= "" then shell.run("chown postgres %s", dir) end
  local function run(command)
    return os.execute(("unset LD_PRELOAD; cd %s && %s%s >>log 2>&1 </dev/null")
      :format(dir, as, command))
  end
  local function stop()
    run(("%s/pg_ctl -D data -m immediate -w stop"):format(bin))
    shell.run("rm -rf %s", dir)
  end
  if not run(("%s/initdb -N -D data -U test -A trust"):format(bin))
    or not run(("%s/pg_ctl -D data -w -o '-F -k %s -p %d "
      .. "-c listen_addresses=%s' start"):format(bin, dir, port or 5432,
      port and "127.0.0.1" or "")) then
    stop()
    return nil, "the PostgreSQL server does not start"
  end
  return ("PGHOST=%s PGUSER=test PGDATABASE=postgres"):format(dir), stop
end

return postgres
