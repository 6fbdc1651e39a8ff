/* tally.c - sums by text: by the name of a thread, or by its stack.
 *
 * A program may have any number of different texts, of peers perhaps, so a
 * tally has a limit; the texts beyond it are summed up as "(others)".
 *
 * Any stack; uses memory of C's alone.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "watch/watch.h"

enum { BUCKETS = 1024 };

struct lg_tally *lg_tally_new(uint32_t most) {
  struct lg_tally *tally = calloc(1, sizeof *tally);
  if (tally) tally->most = most;
  return tally;
}

void lg_tally_free(struct lg_tally *tally) {
  struct lg_sums *s;
  if (!tally) return;
  while ((s = tally->first)) {
    tally->first = s->next;
    free(s);
  }
  free(tally);
}

/* FNV-1a */
static uint32_t hash(const char *text, size_t length) {
  uint32_t h = 2166136261u;
  size_t i;
  for (i = 0; i < length; i++) h = (h ^ (unsigned char)text[i]) * 16777619u;
  return (h ^ h >> 16) % BUCKETS;
}

static struct lg_sums *add(struct lg_tally *tally, uint32_t bucket,
                           const char *text, size_t length) {
  struct lg_sums *s = calloc(1, sizeof *s + length);
  if (!s) return NULL;
  memcpy(s->text, text, length);
  s->length = (uint32_t)length;
  s->next = tally->first;
  s->in_bucket = tally->buckets[bucket];
  tally->first = tally->buckets[bucket] = s;
  tally->count++;
  return s;
}

struct lg_sums *lg_tally_at(struct lg_tally *tally, const char *text,
                            size_t length) {
  static const char others[] = "(others)";
  uint32_t bucket = hash(text, length);
  struct lg_sums *s = tally->buckets[bucket];
  assert(tally->count <= tally->most);
  while (s && (s->length != length || memcmp(s->text, text, length) != 0))
    s = s->in_bucket;
  if (s) return s;
  if (tally->count < tally->most) return add(tally, bucket, text, length);
  tally->most = UINT32_MAX; /* this one text more */
  s = lg_tally_at(tally, others, sizeof others - 1);
  tally->most = tally->count;
  return s;
}
