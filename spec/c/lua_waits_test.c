/* lua_waits_test.c - where memory is short for a moment, however short, no
 * thread waits for ever for others that had none.
 *
 * SPDX-License-Identifier: MIT
 */
#include "lua_test.h"

int main(void) {
  struct memory memory = {0, 0, 0, 0, 0};
  lua_State *L = new_short_state(&memory);
  if (!freopen("/dev/null", "w", stderr)) return 1; /* failures on purpose */
  CHECK(run_while_short(L, "spec/c/oom/waits.lua"), "every wait ends");
  lua_close(L);
  CHECK(memory.in_use == 0, "and no memory is left");
  return test_end();
}
