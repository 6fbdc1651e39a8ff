/* port.h - bells and the inside of ports, as bell.c and port.c know them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_PORT_H
#define GREEN_PORT_H

#include "internal.h"

/* ---------------------------------------------------------------- bells -- */

/* What a hub is told by its bell: fn(hub, call) runs there soon; with a NULL
 * hub if that has closed meanwhile. The owner keeps the memory until then. */
struct green__call {
  struct green__call *next;
  void (*fn)(struct green_hub *hub, struct green__call *call);
  int queued; /* under the bell's lock */
};

/* The hub's bell, made by the first call; counted, for a green__bell_release().
 * 0, or why it could not be had. */
int green__bell_take(struct green_hub *h, struct green__bell **bell);
void green__bell_hold(struct green__bell *bell);
void green__bell_release(struct green__bell *bell);
/* Any OS thread: queues the call, if it is not queued yet. *queued tells
 * whether this did it. Returns 1 if green__bell_ring() must follow, when no
 * lock is held that the hub may want; 0 if not; UV_ECANCELED if the hub has
 * closed. */
int green__bell_call(struct green__bell *bell, struct green__call *call,
                     int *queued);
void green__bell_ring(struct green__bell *bell);
/* Any OS thread: the hub looks once more before it sleeps. */
void green__bell_nudge(struct green__bell *bell);
/* Is the caller on the OS thread of the hub, which lives? */
int green__bell_at_home(const struct green__bell *bell);
int green__bell_is_closed(const struct green__bell *bell);
/* In a child that was forked since the bell was made? */
int green__bell_is_forked(const struct green__bell *bell);
struct green_hub *green__bell_hub(const struct green__bell *bell);

/* ---------------------------------------------------------------- ports -- */

/* Of a side of senders. */
enum green__turn {
  GREEN__IDLE, /* nobody waits, or all that wait are behind the holder */
  GREEN__IN_LINE,
  GREEN__GRANTED, /* a free place is its own; the hub is being told */
  GREEN__HELD     /* its first thread was woken, and will send */
};

/* One side of a port on one hub: there is one to receive, on the port's own
 * hub, and one for each hub on which a thread had to wait to send. */
struct green_side {
  struct green__call call; /* somebody has changed something for its waiters */
  struct green_port *port;
  struct green__bell *bell; /* counted; changes under the port's lock */
  struct green_side *next;  /* of the port's senders; never changes */
  /* The hub's OS thread only. */
  struct green_list waiters;
  struct green_link awaited; /* in the hub's list, while waits > 0 */
  uint32_t waits; /* threads that wait here, by any of their nodes */
  /* Under the port's lock, of senders. */
  struct green_side *after; /* in the line */
  enum green__turn turn;
};

/* In the list of the ports that live on a hub, under the bell's lock. */
void green__bell_enlist(struct green__bell *bell, struct green_port *port);
void green__bell_delist(struct green__bell *bell, struct green_port *port);

struct green_port {
  atomic_uint refs;
  uint32_t size;  /* most messages inside; 0: no limit */
  int of_holders; /* see green_port_of_holders() */
  pthread_mutex_t lock;
  struct green_side receivers; /* its bell is that of the port's hub */
  /* In the list of its bell, under the bell's lock. */
  struct green_port *next, **link;
  struct green_port *dead;    /* the next one to free */
  struct green_port *laggard; /* the next one of the hub's, while `lags` */
  /* Under the lock. */
  struct green_message *first, **last;
  uint32_t count;    /* messages inside */
  uint32_t promised; /* of them, to receivers that were woken */
  uint32_t granted;  /* free places that were given to a side of senders */
  uint32_t passed;   /* messages that overtook the line since a grant */
  uint8_t closed, watched; /* somebody waits to receive */
  uint8_t lags;            /* places are free, but not worth a wake-up yet */
  struct green_side *senders;
  struct green_side *line, **line_last; /* sides whose threads wait */
};

void green__side_init(struct green_side *side, struct green_port *port,
                      struct green__bell *bell);
/* Nobody but the waiting thread's own side knows it. */
int green__port_is_alone(const struct green_port *port);
int green__port_is_home(struct green_hub *h, const struct green_port *port);
/* For the bell: if somebody still holds the port, holds it once more and
 * returns 1. */
int green__port_try_hold(struct green_port *port);
/* The hub closes: the port refuses everything from now on. */
void green__port_bury(struct green_port *port);

/* ------------------------------------------------------------- messages -- */

struct green_message {
  struct green_message *next; /* in a port */
  size_t size;
  uint32_t ports;            /* counted, in front of the data */
  uint32_t packed;           /* by a runtime; 0: plain bytes */
  struct green_purse *purse; /* that pays for it; or NULL */
  struct green_port *port[]; /* then the data */
};

/* Its purse pays no more. */
void green__message_pay(struct green_message *m);
/* Frees messages; ports that nobody holds any more go into the list. */
void green__messages_free(struct green_message *m, struct green_port **dead);
/* One holder less. */
void green__port_drop(struct green_port *port, struct green_port **dead);
/* Frees the listed ports, and those that only their messages have held. */
void green__ports_free(struct green_port *dead);

#endif
