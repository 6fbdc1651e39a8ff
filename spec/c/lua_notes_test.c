/* lua_notes_test.c - regression: a kept stack knows in which coroutine its
 * thread waits. A call that did not have to wait after all left a note of its
 * coroutine behind, also of a state that closed then; a later wait in C had
 * it, and a dump, a trace or a profile read freed memory.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "lua_test.h"

/* Others look at main while it sleeps, here in C. */
static int looked_at(struct green_hub *hub, lua_State *L) {
  int found;
  run(L,
      "text = nil\n"
      "green.spawn(function() local list = {}\n"
      "  green.dump {write = function(_, s) list[#list + 1] = s end}\n"
      "  text = table.concat(list) end)\n");
  green_sleep(hub, green_now() + 5000000);
  lua_getglobal(L, "text");
  found = lua_isstring(L, -1) && strstr(lua_tostring(L, -1), "main") != NULL;
  lua_pop(L, 1);
  return found;
}

int main(void) {
  static const char *const calls[] = {
      "green.wait_fd(fd, 'w', 1)", "green.connect('127.0.0.1', port):close()",
      "green.dns.getaddrinfo('127.0.0.1')",
      "pcall(green.dns.getnameinfo, '127.0.0.1', 1)",
      "local f = io.popen 'true' f:read 'a' f:close()"};
  struct green_hub *hub;
  lua_State *L, *other;
  size_t i;
  char chunk[300];
  if (green_open(&hub, NULL) < 0) return 1;
  L = open_on(hub);
  other = open_on(hub);
  run(other, "green.spawn(function() end):join()");
  green_lua_close(other);
  lua_close(other);
  CHECK(looked_at(hub, L), "after another state has closed");
  run(L,
      "listener = green.listen('127.0.0.1', 0)\n"
      "local _ _, port = listener:getsockname()\n"
      "pair = {green.socketpair()} fd = pair[1]:getfd()\n");
  for (i = 0; i < sizeof calls / sizeof *calls; i++) {
    snprintf(chunk, sizeof chunk,
             "coroutine.wrap(function() %s end)() "
             "collectgarbage() collectgarbage()",
             calls[i]);
    CHECK(run(L, chunk), calls[i]);
    CHECK(looked_at(hub, L), "and then C waits");
  }
  green_lua_close(L);
  lua_close(L);
  CHECK(green_close(hub) == 0, "the hub closes");
  return test_end();
}
