/* stacks_test.c - calls on a stack that their word in the header does not name:
 * of the host's in a green thread and in a callback, of a green thread's on the
 * host's stack and in a callback. UV_EPERM, and nothing has happened. Those on
 * another OS thread are in home_test.c, green_close() in hub_test.c.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>

#include "green.h"
#include "test.h"

enum { MS = 1000000 };

static int ends[2];
static struct green_thread *sleeper;

static int sleeps(struct green_hub *hub, void *arg) {
  (void)arg;
  return green_sleep(hub, GREEN_FOREVER);
}

static int never(struct green_job *job, void *arg) {
  (void)job, (void)arg;
  abort();
}

static int returns_7(struct green_hub *hub, void *arg) {
  (void)hub, (void)arg;
  return 7;
}

static int count_allowed(const int *results, int n) {
  int i, allowed = 0;
  for (i = 0; i < n; i++)
    if (results[i] != UV_EPERM) {
      printf("# call %d returned %d\n", i, results[i]);
      allowed++;
    }
  return allowed;
}

#define ALLOWED(results) \
  count_allowed(results, (int)(sizeof results / sizeof *results))

/* In a green thread that is not main, or in a callback. */
static int of_host(struct green_hub *hub, void *arg) {
  int results[] = {green_drain(hub), green_step(hub, 0),
                   green_step_for(hub, MS, 1)};
  (void)arg;
  return ALLOWED(results);
}

/* Where no green thread runs. */
static int of_threads(struct green_hub *hub) {
  struct sockaddr_storage address = {.ss_family = AF_UNIX};
  const struct sockaddr *a = (const struct sockaddr *)&address;
  struct pollfd p = {ends[0], POLLIN, 0};
  struct green_signal signal = {0};
  struct green_message *m = green_message_new("x", 1), *got;
  struct green_port *port;
  struct addrinfo *list;
  struct green_fd *f = NULL;
  char host[100], byte = 0;
  uint64_t forever = GREEN_FOREVER;
  int allowed = green_port_open(hub, 1, &port) != 0 ||
                green_fd_open(hub, ends[0], &f) != 0;
  {
    int results[] = {
        green_yield(hub),
        green_sleep(hub, 0),
        green_sleep(hub, green_in(MS)),
        green_join(hub, sleeper, forever, NULL),
        green_wait_others(hub, forever),
        green_wait_fd(hub, ends[0], GREEN_READABLE, forever),
        green_fd_wait(hub, f, GREEN_READABLE, forever),
        green_fd_wait_any(hub, &f, 1, GREEN_READABLE, forever),
        green_fd_write_begin(hub, f, forever),
        green_poll(hub, &p, 1, forever),
        green_connect(hub, a, sizeof(sa_family_t), forever),
        green_accept(hub, ends[0], forever),
        (int)green_read(hub, ends[0], &byte, 1, forever),
        green_signal_wait(hub, &signal, forever),
        green_within(hub, forever, returns_7, NULL),
        green_getaddrinfo(hub, "no.such.name.invalid", "1", NULL, forever,
                          &list),
        green_getnameinfo(hub, a, sizeof address, 0, forever, host,
                          sizeof host, NULL, 0),
        green_offload(hub, never, NULL, NULL, forever, NULL),
        green_port_receive(hub, port, forever, &got),
    };
    allowed += ALLOWED(results);
  }
  allowed += green_port_send_wait(hub, port, m, 0) != 0; /* there is room */
  allowed += green_port_receive(hub, port, 0, &got) != 0 || got != m;
  green_message_free(m);
  green_port_close(port);
  green_port_release(port);
  green_fd_release(hub, f);
  return allowed;
}

struct called {
  uv_timer_t timer;
  struct green_hub *hub;
  int allowed, done;
};

/* Before that the hub cannot be closed. */
static void on_closed(uv_handle_t *timer) {
  ((struct called *)timer->data)->done = 1;
}

static void on_timer(uv_timer_t *timer) {
  struct called *c = timer->data;
  c->allowed = of_threads(c->hub);
  c->allowed += of_host(c->hub, NULL);
  uv_close((uv_handle_t *)timer, on_closed);
}

static void begin_callback(struct called *c, struct green_hub *hub) {
  *c = (struct called){.hub = hub};
  uv_timer_init(green_loop(hub), &c->timer);
  c->timer.data = c;
  uv_timer_start(&c->timer, on_timer, 1, 0);
}

static void test_main(void) {
  struct green_hub *hub;
  struct green_thread *t;
  struct called c;
  int allowed = -1;
  if (green_open(&hub, NULL) < 0) abort();
  green_spawn(hub, &sleeper, sleeps, NULL);
  green_spawn(hub, &t, of_host, NULL);
  CHECK(green_join(hub, t, GREEN_FOREVER, &allowed) == 0 && allowed == 0,
        "a green thread other than main cannot do what is the host's");
  begin_callback(&c, hub);
  while (!c.done) green_sleep(hub, green_in(MS));
  CHECK(c.allowed == 0, "nor can a callback, nor block");
  CHECK(green_join(hub, sleeper, 0, NULL) == UV_ETIMEDOUT,
        "nothing has happened");
  CHECK(green_drain(hub) == 0 && green_live(hub) == 1, "but main can");
  CHECK(green_spawn(hub, &t, returns_7, NULL) == 0 &&
            green_join(hub, t, GREEN_FOREVER, &allowed) == 0 && allowed == 7,
        "and the hub goes on");
  green_sleep(hub, 0);
  CHECK(green_close(hub) == 0, "until it is closed");
}

static void test_loop(void) {
  struct green_options options = {.drive = GREEN_DRIVE_LOOP};
  struct green_hub *hub;
  struct green_thread *t;
  uv_loop_t loop;
  int allowed = -1;
  uv_loop_init(&loop);
  options.loop = &loop;
  if (green_open(&hub, &options) < 0) abort();
  green_spawn(hub, &sleeper, sleeps, NULL);
  CHECK(of_threads(hub) == 0, "the host's stack cannot block");
  green_spawn(hub, &t, of_host, NULL);
  while (green_join(hub, t, 0, &allowed) == UV_ETIMEDOUT)
    uv_run(&loop, UV_RUN_ONCE);
  CHECK(allowed == 0, "nor can a green thread do what is the host's");
  CHECK(green_join(hub, sleeper, 0, NULL) == UV_ETIMEDOUT,
        "nothing has happened");
  CHECK(green_drain(hub) == 0 && green_live(hub) == 0, "but the host can");
  CHECK(green_close(hub) == 0, "and closes the hub");
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(&loop) == 0, "the loop is free");
}

int main(void) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0) return 1;
  test_main();
  test_loop();
  return test_end();
}
