/* choice.c - places in lists that outlast a wait.
 *
 * A case stands in its list without a thread, as a watch does. A waker that
 * looks for the first waiter of a list meets it in green_list_head_slow():
 *
 *   a thread is blocked in its choice: the case becomes armed, that is, its
 *   node gets the thread's address, and it is a waiter like any other;
 *
 *   no thread is: the case is dormant. It leaves the list, its choice is told,
 *   and the next one in the list is looked at.
 *
 * So a waker that wakes the first of a list never meets a case that is not
 * waited for, and nothing is handed to a thread that is elsewhere. When the
 * wait ends, for any reason, all armed cases are disarmed. The case that woke
 * the thread is the one that is no longer in a list.
 *
 * Everything here runs on any stack of the hub, and never switches.
 *
 * SPDX-License-Identifier: MIT
 */
#include <assert.h>

#include "internal.h"

/* Never called: a case is armed or unlinked before anybody could take it for a
 * watch. */
static void fire(struct green_hub *h, struct green_watch *watch) {
  (void)h, (void)watch;
  assert(!"a case is no watch");
}

/* A selector with the thread among its cases will read how the thread ended. */
static int owns(const struct green_watch *watch) {
  (void)watch;
  return 1;
}

static const struct green_watch_kind case_kind = {fire, owns};

static int is_case(const struct green_node *node) {
  return !node->thread &&
         ((const struct green_watch *)node)->kind == &case_kind;
}

void green_choice_init(struct green_choice *choice,
                       void (*ready)(struct green_choice *choice,
                                     struct green_case *c)) {
  choice->thread = NULL;
  choice->armed = NULL;
  choice->ready = ready;
}

void green_case_init(struct green_choice *choice, struct green_case *c) {
  *c = (struct green_case){.watch = {.kind = &case_kind}, .choice = choice};
}

static void arm(struct green_case *c) {
  struct green_choice *choice = c->choice;
  assert(!c->watch.node.thread && choice->thread);
  c->watch.node.thread = choice->thread;
  c->armed = choice->armed;
  choice->armed = c;
}

struct green_node *green_list_head_slow(struct green_list *list) {
  for (;;) {
    struct green_node *node = (struct green_node *)list->link.next;
    struct green_case *c = (struct green_case *)node;
    if (node == (struct green_node *)&list->link) return NULL;
    if (!is_case(node)) return node;
    if (c->choice->thread) {
      arm(c);
      return node;
    }
    green_list_remove(node);
    c->choice->ready(c->choice, c);
  }
}

void green_choice_enter(struct green_hub *h, struct green_choice *choice) {
  assert(!choice->thread && !choice->armed);
  choice->thread = h->hot.current;
}

struct green_case *green_choice_leave(struct green_choice *choice) {
  struct green_case *c, *next, *woken = NULL;
  for (c = choice->armed; c; c = next) {
    next = c->armed;
    c->watch.node.thread = NULL;
    c->armed = NULL;
    if (c->watch.node.link.next) continue; /* a waker only looked at it */
    assert(!woken);
    woken = c;
  }
  choice->armed = NULL;
  choice->thread = NULL;
  return woken;
}

static int waits(const struct green_node *node) {
  if (node->thread) return 1;
  return is_case(node) && ((const struct green_case *)node)->choice->thread;
}

uint32_t green_list_length(const struct green_list *list) {
  const struct green_link *link = list->link.next;
  uint32_t n = 0;
  for (; link != &list->link; link = link->next)
    n += (uint32_t)waits((const struct green_node *)link);
  return n;
}
