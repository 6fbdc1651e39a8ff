// lua_cxx_test.cc - a host in C++: the headers without a warning, and the
// library by its names in C.
//
// SPDX-License-Identifier: MIT
#include <cstring>

#include "green_lua.h"
#include "green_runtime.h"
#include "test.h"

namespace {

int add(green_hub *hub, void *arg) {
  int *sum = static_cast<int *>(arg);
  int r = green_yield(hub);
  return r < 0 ? r : ++*sum;
}

void test_core(green_hub *hub) {
  green_thread *t = nullptr;
  green_stats s;
  green_account a;
  int sum = 41, result = 0;
  CHECK(green_spawn(hub, &t, add, &sum) == 0 &&
            green_join(hub, t, green_in(1000000000), &result) == 0 &&
            result == 42,
        "C++ spawns and joins a green thread");
  green_account(hub, green_main(hub), &a);
  CHECK(green_stats(hub, &s) == 0 && s.spawned == 2 && a.switches == 0,
        "C++ asks for figures, in structs that have the names of functions");
}

void test_lua(green_hub *hub) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  green_lua_open(L, hub);
  CHECK(green_lua_hub(L) == hub, "C++ opens a state on its hub");
  green_lua_close(L);
  lua_close(L);
}

} // namespace

int main() {
  green_options options = {};
  green_hub *hub = nullptr;
  options.drive = GREEN_DRIVE_MAIN;
  options.size = sizeof options;
  if (green_open(&hub, &options) != 0) return 1;
  CHECK(green_version() == GREEN_VERSION_NUMBER, "C++ asks for the version");
  test_core(hub);
  test_lua(hub);
  CHECK(green_close(hub) == 0, "and closes the hub");
  return test_end();
}
