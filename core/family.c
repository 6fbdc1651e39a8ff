/* family.c - families: the threads of one state of the runtime.
 *
 * A hub has any number of families, in a list; the one of its own threads, main
 * and those of C, and the one of threads that outlived their state are no part
 * of that list. record.c knows which records are whose, and drain.c ends a
 * family's threads.
 *
 * Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "internal.h"

static void init(struct green_hub *h, struct green_family *f,
                 const struct green_class *klass) {
  memset(f, 0, sizeof *f);
  f->hub = h;
  f->klass = klass;
  green_list_init(&f->others);
}

/* Lost threads never run, so their class has no functions. */
void green__families_init(struct green_hub *h) {
  static const struct green_class lost = {"a lost thread", NULL, NULL, NULL,
                                          NULL};
  init(h, &h->host, &green__c_class);
  init(h, &h->lost, &lost);
}

int green_family_open(struct green_hub *h, struct green_family *f,
                      const struct green_class *klass) {
  if (!green__at_home(h) || h->hot.closed) return UV_EPERM;
  init(h, f, klass);
  f->next = h->families;
  h->families = f;
  return 0;
}

void green_family_close(struct green_family *f) {
  struct green_family **from = &f->hub->families;
  assert(green__list_empty(&f->others) && !f->drainer);
  while (*from != f) from = &(*from)->next;
  *from = f->next;
  green__records_leave(f);
  f->hub = NULL;
}

struct green_family *green_families(struct green_hub *h) {
  return h->families;
}

uint32_t green_live(struct green_hub *h) {
  uint32_t n = h->host.live;
  const struct green_family *f;
  for (f = h->families; f; f = f->next) n += f->live;
  return n;
}

/* --- waiting for the end of threads --- */

struct green_list *green_family_others(struct green_family *f) {
  f->hub->ends_matter = 1;
  return &f->others;
}

/* A wait that ended in another way left `ends_matter` set; this clears it. */
void green__family_ended(struct green_family *f) {
  struct green_hub *h = f->hub;
  const struct green_family *each;
  if (f->live <= 1) green_wake_all(h, &f->others, GREEN_WOKEN);
  if (!green__list_empty(&h->others) && green_live(h) == 1)
    green_wake_all(h, &h->others, GREEN_WOKEN);
  green__drain_check(h, f);
  if (!green__list_empty(&h->others) || h->drainer) return;
  for (each = h->families; each; each = each->next)
    if (!green__list_empty(&each->others) || each->drainer) return;
  h->ends_matter = 0;
}
