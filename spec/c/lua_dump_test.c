/* lua_dump_test.c - the signal that asks for a dump, on a host's loop.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <string.h>

#include "lua_test.h"

static lua_State *open_state(struct green_hub *hub) {
  lua_State *L = open_on(hub);
  run(L,
      "dumped = 0"
      " io.stderr = {write = function(_, text)"
      "   if text:find 'dump of' then dumped = dumped + 1 end end}"
      " green.config {dump_signal = 'USR1'}");
  return L;
}

static int dumped(lua_State *L) {
  int n;
  lua_getglobal(L, "dumped");
  n = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static void turn(uv_loop_t *loop) {
  int i;
  for (i = 0; i < 10; i++) uv_run(loop, UV_RUN_NOWAIT);
}

static struct green_hub *open_hub(uv_loop_t *loop) {
  struct green_options o;
  struct green_hub *hub;
  memset(&o, 0, sizeof o);
  o.drive = GREEN_DRIVE_LOOP;
  o.loop = loop;
  uv_loop_init(loop);
  return green_open(&hub, &o) < 0 ? NULL : hub;
}

static void close_all(struct green_hub *hub, lua_State *L, uv_loop_t *loop) {
  green_lua_close(L);
  lua_close(L);
  green_close(hub);
  uv_run(loop, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(loop) == 0, "closing leaves nothing on the host's loop");
}

static int is_default(int number) {
  struct sigaction now;
  return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
}

static void test_host(void) {
  uv_loop_t loop;
  struct green_hub *hub = open_hub(&loop);
  lua_State *L = open_state(hub);
  CHECK(!uv_loop_alive(&loop), "the signal keeps no host's loop alive");
  CHECK(uv_run(&loop, UV_RUN_DEFAULT) == 0, "uv_run() returns");
  raise(SIGUSR1);
  turn(&loop);
  /* without anything alive, uv_run() looks at nothing */
  run(L, "green.spawn(green.sleep, 0.01)");
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(dumped(L) == 1, "a signal makes the host's program write a dump");
  CHECK(!is_default(SIGUSR1), "the signal is watched until the state closes");
  close_all(hub, L, &loop);
  CHECK(is_default(SIGUSR1), "then it has its former action");
}

static void test_pending(void) {
  uv_loop_t loop;
  struct green_hub *hub = open_hub(&loop);
  lua_State *L = open_state(hub);
  raise(SIGUSR1);
  close_all(hub, L, &loop);
  CHECK(1, "a signal that nobody has looked at is harmless at the end");
}

static void test_two(void) {
  uv_loop_t loop[2];
  struct green_hub *hub[2] = {open_hub(&loop[0]), open_hub(&loop[1])};
  lua_State *L[2] = {open_state(hub[0]), open_state(hub[1])};
  int i;
  close_all(hub[0], L[0], &loop[0]);
  CHECK(!is_default(SIGUSR1), "another state's signal stays watched");
  raise(SIGUSR1);
  run(L[1], "green.spawn(green.sleep, 0.01)");
  for (i = 0; i < 3; i++) uv_run(&loop[1], UV_RUN_DEFAULT);
  CHECK(dumped(L[1]) == 1, "and makes it write a dump");
  close_all(hub[1], L[1], &loop[1]);
  CHECK(is_default(SIGUSR1), "until that is closed, too");
}

/* Computes in the state until its global is set, for 20 s at most. TSan holds
 * signals back until a call such as that of os.time(). */
static void compute_until(lua_State *L, const char *name) {
  char chunk[200];
  snprintf(chunk, sizeof chunk,
           "local stop = os.clock() + 20 "
           "while %s == 0 and os.clock() < stop do os.time() end",
           name);
  run(L, chunk);
}

static void test_callback(void) {
  uv_loop_t loop;
  struct green_hub *hub = open_hub(&loop);
  lua_State *L = open_state(hub);
  raise(SIGUSR1);
  compute_until(L, "dumped");
  CHECK(dumped(L) == 1, "Lua code of the host's that computes writes a dump");
  run(L, "green.spawn(green.sleep, 0.01)");
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(dumped(L) == 1, "the loop writes no second one");
  raise(SIGUSR1);
  run(L, "green.spawn(green.sleep, 0.01)");
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(dumped(L) == 2, "the next signal is the loop's again");
  raise(SIGUSR1);
  compute_until(L, "dumped - 2");
  CHECK(dumped(L) == 3, "it stops code that computes again");
  run(L, "green.config {dump_signal = false}");
  run(L, "green.config {dump_signal = 'USR1'}");
  raise(SIGUSR1);
  run(L, "green.spawn(green.sleep, 0.01)");
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(dumped(L) == 4, "a signal that is chosen anew is a new one");
  raise(SIGUSR1);
  run(L, "green.spawn(function() end)");
  close_all(hub, L, &loop);
  CHECK(is_default(SIGUSR1), "a state may close while a dump is due");
}

static int tell(lua_State *L) {
  lua_State *other = lua_touserdata(L, lua_upvalueindex(1));
  lua_pushinteger(L, dumped(other));
  return 1;
}

static void test_beside(void) {
  uv_loop_t loop;
  struct green_hub *hub = open_hub(&loop);
  lua_State *L = open_state(hub), *other = open_state(hub);
  run(other,
      "green.config {dump_signal = false}"
      " t = green.spawn(function() local stop = os.clock() + 20"
      " while told() == 0 and os.clock() < stop do os.time() end"
      " late = told() == 0 end)");
  lua_pushlightuserdata(other, L);
  lua_pushcclosure(other, tell, 1);
  lua_setglobal(other, "told");
  raise(SIGUSR1);
  uv_run(&loop, UV_RUN_NOWAIT);
  while (green_live(hub) > 0) uv_run(&loop, UV_RUN_ONCE);
  CHECK(dumped(L) == 1, "it comes where another state of the hub computes");
  lua_getglobal(other, "late");
  CHECK(!lua_toboolean(other, -1), "and meanwhile, though the loop saw it");
  CHECK(dumped(other) == 0, "which has not asked for it");
  green_lua_close(L);
  lua_close(L);
  CHECK(is_default(SIGUSR1), "the signal is free when its state is closed");
  close_all(hub, other, &loop);
}

/* Two states of a hub, each with a signal of its own. */
static void open_two(uv_loop_t *loop, struct green_hub **hub, lua_State **L) {
  *hub = open_hub(loop);
  L[0] = open_state(*hub);
  L[1] = open_state(*hub);
  run(L[1], "green.config {dump_signal = 'USR2'}");
}

static void test_signals(void) {
  uv_loop_t loop;
  struct green_hub *hub;
  lua_State *L[2];
  open_two(&loop, &hub, L);
  raise(SIGUSR1);
  compute_until(L[0], "dumped");
  CHECK(dumped(L[0]) == 1 && dumped(L[1]) == 0,
        "a state that has another signal writes no dump");
  raise(SIGUSR2);
  compute_until(L[1], "dumped");
  CHECK(dumped(L[0]) == 1 && dumped(L[1]) == 1, "but at its own");
  run(L[1], "green.spawn(green.sleep, 0.01)");
  while (green_live(hub) > 0) uv_run(&loop, UV_RUN_ONCE);
  raise(SIGUSR2);
  run(L[1], "green.spawn(green.sleep, 0.01)");
  while (green_live(hub) > 0) uv_run(&loop, UV_RUN_ONCE);
  CHECK(dumped(L[0]) == 1 && dumped(L[1]) == 2, "and at its next one");
  green_lua_close(L[0]);
  lua_close(L[0]);
  close_all(hub, L[1], &loop);
}

static void test_closed(void) {
  uv_loop_t loop;
  struct green_hub *hub;
  lua_State *L[2];
  open_two(&loop, &hub, L);
  raise(SIGUSR1);
  green_lua_close(L[0]);
  lua_close(L[0]);
  run(L[1],
      "local stop = os.clock() + 1.5"
      " while dumped == 0 and os.clock() < stop do os.time() end");
  CHECK(dumped(L[1]) == 0, "nobody writes the dump of a state that is closed");
  raise(SIGUSR2);
  compute_until(L[1], "dumped");
  CHECK(dumped(L[1]) == 1, "and the code of its neighbour can be stopped");
  close_all(hub, L[1], &loop);
}

static void test_no_signals(void) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP, .size = sizeof o};
  struct green_hub *hub;
  lua_State *L;
  o.tick_signal = -1;
  if (green_open(&hub, &o) < 0) return;
  L = open_state(hub);
  raise(SIGUSR1);
  run(L, "green.spawn(green.sleep, 0.01)");
  while (green_live(hub) > 0) green_step(hub, 0);
  CHECK(dumped(L) == 1, "without a signal for ticks the loop writes dumps");
  green_lua_close(L);
  lua_close(L);
  CHECK(is_default(SIGUSR1), "and gives the signal back");
  green_close(hub);
}

int main(void) {
  test_host();
  test_pending();
  test_two();
  test_no_signals();
  test_callback();
  test_beside();
  test_signals();
  test_closed();
  return test_end();
}
