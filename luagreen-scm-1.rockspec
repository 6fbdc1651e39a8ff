-- SPDX-License-Identifier: MIT
rockspec_format = "3.0"
package = "luagreen"
version = "scm-1"
-- Nothing has been published yet. `luarocks make` takes what lies here, and
-- `luarocks install` what `make dist` has packed.
source = {
  url = "file://build/dist/luagreen-scm.tar.gz",
}
description = {
  summary = "Green threads for Lua 5.4 and 5.5, in C, on libuv",
  detailed = [[
    Code that reads as if it blocked, while one OS thread serves very many
    waiting tasks: spawn, sleep, sockets, queues, timeouts and cancellation,
    a backdoor to look into a running program. No main loop to call.]],
  license = "MIT",
  labels = {"async", "coroutine", "network", "concurrency"},
}
supported_platforms = {"linux"}
dependencies = {
  "lua >= 5.4, < 5.6", -- 5.4.4 or later: the compiler refuses others,
}
external_dependencies = {
  LIBUV = {header = "uv.h", library = "uv"},
}
-- Not "builtin": that cannot pass -z nodelete, without which a look-up that
-- outlives lua_close() runs in unmapped code, nor choose a .S file.
build = {
  type = "make",
  build_target = "rock",
  install_target = "install-lua",
  variables = {
    BUILD = "build/rock",
    CFLAGS = "$(CFLAGS)",
    LUA = "$(LUA)",
    LUA_CFLAGS = "-I$(LUA_INCDIR)",
    UV_CFLAGS = "-I$(LIBUV_INCDIR)",
    UV_LIBS = "-L$(LIBUV_LIBDIR) -luv",
    INST_LUADIR = "$(LUADIR)",
    INST_LIBDIR = "$(LIBDIR)",
    INST_BINDIR = "$(BINDIR)",
  },
}
