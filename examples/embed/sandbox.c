/* sandbox.c - scripts that nobody trusts: each in a state with limits.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

#include <green_lua.h>

static const char *scripts[] = {
    "local n = 0 for i = 1, 10 do n = n + i end return n",
    "while true do pcall(function() while true do end end) end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
    "return ('a'):rep(3000):find('.-.-.-b')",
    "return io.open('/etc/passwd')",
    "error(setmetatable({}, {__tostring = function() while 1 do end end}))"};
enum { SCRIPTS = sizeof scripts / sizeof *scripts };

static int running;

static void on_end(lua_State *L, int status, int nresults, void *arg) {
  running--;
  if (green_lua_is_killed(L, -1))
    printf("%d: ended\n", *(int *)arg);
  else if (status == LUA_OK)
    printf("%d: returned %s\n", *(int *)arg,
           nresults ? green_lua_text(L, -1) : "nothing");
  else
    printf("%d: failed: %s\n", *(int *)arg, green_lua_text(L, -1));
}

int main(void) {
  static const struct green_lua_limits limits = {.size = sizeof limits,
                                                 .memory = 8 << 20,
                                                 .threads = 100,
                                                 .slice = 5000000,
                                                 .stretch = 200000000,
                                                 .life = UINT64_C(5000000000)};
  struct green_options options = {.drive = GREEN_DRIVE_STEP, .grace = 1};
  lua_State *states[SCRIPTS];
  struct green_hub *hub;
  int i, number[SCRIPTS];
  if (green_open(&hub, &options) < 0) return 1;
  for (i = 0; i < SCRIPTS; i++) {
    lua_State *L = states[i] = green_lua_newstate(&limits, NULL, NULL);
    luaL_openlibs(L);
    if (green_lua_open(L, hub) != LUA_OK ||
        green_lua_sandbox(L, GREEN_LUA_COROUTINE) != LUA_OK ||
        green_lua_load_in(L, -1, scripts[i], strlen(scripts[i]), "=script"))
      return 1;
    number[i] = i;
    running += green_lua_start(L, 0, on_end, &number[i], NULL) == 0;
  }
  while (running > 0) green_step_for(hub, 1000000, 0);
  for (i = 0; i < SCRIPTS; i++) {
    green_lua_close(states[i]);
    lua_close(states[i]);
  }
  return green_close(hub);
}

/* prints:
0: returned 55
...
*/
