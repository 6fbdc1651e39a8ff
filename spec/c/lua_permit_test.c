/* lua_permit_test.c - a resource pool loses no permit where memory is short for
 * a moment while an item is destroyed: neither the thread that destroys it nor
 * its link may get to run then; nor while a lease is got or closed, nor while
 * create, check or reset fail or are struck.
 *
 * SPDX-License-Identifier: MIT
 */
#include "lua_test.h"

static const char script[] =
    "local green = require 'green'\n"
    "green.on_error(function() end)\n"
    "for n = 0, 40 do\n"
    "  local pool = green.resource_pool {max = 1,\n"
    "    create = function() return {} end, destroy = function() end}\n"
    "  local lease = pool:lease()\n"
    "  lease:discard()\n"
    "  short_after(n)\n"
    "  pcall(green.sleep, 0)\n"
    "  pcall(green.sleep, 0)\n"
    "  short_after(-1)\n"
    "  pcall(getmetatable(lease).__close, lease)\n"
    "  local again = pool:lease(5)\n"
    "  if not again then error('lost after ' .. n) end\n"
    "  getmetatable(again).__close(again)\n"
    "  assert(pool:close(5))\n"
    "end\n";

/* A block with a lease ends where there is no memory from some allocation on:
 * the first in lease(), or one in the close. */
static const char blocks[] =
    "local green = require 'green'\n"
    "green.on_error(function() end)\n"
    "local nothing = function() end\n"
    "local function try(kind, in_thread, n)\n"
    "  local pool = green.resource_pool {max = 1, destroy = nothing,\n"
    "    create = function() return {} end,\n"
    "    reset = kind == 'reset' and nothing or nil}\n"
    "  local ended = false\n"
    "  local function block()\n"
    "    local lease <close> = pool:lease(1)\n"
    "    if kind == 'discard' then lease:discard() end\n"
    "    if kind == 'error' then error 'an error' end\n"
    "  end\n"
    "  local function body()\n"
    "    if in_thread then green.spawn(block):join() else block() end\n"
    "    ended = true\n"
    "  end\n"
    "  short_after(n)\n"
    "  pcall(body)\n"
    "  pcall(green.sleep, 0)\n"
    "  short_after(-1)\n"
    "  green.sleep(0)\n"
    "  local lease = pool:lease(5)\n"
    "  if not lease then\n"
    "    error(kind .. ': lost after ' .. n .. ' allocations', 0)\n"
    "  end\n"
    "  getmetatable(lease).__close(lease)\n"
    "  assert(pool:close(5))\n"
    "end\n"
    "for _, kind in ipairs {'plain', 'discard', 'error', 'reset'} do\n"
    "  for n = 0, 60 do\n"
    "    try(kind, false, n)\n"
    "    try(kind, true, n)\n"
    "  end\n"
    "end\n";

int main(void) {
  struct memory memory = {0, 0, 0, 0, 0};
  lua_State *L = new_short_state(&memory);
  if (!freopen("/dev/null", "w", stderr)) return 1; /* failures on purpose */
  CHECK(run(L, script), "each pool goes on when memory is there again");
  CHECK(run(L, blocks), "whatever of a block with a lease had no memory");
  CHECK(run_while_short(L, "spec/c/oom/permits.lua"),
        "however the block and the pool's functions end");
  lua_close(L);
  return test_end();
}
