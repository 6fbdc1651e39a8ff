--- `make install`: what lies where, and programs that use what was installed
--- as a user's would, by pkg-config.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

describe("make install", function()
  local dir, prefix
  local version = shell.version

  setup(function()
    dir = shell.scratch()
    prefix = dir .. "/prefix"
    shell.run("make -s install PREFIX=%s", prefix)
  end)
  teardown(function() shell.run("rm -rf %s", dir) end)

  local function share()
    return prefix .. "/share/lua/" .. version
  end

  it("honours DESTDIR, and installs each file that was promised", function()
    shell.run("make -s install PREFIX=/opt/green DESTDIR=%s/stage", dir)
    for _, file in ipairs{
      "include/green.h", "include/green_record.h", "include/green_runtime.h",
      "include/green_lua.h", "lib/libgreen.a", "lib/libgreen.so",
      "lib/libgreen_lua.a", "lib/libgreen_lua.so",
      "lib/pkgconfig/luagreen.pc", "lib/pkgconfig/luagreen-lua.pc",
      "lib/lua/VERSION/green/core.so", "share/lua/VERSION/green/init.lua",
      "bin/luagreen", "bin/luagreenVERSION", "lib/libgreen_luaVERSION.a",
      "lib/libgreen_luaVERSION.so", "lib/pkgconfig/luagreen-luaVERSION.pc",
      "lib/cmake/luagreen/luagreenConfig.cmake",
      "lib/cmake/luagreen/luagreen-luaVERSION.cmake",
    } do
      shell.run("test -s %s/stage/opt/green/%s", dir,
                (file:gsub("VERSION", version)))
    end
    local text = shell.run("cat %s/stage/opt/green/lib/pkgconfig/*.pc", dir)
    assert.is_nil(text:find(dir, 1, true))
  end)

  --- Compiles spec/house/hosts/NAME.c with the flags of a package, and more.
  local function build(name, package, more)
    shell.run("export PKG_CONFIG_PATH=%s/lib/pkgconfig && "
              .. "cc -Wall -Werror spec/house/hosts/%s.c -o %s/%s "
              .. "$(pkg-config --cflags %s) %s", prefix, name, dir, name,
              package, more)
  end
  local function lua_path()
    return ("LUA_PATH='%s/?.lua;%s/?/init.lua' LUA_CPATH='%s/lib/lua/%s/?.so'")
      :format(share(), share(), prefix, version)
  end

  it("lets a C program link the shared library", function()
    build("shared", "luagreen", "$(pkg-config --libs luagreen)")
    assert.equal("0\n", shell.run("LD_LIBRARY_PATH=%s/lib %s/shared",
                                  prefix, dir))
  end)

  it("lets a C program link the static library", function()
    build("shared", "luagreen", prefix
          .. "/lib/libgreen.a $(pkg-config --libs libuv) -lpthread")
    assert.equal("0\n", shell.run("%s/shared", dir))
  end)

  it("lets a host with Lua inside link the binding", function()
    build("host", "luagreen-lua", "$(pkg-config --libs luagreen-lua)")
    local text = shell.run("LD_LIBRARY_PATH=%s/lib %s %s/host", prefix,
                           lua_path(), dir)
    assert.equal("hosted\n", text)
  end)

  it("has one core in a process, however its parts were linked", function()
    build("both", "luagreen-lua", ("-L%s/lib -lgreen $(pkg-config --libs "
          .. "lua%s libuv) -ldl"):format(prefix, version))
    assert.equal("one\n", shell.run("LD_LIBRARY_PATH=%s/lib %s %s/both "
                 .. "%s/lib/lua/%s/green/core.so", prefix, lua_path(), dir,
                 prefix, version))
  end)

  it("keeps two copies in a process apart, if one is linked statically",
    function()
      build("apart", "luagreen-lua", ("%s/lib/libgreen_lua.a $(pkg-config "
            .. "--libs lua%s libuv) -lpthread -ldl"):format(prefix, version))
      local refused = "luagreen: another copy of the library is open in this "
        .. "state; link the program and its modules with libgreen_lua.so\n"
      assert.equal("false\t" .. refused .. "false\t" .. refused .. refused
                   .. "theirs slept\nours slept\n",
                   shell.run("LD_LIBRARY_PATH=%s/lib %s %s/apart "
                   .. "%s/lib/libgreen_lua%s.so", prefix, lua_path(), dir,
                   prefix, version))
    end)

  --- The public functions that a file defines.
  local function functions(file)
    return shell.run("nm -D --defined-only %s | awk '$2 == \"T\" && "
                     .. "$3 ~ /^green_/ {print $3}' | sort", file)
  end

  it("has its whole core in a static host that exports it, for modules",
    function()
      build("module", "luagreen-lua",
            "-shared -fPIC $(pkg-config --libs luagreen-lua)")
      shell.run("mv %s/module %s/module.so", dir, dir)
      for _, kind in ipairs {"", "-Wl,-E"} do
        build("loads", "luagreen-lua", ("%s %s/lib/libgreen_lua.a $(pkg-config "
              .. "--libs lua%s libuv) -lpthread -ldl -lm"):format(kind, prefix,
                                                                version))
        assert.equal(kind == "" and "operation not permitted\n" or "napped\n",
                     shell.run("LD_LIBRARY_PATH=%s/lib LUA_CPATH='%s/?.so' "
                               .. "%s/loads", prefix, dir, dir))
      end
      assert.equal(functions(("%s/lib/libgreen.so %s/lib/libgreen_lua.so")
                             :format(prefix, prefix)),
                   functions(dir .. "/loads"))
    end)

  local cmake = os.execute "command -v cmake >/dev/null" and it or pending
  cmake("is found by CMake, shared and static", function()
    shell.run("cmake -S spec/house/hosts -B %s/cmake -DCMAKE_PREFIX_PATH=%s "
              .. "&& cmake --build %s/cmake", dir, prefix, dir)
    for _, kind in ipairs {"", "-static"} do
      assert.equal("0\n", shell.run("%s/cmake/shared%s", dir, kind))
      assert.equal("hosted\n", shell.run("%s %s/cmake/host%s", lua_path(), dir,
                                         kind))
    end
  end)

  it("lets the stock interpreter require the module", function()
    local text = shell.run("cd / && %s %s -e "
      .. "'print(require [[green]]._VERSION)'", lua_path(), shell.lua)
    assert.truthy(text:find("^luagreen %d"))
  end)

  it("runs luagreen by the interpreter that it was made for", function()
    local text = shell.run("cd / && unset LUA && "
      .. "%s/bin/luagreen%s -e 'print(_VERSION, green.type(1))'", prefix,
      version)
    assert.equal("Lua " .. version .. "\tnil\n", text)
    assert.matches(shell.lua, shell.run("head -n 1 %s/bin/luagreen", prefix), 1,
      true)
  end)

  it("is undone by make uninstall, but for what others own", function()
    local place = dir .. "/away"
    shell.run("make -s install PREFIX=%s", place)
    shell.run("echo theirs >%s/lib/theirs.txt && rm %s/bin/luagreen && "
              .. "ln -s another %s/bin/luagreen", place, place, place)
    local text = shell.run("make -s uninstall PREFIX=%s", place)
    assert.matches("^removed %d+ files\n$", text)
    assert.equal("./bin/luagreen\n./lib/theirs.txt\n",
                 shell.run("cd %s && find . -not -type d | sort", place))
    assert.equal("", shell.run("cd %s && find . -name '*green*' -type d",
                               place))
  end)
end)
