/* echo_uv.c - an echo server on libuv's streams; prints its port. Tries to
 * write at once and queues only the rest, as a careful user does.
 *
 * SPDX-License-Identifier: MIT
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct rest {
  uv_write_t request;
  char bytes[];
};

static void lend(uv_handle_t *conn, size_t size, uv_buf_t *buffer) {
  static char memory[65536];
  (void)conn;
  (void)size;
  *buffer = uv_buf_init(memory, sizeof memory);
}

static void closed(uv_handle_t *conn) {
  free(conn);
}

static void wrote(uv_write_t *request, int status) {
  (void)status;
  free(request);
}

static void send_rest(uv_stream_t *conn, const char *bytes, size_t size) {
  struct rest *rest = malloc(sizeof *rest + size);
  uv_buf_t buffer = uv_buf_init(rest->bytes, (unsigned)size);
  memcpy(rest->bytes, bytes, size);
  uv_write(&rest->request, conn, &buffer, 1, wrote);
}

static void echo(uv_stream_t *conn, ssize_t n, const uv_buf_t *got) {
  if (n == 0) return;
  if (n < 0) {
    uv_close((uv_handle_t *)conn, closed);
    return;
  }
  uv_buf_t buffer = uv_buf_init(got->base, (unsigned)n);
  int sent = uv_try_write(conn, &buffer, 1);
  if (sent < 0) sent = 0;
  if (sent < n) send_rest(conn, got->base + sent, (size_t)(n - sent));
}

static void greet(uv_stream_t *listener, int status) {
  uv_tcp_t *conn = malloc(sizeof *conn);
  if (status < 0 || !conn) exit(1);
  uv_tcp_init(listener->loop, conn);
  uv_accept(listener, (uv_stream_t *)conn);
  uv_tcp_nodelay(conn, 1);
  uv_read_start((uv_stream_t *)conn, lend, echo);
}

int main(void) {
  struct sockaddr_in at;
  uv_tcp_t listener;
  int size = sizeof at;
  uv_tcp_init(uv_default_loop(), &listener);
  uv_ip4_addr("127.0.0.1", 0, &at);
  uv_tcp_bind(&listener, (struct sockaddr *)&at, 0);
  if (uv_listen((uv_stream_t *)&listener, 1024, greet) < 0) return 1;
  uv_tcp_getsockname(&listener, (struct sockaddr *)&at, &size);
  printf("%d\n", ntohs(at.sin_port));
  fflush(stdout);
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
