/* report_test.c - reports on stderr block nobody, and tell how many were lost.
 *
 * The end of the process is part of it, so each case runs in a child with one
 * end of a pipe, a socket or a terminal as its stderr.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

#define MS UINT64_C(1000000)
/* Nobody is held up for so long by accident, on a loaded machine either. */
#define LONG (5000 * MS)

static char got[1 << 22]; /* what the child has written */
static size_t got_length;

static void put(const char *text) {
  green_report_put(text, strlen(text), 0);
}

static void pause_ms(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}

/* --- a child with a stderr of its own --- */

static pid_t begin(int (*f)(void), int child_end, int parent_end) {
  pid_t pid = fork();
  if (pid != 0) {
    close(child_end);
    return pid;
  }
  close(parent_end);
  dup2(child_end, STDERR_FILENO);
  close(child_end);
  exit(f());
}

static void read_all(int fd) {
  ssize_t n;
  got_length = 0;
  while ((n = read(fd, got + got_length, sizeof got - 1 - got_length)) > 0)
    got_length += (size_t)n;
  got[got_length] = '\0';
}

/* 0 if it has ended with 0 within the time, else what a shell would say. */
static int end(pid_t pid, uint64_t limit) {
  uint64_t until = uv_hrtime() + limit;
  int status;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (uv_hrtime() > until) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      return 124;
    }
    pause_ms(2);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

enum { NOBODY_READS, AT_ONCE, LATE, HAS_GONE };

static int with_ends(int (*f)(void), int ends[2], int reader) {
  pid_t pid;
  int status;
  if (reader == HAS_GONE) {
    pid = begin(f, ends[1], ends[0]);
    close(ends[0]);
    return end(pid, LONG);
  }
  pid = begin(f, ends[1], ends[0]);
  if (reader == LATE) pause_ms(100);
  if (reader == AT_ONCE || reader == LATE) read_all(ends[0]);
  status = end(pid, LONG);
  if (reader == NOBODY_READS) {
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    read_all(ends[0]);
  }
  close(ends[0]);
  return status;
}

static int with_pipe(int (*f)(void), int reader) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) abort();
  return with_ends(f, ends, reader);
}

static int with_socket(int (*f)(void), int reader) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) abort();
  return with_ends(f, ends, reader);
}

static int with_terminal(int (*f)(void), int reader) {
  int ends[2];
  ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ends[0] < 0 || grantpt(ends[0]) < 0 || unlockpt(ends[0]) < 0) return -1;
  ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ends[1] < 0) return -1;
  return with_ends(f, ends, reader);
}

/* --- nobody is held up --- */

static int much(void) {
  static char line[1001];
  uint64_t start = uv_hrtime();
  int i;
  memset(line, 'x', 999);
  line[999] = '\n';
  for (i = 0; i < 2000; i++) put(line);
  if (fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) return 2;
  return uv_hrtime() - start > LONG / 5;
}

static void holds_up_nobody(void) {
  int r;
  CHECK(with_pipe(much, NOBODY_READS) == 0,
        "a pipe that nobody reads holds up neither a report nor the end");
  CHECK(got_length >= 4000, "what fits into the pipe is there");
  CHECK(with_socket(much, NOBODY_READS) == 0,
        "a socket that nobody reads holds up neither");
  r = with_terminal(much, NOBODY_READS);
  if (r < 0)
    SKIP("a terminal that is stopped holds up neither", "no terminal");
  else
    CHECK(r == 0, "a terminal that is stopped holds up neither");
  CHECK(with_pipe(much, HAS_GONE) == 0,
        "a reader that has gone does not end the program");
  CHECK(with_socket(much, HAS_GONE) == 0,
        "the peer of a socket that has gone does not end it");
}

static int closed(void) {
  close(STDERR_FILENO);
  put("nobody hears it\n");
  green_report("nor %s\n", "this");
  return 0;
}

static int to_full(void) {
  int fd = open("/dev/full", O_WRONLY);
  dup2(fd, STDERR_FILENO);
  put("there is no room\n");
  return 0;
}

static int without_memory(void) {
  char *text = malloc(8192);
  memset(text, 'm', 8192);
  text[8191] = '\0';
  green__fail_alloc(1);
  put(text);
  free(text);
  return 0;
}

static void lacks(void) {
  CHECK(with_pipe(closed, AT_ONCE) == 0, "stderr may be closed");
  CHECK(with_pipe(to_full, AT_ONCE) == 0, "its disk may be full");
  CHECK(with_pipe(without_memory, AT_ONCE) == 0 && got_length > 500,
        "without memory a text is cut");
  if (got_length <= 500) printf("# %zu bytes: %s\n", got_length, got);
}

/* --- what is written --- */

enum { TEXTS = 200, WIDTH = 1023 };

static void text(char line[WIDTH + 1], int i) {
  memset(line, '.', WIDTH);
  line[snprintf(line, WIDTH, "%d", i)] = ' ';
  line[WIDTH - 1] = '\n';
  line[WIDTH] = '\0';
}

static int numbered(void) {
  char line[WIDTH + 1];
  int i;
  for (i = 0; i < TEXTS; i++) {
    text(line, i);
    put(line);
  }
  return 0;
}

/* So far as they have come. */
static int in_order(void) {
  char line[WIDTH + 1];
  size_t i;
  for (i = 0; i < got_length; i++) {
    if (i % WIDTH == 0) text(line, (int)(i / WIDTH));
    if (got[i] != line[i % WIDTH]) return 0;
  }
  return 1;
}

/* The end gives up a reader that a machine which stands still holds up. */
static int has_all_of_it(void) {
  int tries = 30;
  while (tries-- > 0) {
    if (with_pipe(numbered, LATE) != 0 || !in_order()) return 0;
    if (got_length == TEXTS * WIDTH) return 1;
    printf("# %zu bytes have come\n", got_length);
    fflush(stdout);
  }
  return 0;
}

static int too_many(void) {
  int i;
  for (i = 0; i < 1000; i++) green_report("report %d\n", i);
  return 0;
}

static int lines_of(const char *start) {
  int n = 0;
  const char *p;
  for (p = got; *p; p += strcspn(p, "\n") + 1)
    n += strncmp(p, start, strlen(start)) == 0;
  return n;
}

static void arrives(void) {
  const char *told;
  CHECK(has_all_of_it(),
        "what a slow reader has not taken yet comes in order, whole");
  CHECK(with_pipe(numbered, NOBODY_READS) == 0,
        "an end waits no longer than a while for a reader that does nothing");
  CHECK(with_pipe(too_many, AT_ONCE) == 0, "a thousand reports at once");
  told = strstr(got, "luagreen: ");
  CHECK(lines_of("report ") >= 200 && lines_of("report ") < 300 && told &&
            atoi(told + 10) + lines_of("report ") == 1000,
        "are cut to a few hundred, and the rest is counted");
}

static int again_later(void) {
  too_many();
  pause_ms(1500);
  green_report("much later\n");
  return 0;
}

static void refills(void) {
  const char *told, *later;
  CHECK(with_pipe(again_later, AT_ONCE) == 0, "after a flood");
  told = strstr(got, "more reports were dropped");
  later = strstr(got, "much later");
  CHECK(told && later && told < later,
        "it is told within a second what was dropped, and reports go on");
}

/* --- several processes and threads --- */

static int with_child(void) {
  pid_t pid;
  much();
  pid = fork();
  if (pid == 0) {
    put("the child\n");
    exit(0);
  }
  if (end(pid, LONG) != 0) return 3;
  return 0;
}

static void *report_lines(void *arg) {
  int i;
  for (i = 0; i < 50; i++) {
    green_report("thread %s, one whole line\n", (char *)arg);
    put("another whole line\n");
  }
  return NULL;
}

static int threads(void) {
  static char names[] = "a\0b\0c";
  pthread_t t[3];
  int i;
  for (i = 0; i < 3; i++)
    if (pthread_create(&t[i], NULL, report_lines, names + 2 * i)) return 1;
  for (i = 0; i < 3; i++) pthread_join(t[i], NULL);
  return 0;
}

static void several(void) {
  if (WITH_TSAN)
    SKIP("a forked child neither waits for nor repeats what its parent wrote",
         "TSan forbids");
  else
    CHECK(
        with_pipe(with_child, NOBODY_READS) == 0,
        "a forked child neither waits for nor repeats what its parent wrote");
  CHECK(with_pipe(threads, AT_ONCE) == 0 &&
            lines_of("another whole line") == 150 &&
            lines_of("thread ") == 150,
        "reports of several OS threads do not mix");
}

/* --- what may be shown --- */

static int shows(const char *text, size_t length, const char *expected) {
  char to[256];
  size_t n = green_printable(to, text, length);
  return n == strlen(expected) && !memcmp(to, expected, n) &&
         green_printable(NULL, text, length) == n;
}

#define SHOWS(text, expected) shows(text, sizeof text - 1, expected)

static void printable(void) {
  CHECK(SHOWS("a line\n\tand a tab", "a line\n\tand a tab"),
        "text, tabs and ends of lines are as they were");
  CHECK(SHOWS("\x1b[2J\a\r\x7f", "\\x1b[2J\\x07\\x0d\\x7f"),
        "control characters are escaped");
  CHECK(SHOWS("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\xb1",
              "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\xb1"),
        "UTF-8 is as it was");
  CHECK(SHOWS("\x9b\x32J \xc2\x9b", "\\x9b2J \\xc2\\x9b"),
        "control characters of eight bits are escaped, in UTF-8 too");
  CHECK(SHOWS("\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82",
              "\\xc0\\xaf \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80 \\xe2\\x82"),
        "what is no UTF-8 is escaped");
  CHECK(SHOWS("\xe2\x80\xae"
              "a\0b",
              "\\xe2\\x80\\xaea\\x00b"),
        "so is what turns text around, and NUL");
}

int main(void) {
  signal(SIGPIPE, SIG_DFL);
  printable();
  holds_up_nobody();
  lacks();
  arrives();
  refills();
  several();
  return test_failures != 0;
}
