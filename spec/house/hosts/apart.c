/* apart.c - a program with the static library in it, whose scripts load the
 * shared one, for spec/house/install_spec.lua: two copies of the library are in
 * the process. In a state of the program's, the other copy refuses; a state in
 * which a script has loaded the other copy is that copy's, and the program's
 * leaves it alone.
 *
 *     apart LIBGREEN_LUA.so
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

static void (*its_sleep)(lua_State *L, double seconds);
static void (*its_spawn)(lua_State *L, int nargs);
static int (*its_open)(lua_State *L, struct green_hub *hub);

static int l_sleep(lua_State *L) {
  its_sleep(L, 0.001);
  return 0;
}
static int l_spawn(lua_State *L) {
  its_spawn(L, 0);
  return 1;
}

static const char OURS[] =
    "local green = require 'green'\n"
    "print(pcall(its_sleep))\n"
    "print(pcall(its_spawn, print))\n"
    "green.spawn(function() green.sleep(0.001) print 'ours slept' end)\n";
static const char THEIRS[] =
    "local green = require 'green'\n"
    "green.spawn(function() green.sleep(0.001) print 'theirs slept' end)\n"
    "green.sleep(0.01)\n";

int main(int argc, char **argv) {
  struct green_options options = {.drive = GREEN_DRIVE_STEP};
  lua_State *ours = luaL_newstate(), *theirs = luaL_newstate();
  struct green_hub *hub;
  void *other = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!other || green_open(&hub, &options) < 0) return 1;
  *(void **)&its_sleep = dlsym(other, "green_lua_sleep");
  *(void **)&its_spawn = dlsym(other, "green_lua_spawn");
  *(void **)&its_open = dlsym(other, "green_lua_open");
  luaL_openlibs(ours);
  luaL_openlibs(theirs);
  lua_register(ours, "its_sleep", l_sleep);
  lua_register(ours, "its_spawn", l_spawn);
  if (green_lua_open(ours, hub) || luaL_dostring(ours, OURS)) return 2;
  if (its_open(ours, NULL) == LUA_OK) return 3;
  puts(lua_tostring(ours, -1));
  if (luaL_dostring(theirs, THEIRS)) {
    puts(lua_tostring(theirs, -1));
    return 4;
  }
  if (green_lua_hub(theirs) || green_lua_close(theirs)) return 5;
  while (green_live(hub)) {
    uv_sleep(1);
    green_step(hub, 0);
  }
  lua_close(theirs);
  lua_close(ours);
  return green_close(hub);
}
