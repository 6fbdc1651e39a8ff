/* hosts.c - tells whether the hosts file knows a name or an address.
 *
 * A look-up of one that it knows asks no server, so it need not wait behind
 * those that do. This file decides only that; getaddrinfo gives the answer. It
 * reads the hosts file again after a change, and ignores one that is too large
 * to read on the spot.
 *
 * On the hub or a green thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#ifndef _PATH_HOSTS
#define _PATH_HOSTS "/etc/hosts"
#endif

enum { LARGEST = 1 << 20 };
enum { HAS_IPV4 = 1, HAS_IPV6 = 2 };

struct entry {
  const char *name; /* in the text; NULL: free */
  int families;
};

struct green__hosts {
  struct stat as_of;
  size_t room; /* of the table: a power of two, at most half full */
  struct entry *entries;
  char text[];
};

static uint32_t hash_of(const char *name) {
  uint32_t hash = 2166136261u;
  for (; *name; name++) hash = (hash ^ (*name | 32u)) * 16777619u;
  return hash;
}

static struct entry *find(struct green__hosts *hosts, const char *name) {
  size_t i = hash_of(name) & (hosts->room - 1);
  while (hosts->entries[i].name && strcasecmp(hosts->entries[i].name, name))
    i = (i + 1) & (hosts->room - 1);
  return &hosts->entries[i];
}

/* An address by itself asks for a name: it stands in the table like one. */
static void read_line(struct green__hosts *hosts, char *line) {
  static const char blank[] = " \t\r";
  char *rest, *word = strtok_r(line, blank, &rest);
  int families = word && strchr(word, ':') ? HAS_IPV6 : HAS_IPV4;
  for (; word; word = strtok_r(NULL, blank, &rest)) {
    struct entry *e = find(hosts, word);
    e->name = word;
    e->families |= families;
  }
}

/* Words are as many as blanks at most, and one. */
static size_t count_words(const char *text) {
  size_t n = 1;
  for (; *text; text++) n += *text == ' ' || *text == '\t' || *text == '\n';
  return n;
}

static int parse(struct green__hosts *hosts) {
  char *rest, *line;
  size_t words = count_words(hosts->text);
  for (hosts->room = 16; hosts->room < 2 * words;) hosts->room *= 2;
  hosts->entries = green__alloc(hosts->room * sizeof *hosts->entries);
  if (!hosts->entries) return 0;
  for (line = strtok_r(hosts->text, "\n", &rest); line;
       line = strtok_r(NULL, "\n", &rest)) {
    line[strcspn(line, "#")] = 0;
    read_line(hosts, line);
  }
  return 1;
}

static int read_all(int fd, char *text, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t n = read(fd, text + done, size - done);
    if (n <= 0) return 0; /* it has shrunk meanwhile */
    done += (size_t)n;
  }
  return 1;
}

void green__hosts_free(struct green__hosts *hosts) {
  if (hosts) green__free(hosts->entries);
  green__free(hosts);
}

static struct green__hosts *load(const struct stat *st) {
  struct green__hosts *hosts = NULL;
  int fd = open(_PATH_HOSTS, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  hosts = green__alloc(sizeof *hosts + (size_t)st->st_size + 1);
  if (hosts) hosts->as_of = *st;
  if (hosts &&
      (!read_all(fd, hosts->text, (size_t)st->st_size) || !parse(hosts))) {
    green__hosts_free(hosts);
    hosts = NULL;
  }
  close(fd);
  return hosts;
}

static int is_as_it_was(const struct stat *a, const struct stat *b) {
  return a->st_ino == b->st_ino && a->st_size == b->st_size &&
         a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
         a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int green__hosts_know(struct green__hosts **hosts, const char *name,
                      int family) {
  struct stat st;
  int families;
  if (stat(_PATH_HOSTS, &st) < 0 || !S_ISREG(st.st_mode) ||
      st.st_size > LARGEST)
    return 0;
  if (!*hosts || !is_as_it_was(&(*hosts)->as_of, &st)) {
    green__hosts_free(*hosts);
    *hosts = load(&st);
  }
  if (!*hosts) return 0;
  families = find(*hosts, name)->families;
  if (family == AF_INET) return families & HAS_IPV4;
  if (family == AF_INET6) return families & HAS_IPV6;
  return families != 0;
}
