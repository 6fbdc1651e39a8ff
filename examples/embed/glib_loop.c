/* glib_loop.c - scripts on GLib's main loop, beside its own sources: for GTK,
 * too. needs: glib-2.0
 *
 * The hub is one more GSource. It tells when it has to be called at the latest,
 * and the descriptor of green_poll_fd() wakes the loop before. Nothing polls
 * while nothing is due.
 *
 * SPDX-License-Identifier: MIT
 */
#include <glib.h>
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

static const char SCRIPT[] =
    "local green = require 'green'\n"
    "local server <close> = green.listen('127.0.0.1', 0)\n"
    "green.spawn(green.serve, server, function(conn)\n"
    "  for line in conn:lines() do conn:send(line:upper() .. '\\n') end\n"
    "end)\n"
    "local _, port = server:getsockname()\n"
    "local conn <close> = green.connect('127.0.0.1', port)\n"
    "conn:send('hello\\n')\n"
    "print((conn:receive()))\n"
    "repeat green.sleep(0.001) until ticks() >= 3\n";

struct hub_source {
  GSource source;
  struct green_hub *hub;
};

static gboolean prepare(GSource *source, gint *timeout) {
  *timeout = green_next_ms(((struct hub_source *)source)->hub);
  return *timeout == 0;
}

static gboolean dispatch(GSource *source, GSourceFunc f, gpointer data) {
  (void)f, (void)data;
  green_step(((struct hub_source *)source)->hub, 0);
  return G_SOURCE_CONTINUE;
}

static int count;

static gboolean tick(gpointer data) {
  (void)data;
  count++;
  return G_SOURCE_CONTINUE;
}
static int ticks(lua_State *L) {
  lua_pushinteger(L, count);
  return 1;
}

static void ended(lua_State *L, int status, int nresults, void *loop) {
  printf("%s\n", status == LUA_OK ? "ended" : green_lua_text(L, nresults));
  g_main_loop_quit(loop);
}

int main(void) {
  static GSourceFuncs functions = {.prepare = prepare, .dispatch = dispatch};
  struct green_options options = {.drive = GREEN_DRIVE_STEP};
  GMainLoop *loop = g_main_loop_new(NULL, FALSE);
  GSource *source = g_source_new(&functions, sizeof(struct hub_source));
  struct green_hub **hub = &((struct hub_source *)source)->hub;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (green_open(hub, &options) < 0 || green_lua_open(L, *hub)) return 1;
  lua_register(L, "ticks", ticks);
  g_source_add_unix_fd(source, green_poll_fd(*hub), G_IO_IN);
  g_source_attach(source, NULL);
  g_timeout_add(5, tick, NULL);
  if (luaL_loadstring(L, SCRIPT) || green_lua_start(L, 0, ended, loop, NULL))
    return 1;
  g_main_loop_run(loop);
  lua_close(L);
  green_close(*hub);
  g_source_destroy(source);
  g_source_unref(source);
  g_main_loop_unref(loop);
  return 0;
}

/* prints:
 * HELLO
 * ended
 */
