/* lua_tls_close_test.c - a state is closed in the midst of TLS, and the n-th
 * request for memory fails, for each n: that of the script, or of the close.
 * spec/c/oom/tls.lua is what the state was doing.
 *
 * LUA_PATH and LUA_CPATH must lead to the library. Skipped where TLS is not
 * built, or the openssl command is missing.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <unistd.h>

#include "lua_test.h"
#if SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

/* Each n up to here, then in steps, from a place that $TEST_SEED decides. With
 * LUA_OOM_EACH in the environment each n. */
enum { EACH = 40, STRIDE = 41, SLOW_EACH = 5, SLOW_STRIDE = 499 };

static char folder[] = "/tmp/luagreen-tls-XXXXXX";

/* ----------------------------------------------------------------- runs -- */

/* One run: from call `first` on after its beginning, `times` calls fail. */
struct run {
  int on_host, in_close; /* a host's hub; the close alone is short of memory */
  long first, times;     /* 0: none fails */
  long calls;            /* out: that were made from the beginning on */
};

static void begin(struct memory *m, const struct run *r) {
  m->calls = 0;
  m->first = r->first;
  m->last = r->first + r->times - 1;
}

/* body(limit) */
static int body(lua_State *L) {
  if (luaL_loadfile(L, "spec/c/oom/tls.lua") != LUA_OK) lua_error(L);
  lua_pushstring(L, folder);
  lua_pushvalue(L, 1);
  lua_call(L, 2, 0);
  return 0;
}

/* The library, with nothing that fails yet. */
static lua_State *open_state(struct memory *m, struct green_hub *hub) {
  lua_State *L = lg_newstate(allocate, m, 1);
  luaL_openlibs(L);
  if (!hub)
    preload_core(L);
  else if (green_lua_open(L, hub) != LUA_OK)
    exit(1);
  if (!run(L,
           "local green = require 'green'\n"
           "require 'green.tls'\n"
           "green.on_error(function() end)\n"
           "green.config {grace = 5}\n"))
    exit(1);
  return L;
}

/* What is left of it: bytes, or a hub that cannot be closed. The alarm ends one
 * that hangs. */
static long left_by(struct run *r) {
  struct memory m = {0, 0, 0, 0, 0};
  struct green_hub *hub = NULL;
  lua_State *L;
  int short_of = r->first && !r->in_close, failed;
  alarm(60);
  if (r->on_host && green_open(&hub, NULL) < 0) exit(1);
  L = open_state(&m, hub);
  if (!r->in_close) begin(&m, r);
  lua_pushcfunction(L, body);
  lua_pushnumber(L, short_of ? 0.1 : 30);
  failed = lua_pcall(L, 1, 0, 0) != LUA_OK;
  if (failed && !short_of) {
    printf("# %s\n", lua_tostring(L, -1));
    exit(1);
  }
  if (r->in_close) begin(&m, r);
  if (hub && green_lua_close(L) != 0) return -1;
  lua_close(L);
  r->calls = m.calls;
  if (hub && green_close(hub) < 0) return -2;
  alarm(0);
  return (long)m.in_use;
}

/* ---------------------------------------------------------------- tests -- */

/* Returns how many left something. */
static long try_each(struct run r, long total) {
  int slow = RUNNING_ON_VALGRIND || WITH_TSAN;
  long stride = slow ? SLOW_STRIDE : STRIDE, each = slow ? SLOW_EACH : EACH;
  const char *seed = getenv("TEST_SEED");
  long offset = seed ? atol(seed) % stride : 0, runs = 0, bad = 0;
  if (getenv("LUA_OOM_EACH")) each = LONG_MAX;
  for (r.first = 1; r.first <= total; r.first += r.first < each ? 1 : stride) {
    long left;
    if (r.first == each) r.first += offset;
    left = left_by(&r);
    if (left) bad++, printf("# %ld: %ld left\n", r.first, left);
    runs++;
  }
  printf("# %ld runs of up to %ld requests\n", runs, total);
  return bad;
}

/* Lua collects garbage, and asks again: so one failure is seldom an error. */
static void test_each(int on_host, int in_close, const char *sentence) {
  struct run r = {on_host, in_close, 0, 0, 0};
  long bad = left_by(&r) != 0, total = r.calls;
  for (r.times = 1; r.times <= 2; r.times++) bad += try_each(r, total);
  r.times = LONG_MAX / 2;
  bad += try_each(r, total);
  CHECK(total > 0 && bad == 0, sentence);
}

/* A key and a certificate in the folder. */
static int has_tls(void) {
  char command[300];
  lua_State *L = own_state();
  int found = luaL_dostring(L, "require 'green.tls'") == LUA_OK;
  lua_close(L);
  snprintf(command, sizeof command,
           "unset LD_PRELOAD; cd %s && openssl req -x509 -newkey ec -pkeyopt "
           "ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem "
           "-subj /CN=localhost >/dev/null 2>&1",
           folder);
  return found && system(command) == 0;
}

static void remove_folder(void) {
  char command[100];
  snprintf(command, sizeof command, "unset LD_PRELOAD; rm -rf %s", folder);
  if (system(command)) test_failures++;
}

int main(void) {
  int before;
  if (!freopen("/dev/null", "w", stderr)) return 1; /* failures on purpose */
#if SANITIZED
  __sanitizer_set_report_fd((void *)1); /* these are none */
#endif
  if (!mkdtemp(folder)) return 1;
  if (has_tls()) {
    struct run r = {0, 0, 0, 0, 0};
    left_by(&r);
    before = count_descriptors(); /* libuv keeps some for the process */
    test_each(0, 0, "a state whose script had no memory can be closed");
    test_each(0, 1, "and one whose close has none");
    test_each(1, 0, "on a host's hub, too");
    test_each(1, 1, "whichever has none");
    CHECK(count_descriptors() == before, "and no descriptor stays open");
  } else {
    SKIP("states with TLS", "it is not built, or there is no openssl command");
  }
  remove_folder();
  return test_end();
}
