/* epoll.h - the hub's own epoll; and room in libuv's, which aborts if a call
 * finds none.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_EPOLL_H
#define GREEN_EPOLL_H

#include "green_runtime.h"

struct green__epoll {
  int fd;
  uint32_t tag; /* of the last registration */
  uint8_t open;
  uint8_t stale; /* has a registration that nothing but a new one ends */
};

enum { GREEN__EVENTS = 1024 }; /* most that one call fetches */
int green__epoll_open(struct green_hub *h);
int green__epoll_renew(struct green_hub *h);
void green__epoll_close(struct green_hub *h);
int green__epoll_add(struct green_hub *h, int fd, uint32_t tag, int events);
int green__epoll_change(struct green_hub *h, int fd, uint32_t tag, int events);
int green__epoll_remove(struct green_hub *h, int fd);
/* Watches the hub's bell, edge-triggered. It is not passed on: the hub that
 * waited calls green__bell_awake(). */
int green__epoll_add_bell(struct green_hub *h, int fd);
/* Sleeps for at most `ms` (-1: no limit) and passes events to
 * green__fd_event(). Returns 1 if libuv has something to do. */
int green__epoll_wait(struct green_hub *h, int ms);
/* Registers that descriptor, or those that libuv has for uv_async_t and
 * signals, with libuv's epoll, since libuv would abort if it failed. 0, or an
 * error. */
int green__libuv_register(uv_loop_t *loop, int fd);
int green__libuv_secure(uv_loop_t *loop);
/* The first checks that the descriptors and the memory for a new loop are
 * there, the second the memory for a watch of that number; libuv would abort
 * without them. 0, or an error. */
int green__libuv_has_room(void);
int green__libuv_has_memory(int fd);

#endif
