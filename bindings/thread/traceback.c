/* traceback.c - a traceback, of which each frame is one line, whatever bytes
 * the names of chunks and functions have.
 *
 * Lua copies these names as they are, so one with a newline would look like
 * another frame, or like another line of a log. Where Lua's text has more lines
 * than there are frames, another one is made, with all names escaped.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "runtime/frames.h"
#include "runtime/site.h"
#include "thread/thread.h"

/* Lua's own: so many frames are shown at each end of a deep stack. */
enum { FIRST = 10, LAST = 11 };
enum { NAME = 200 };

static void add_name(luaL_Buffer *b, const char *name) {
  char shown[NAME];
  luaL_addstring(b, lg_one_line(name, shown, sizeof shown));
}

static void add_number(luaL_Buffer *b, const char *before, int n,
                       const char *after) {
  char text[60];
  snprintf(text, sizeof text, "%s%d%s", before, n, after);
  luaL_addstring(b, text);
}

static void add_frame(luaL_Buffer *b, const lua_Debug *ar) {
  luaL_addstring(b, "\n\t");
  add_name(b, ar->short_src);
  if (ar->currentline > 0) add_number(b, ":", ar->currentline, "");
  luaL_addstring(b, ": in ");
  if (*ar->namewhat) {
    luaL_addstring(b, ar->namewhat);
    luaL_addstring(b, " '");
    add_name(b, ar->name);
    luaL_addstring(b, "'");
  } else if (*ar->what == 'm') {
    luaL_addstring(b, "main chunk");
  } else if (*ar->what == 'C') {
    luaL_addstring(b, "?");
  } else {
    luaL_addstring(b, "function <");
    add_name(b, ar->short_src);
    add_number(b, ":", ar->linedefined, ">");
  }
  if (ar->istailcall) luaL_addstring(b, "\n\t(...tail calls...)");
}

/* As Lua's, but without a search for names in package.loaded. Returns the
 * number of lines; adds none if b is NULL. */
static int add_frames(luaL_Buffer *b, lua_State *from, int level) {
  int last = lg_last_level(from), lines = 0;
  int to_show = last - level > FIRST + LAST ? FIRST : -1;
  lua_Debug ar;
  for (; lua_getstack(from, level++, &ar); lines++) {
    if (to_show-- == 0) {
      int skipped = last - level - LAST + 1;
      if (b) add_number(b, "\n\t...\t(skipping ", skipped, " levels)");
      level += skipped;
      continue;
    }
    lua_getinfo(from, "Slnt", &ar);
    if (b) add_frame(b, &ar);
    lines += ar.istailcall != 0; /* it may be another bit */
  }
  return lines;
}

static int count_lines(const char *text) {
  int n = 0;
  while ((text = strchr(text, '\n'))) {
    text++;
    n++;
  }
  return n;
}

void lg_traceback(lua_State *L, lua_State *from, int level) {
  luaL_Buffer b;
  luaL_traceback(L, from, NULL, level);
  if (count_lines(lua_tostring(L, -1)) == add_frames(NULL, from, level))
    return;
  lua_pop(L, 1);
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "stack traceback:");
  add_frames(&b, from, level);
  luaL_pushresult(&b);
}
