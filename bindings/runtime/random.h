/* random.h - numbers without a pattern that a program could keep step with.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_RANDOM_H
#define LG_RANDOM_H

#include <stdint.h>

/* The next one, and the state from which the one after it is made. The state
 * is not 0 at first, and never becomes 0 (xorshift). */
static inline uint64_t lg_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

#endif
