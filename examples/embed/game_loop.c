/* game_loop.c - 60 frames a second, of which scripts get 2 ms, by a clock that
 * the game can pause.
 *
 * Sleeps and limits of scripts go by the time of the game. While it is paused,
 * a script that sleeps does not wake. A script that computes for long yields
 * now and then, so a frame is drawn between its turns.
 *
 * SPDX-License-Identifier: MIT
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

static const char SCRIPT[] =
    "local green = require 'green'\n"
    "green.spawn(function()\n"
    "  for wave = 1, 3 do\n"
    "    green.sleep(0.1)\n"
    "    print(('wave %d in frame %d'):format(wave, frame()))\n"
    "  end\n"
    "end)\n"
    "green.spawn(function()\n"
    "  while true do\n"
    "    for i = 1, 10000 do local path = i * i end\n"
    "    green.sleep(0)\n"
    "  end\n"
    "end)\n";

struct game {
  uint64_t time; /* ns; a frame moves it, unless the game is paused */
  int frame, paused;
};

static uint64_t game_time(void *game) {
  return ((struct game *)game)->time;
}

static int frame(lua_State *L) {
  struct game *game = lua_touserdata(L, lua_upvalueindex(1));
  lua_pushinteger(L, game->frame);
  return 1;
}

int main(void) {
  struct game game = {1, 0, 0};
  struct green_options options = {.drive = GREEN_DRIVE_STEP,
                                  .grace = 100000000,
                                  .clock = game_time,
                                  .clock_arg = &game,
                                  .size = sizeof options};
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (green_open(&hub, &options) < 0) return 1;
  green_lua_open(L, hub);
  lua_pushlightuserdata(L, &game);
  lua_pushcclosure(L, frame, 1);
  lua_setglobal(L, "frame");
  if (luaL_dostring(L, SCRIPT)) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  for (game.frame = 1; game.frame <= 60; game.frame++) {
    game.paused = game.frame > 10 && game.frame <= 40;
    if (!game.paused) game.time += 1000000000 / 60;
    green_step_for(hub, 2000000, 0);
    uv_sleep(1); /* here the game would draw, and wait for the screen */
  }
  green_lua_close(L);
  lua_close(L);
  return green_close(hub);
}

/* prints:
 * wave 1 in frame ...
 * wave 2 in frame 4...
 * wave 3 in frame 5...
 */
