/* json.c - texts as JSON strings.
 *
 * Names come from the program and its peers, so a file must be valid with any
 * bytes in them. Bytes that are not UTF-8 become U+FFFD.
 *
 * Any OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "internal.h"

/* The length of the UTF-8 sequence there; 0: it is none. */
static size_t sequence(const unsigned char *s, size_t left) {
  static const unsigned char least[] = {0, 0, 0, 0xa0, 0x90};
  size_t n = *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : 2, i;
  if (*s < 0xc2 || *s > 0xf4 || left < n) return 0;
  for (i = 1; i < n; i++)
    if ((s[i] & 0xc0) != 0x80) return 0;
  /* Longer than need be, a surrogate, or above the last code point. */
  if ((*s == 0xe0 || *s == 0xf0) && s[1] < least[n]) return 0;
  if (*s == 0xed && s[1] > 0x9f) return 0;
  if (*s == 0xf4 && s[1] > 0x8f) return 0;
  return n;
}

static size_t put(char *to, size_t at, const char *bytes, size_t n) {
  if (to) memcpy(to + at, bytes, n);
  return at + n;
}

static size_t put_control(char *to, size_t at, unsigned char c) {
  static const char digits[] = "0123456789abcdef";
  char text[] = "\\u0000";
  text[4] = digits[c >> 4];
  text[5] = digits[c & 15];
  return put(to, at, text, 6);
}

size_t green_json(char *to, const char *text, size_t length) {
  const unsigned char *s = (const unsigned char *)text;
  size_t i, at = 0, n;
  for (i = 0; i < length; i += n) {
    n = 1;
    if (s[i] == '"' || s[i] == '\\') {
      at = put(to, at, "\\", 1);
      at = put(to, at, text + i, 1);
    } else if (s[i] < ' ' || s[i] == 0x7f) {
      at = put_control(to, at, s[i]);
    } else if (s[i] < 0x80) {
      at = put(to, at, text + i, 1);
    } else if ((n = sequence(s + i, length - i))) {
      at = put(to, at, text + i, n);
    } else {
      at = put(to, at, "\\ufffd", 6);
      n = 1;
    }
  }
  return at;
}
