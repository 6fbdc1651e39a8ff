/* shared.c - a program without Lua, for spec/house/install_spec.lua.
 *
 * SPDX-License-Identifier: MIT
 */
#include <green.h>
#include <stdio.h>

static int work(struct green_hub *hub, void *arg) {
  (void)arg;
  return green_sleep(hub, green_now() + 1000000);
}

int main(void) {
  struct green_hub *hub;
  struct green_thread *thread;
  int result = -1;
  if (green_open(&hub, NULL) < 0) return 1;
  if (green_spawn(hub, &thread, work, NULL) < 0) return 1;
  if (green_join(hub, thread, GREEN_FOREVER, &result) < 0) return 1;
  printf("%d\n", result);
  return green_close(hub);
}
