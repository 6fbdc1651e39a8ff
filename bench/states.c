/* states.c - what a Lua state with luagreen costs on a hub that exists, beyond
 * a state with the standard library alone.
 *
 *   states us      microseconds until require "green" has returned, CPU time
 *   states kb      KB of Lua's memory after that, garbage collected
 *   states spawn   the same KB once a thread was spawned, slept and ended
 *   states rss     KB by which the process grows, garbage collected
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "green_lua.h"

enum { STATES = 200 };

static double seconds(void) {
  return (double)clock() / CLOCKS_PER_SEC;
}

static void run(lua_State *L, const char *chunk) {
  if (luaL_dostring(L, chunk) == LUA_OK) return;
  fprintf(stderr, "%s\n", lua_tostring(L, -1));
  exit(1);
}

static lua_State *make(struct green_hub *hub) {
  lua_State *L = luaL_newstate();
  if (!L) exit(1);
  luaL_openlibs(L);
  if (!hub) return L;
  if (green_lua_open(L, hub) != LUA_OK) exit(1);
  run(L, "green = require 'green'");
  return L;
}

static double kb(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  lua_gc(L, LUA_GCCOLLECT);
  return lua_gc(L, LUA_GCCOUNT) + lua_gc(L, LUA_GCCOUNTB) / 1024.0;
}

/* Each with `chunk` run in it: the sum of their sizes, and the time of making
 * them. */
static double make_all(struct green_hub *hub, const char *chunk,
                       double *size) {
  static lua_State *all[STATES];
  double start = seconds(), time;
  int i;
  for (i = 0; i < STATES; i++) all[i] = make(hub);
  time = seconds() - start;
  *size = 0;
  for (i = 0; i < STATES; i++) {
    if (chunk && hub) run(all[i], chunk);
    if (chunk && hub) green_step(hub, 0);
    *size += kb(all[i]);
    if (hub) green_lua_close(all[i]);
    lua_close(all[i]);
  }
  return time;
}

static double resident(void) {
  long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f || fscanf(f, "%*d %ld", &pages) != 1) exit(1);
  fclose(f);
  return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

/* They live until the process ends, so that no memory is used again. */
static double grows_by(struct green_hub *hub) {
  double before = resident();
  int i;
  for (i = 0; i < STATES; i++) kb(make(hub));
  return (resident() - before) / STATES;
}

int main(int argc, char **argv) {
  struct green_options options = {.drive = GREEN_DRIVE_STEP};
  const char *what = argc > 1 ? argv[1] : "us";
  const char *chunk = strcmp(what, "spawn")
                          ? NULL
                          : "green.spawn(function() green.sleep(0) end)";
  struct green_hub *hub;
  double bare, ours, bare_kb, ours_kb;
  if (green_open(&hub, &options) < 0) return 1;
  if (!strcmp(what, "rss")) {
    bare = grows_by(NULL);
    printf("%.1f\n", grows_by(hub) - bare);
    return 0;
  }
  make_all(NULL, NULL, &bare_kb); /* warm up */
  bare = make_all(NULL, NULL, &bare_kb);
  ours = make_all(hub, chunk, &ours_kb);
  if (!strcmp(what, "us"))
    printf("%.0f\n", (ours - bare) / STATES * 1e6);
  else
    printf("%.1f\n", (ours_kb - bare_kb) / STATES);
  return green_close(hub) < 0;
}
