/* purse.c - bytes of messages, counted for the runtime's state that packed
 * them.
 *
 * A purse pays for a message from its packing until it is freed, by whoever
 * owns it then, on any OS thread. `used` is these bytes, and one more while the
 * state has the purse: the last to leave frees it.
 *
 * Any stack, any OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdatomic.h>

#include "port.h"

struct green_purse {
  atomic_size_t used, most;
};

struct green_purse *green_purse_new(size_t most) {
  struct green_purse *purse = green__alloc(sizeof *purse);
  if (!purse) return NULL;
  atomic_init(&purse->used, 1);
  atomic_init(&purse->most, most);
  return purse;
}

void green_purse_limit(struct green_purse *purse, size_t most) {
  atomic_store(&purse->most, most);
}

size_t green_purse_used(struct green_purse *purse) {
  return atomic_load(&purse->used) - 1;
}

int green_purse_has(struct green_purse *purse, size_t more) {
  size_t most = atomic_load(&purse->most), used = green_purse_used(purse);
  return used < most && more <= most - used;
}

static void pay(struct green_purse *purse, size_t bytes) {
  size_t before = atomic_fetch_sub(&purse->used, bytes);
  assert(before >= bytes);
  if (before == bytes) green__free(purse);
}

void green_purse_release(struct green_purse *purse) {
  if (purse) pay(purse, 1);
}

static size_t bytes_of(const struct green_message *m) {
  return sizeof *m + m->ports * sizeof(void *) + m->size;
}

/* Several OS threads never pack for one state at once. */
int green_message_charge(struct green_message *m, struct green_purse *purse) {
  assert(!m->purse);
  if (!green_purse_has(purse, bytes_of(m))) return UV_ENOBUFS;
  atomic_fetch_add(&purse->used, bytes_of(m));
  m->purse = purse;
  return 0;
}

void green__message_pay(struct green_message *m) {
  pay(m->purse, bytes_of(m));
  m->purse = NULL;
}
