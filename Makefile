# luagreen. Targets: make help. SPDX-License-Identifier: MIT
# Variables you may set: CC, CFLAGS, OPT, SAN, BUILD, SWITCH=ucontext, LUA,
# PREFIX, DESTDIR; for make test: PART="specs asan ...", SPEC=file.

CC ?= cc
LUA ?= lua5.4
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
ARCH := $(shell uname -m)
OPT ?= -O2 -DNDEBUG
SAN ?=
VERSION := $(shell sed -n 's/.*GREEN_VERSION "\(.*\)"/\1/p' core/green.h)

WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
       -Wpointer-arith -Wundef -Wvla
LUA_CFLAGS ?= $(shell pkg-config --cflags lua5.4 2>/dev/null)
LUA_LIBS ?= $(shell pkg-config --libs lua5.4 2>/dev/null || echo -llua5.4)
UV_CFLAGS ?= $(shell pkg-config --cflags libuv 2>/dev/null)
UV_LIBS ?= $(shell pkg-config --libs libuv 2>/dev/null || echo -luv)
# glibc's checks need an optimizer, and sanitizers have better ones.
FORTIFY = $(if $(filter -O0,$(OPT))$(SAN),,-D_FORTIFY_SOURCE=2)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(FORTIFY) $(OPT) -g $(WARN) \
             -fPIC -fvisibility=hidden -fstack-clash-protection $(SAN) \
             $(UV_CFLAGS) $(CFLAGS)

ifeq ($(SWITCH),)
  SWITCH := $(if $(wildcard core/switch/$(ARCH).S),$(ARCH),ucontext)
endif
SWITCH_SRC := $(firstword $(wildcard core/switch/$(SWITCH).S \
                                     core/switch/$(SWITCH).c))

CORE_OBJ := $(patsubst core/%.c,$(BUILD)/core/%.o,$(wildcard core/*.c)) \
            $(BUILD)/core/switch.o
BIND_OBJ := $(patsubst bindings/%.c,$(BUILD)/bindings/%.o,\
              $(wildcard bindings/*/*.c))
C_TESTS := $(patsubst spec/c/%.c,$(BUILD)/spec/%,$(wildcard spec/c/*_test.c))

.PHONY: all
all: $(BUILD)/green/core.so $(BUILD)/libgreen.a $(BUILD)/libgreen.so \
     $(BUILD)/libgreen_lua.a

# Recompiles everything when the flags have changed.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS) $(SWITCH)' | cmp -s - $@ || \
	  echo '$(CC) $(ALL_CFLAGS) $(SWITCH)' >$@
.PHONY: FORCE
FORCE:

$(BUILD)/core/%.o: core/%.c $(wildcard core/*.h) $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/core/switch.o: $(SWITCH_SRC) core/switch.h $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Icore -c $< -o $@

$(BUILD)/bindings/%.o: bindings/%.c \
                       $(wildcard core/*.h bindings/*.h bindings/*/*.h) \
                       $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUA_CFLAGS) -Icore -Ibindings -c $< -o $@

$(BUILD)/libgreen.a: $(CORE_OBJ)
	@rm -f $@
	ar rcs $@ $^

# The core and the Lua binding, for a host that links it into itself.
$(BUILD)/libgreen_lua.a: $(CORE_OBJ) $(BIND_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/libgreen.so: $(CORE_OBJ)
	$(CC) -shared $(SAN) $(LDFLAGS) -Wl,-soname,libgreen.so.0 -o $@ $^ \
	  $(UV_LIBS) -lpthread
	@ln -sf $(@F) $@.0

# nodelete: look-ups run on detached OS threads that may outlive lua_close().
$(BUILD)/green/core.so: $(CORE_OBJ) $(BIND_OBJ)
	@mkdir -p $(@D)
	$(CC) -shared $(SAN) $(LDFLAGS) -Wl,-z,nodelete -o $@ $^ $(UV_LIBS) \
	  -lpthread

# C tests see the core's own functions; those named lua_* the binding's, too.
.PHONY: c-tests
c-tests: $(C_TESTS) $(BUILD)/spec/eager_gc.so

$(BUILD)/spec/lua_%_test: spec/c/lua_%_test.c spec/c/test.h \
                          $(BUILD)/libgreen_lua.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUA_CFLAGS) -Icore -Ibindings $< -o $@ \
	  $(BUILD)/libgreen_lua.a $(LDFLAGS) $(LUA_LIBS) $(UV_LIBS) -lpthread

# nodelete: the state frees memory by it when its module is gone already.
$(BUILD)/spec/eager_gc.so: spec/c/eager_gc.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUA_CFLAGS) -shared $(LDFLAGS) -Wl,-z,nodelete \
	  $< -o $@

$(BUILD)/spec/%_test: spec/c/%_test.c spec/c/test.h $(BUILD)/libgreen.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Icore $< -o $@ \
	  $(BUILD)/libgreen.a $(LDFLAGS) $(UV_LIBS) -lpthread

.PHONY: env
env:
	@echo "export LUA_PATH='$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;;'"
	@echo "export LUA_CPATH='$(abspath $(BUILD))/?.so;;'"

# What is to be tested is made by tools/test, which gives each part its flags.
.PHONY: deps test asan valgrind tsan lint format
deps:
	@tools/deps
test:
	@SPEC='$(SPEC)' tools/test $(PART)
asan valgrind tsan:
	@SPEC='$(SPEC)' tools/test deps $@
lint:
	@tools/lint
format:
	@tools/format

# Written anew from docs/meta; a spec fails when it is out of date.
.PHONY: docs
docs:
	@$(LUA) tools/reference >docs/reference.new
	@mv docs/reference.new docs/reference.md

.PHONY: examples
examples: $(BUILD)/examples/embed $(BUILD)/examples/c_only

$(BUILD)/examples/embed: examples/embed.c $(BUILD)/libgreen_lua.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUA_CFLAGS) -Icore -Ibindings $< -o $@ \
	  $(BUILD)/libgreen_lua.a $(LDFLAGS) $(LUA_LIBS) $(UV_LIBS) -lpthread

$(BUILD)/examples/c_only: examples/c_only.c $(BUILD)/libgreen.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Icore $< -o $@ \
	  $(BUILD)/libgreen.a $(LDFLAGS) $(UV_LIBS) -lpthread

.PHONY: bench demo
bench: all
	@eval "$$($(MAKE) -s --no-print-directory env)" && bench/run $(SUBJECTS)
demo: all
	@eval "$$($(MAKE) -s --no-print-directory env)" && examples/demo

# ---------------------------------------------------------------- install --

INST_LUADIR ?= $(PREFIX)/share/lua/5.4
INST_LIBDIR ?= $(PREFIX)/lib/lua/5.4
INST_BINDIR ?= $(PREFIX)/bin
LUA_FILES := $(shell cd lua && find . -name '*.lua')

# The module alone: what a rock holds.
.PHONY: rock install-lua
rock: $(BUILD)/green/core.so
install-lua: $(BUILD)/green/core.so
	@for f in $(LUA_FILES:./%=%); do \
	  install -D -m 644 lua/$$f "$(DESTDIR)$(INST_LUADIR)/$$f" || exit 1; \
	done
	install -D -m 755 $< "$(DESTDIR)$(INST_LIBDIR)/green/core.so"
	install -D -m 755 bin/luagreen "$(DESTDIR)$(INST_BINDIR)/luagreen"

# A host may link libgreen_lua.so: it is the very file that require loads, so
# that there is one copy of the library in the process.
.PHONY: install
install: all install-lua
	install -d "$(DESTDIR)$(PREFIX)/include" \
	  "$(DESTDIR)$(PREFIX)/lib/pkgconfig"
	install -m 644 core/green.h bindings/green_lua.h \
	  "$(DESTDIR)$(PREFIX)/include"
	install -m 644 $(BUILD)/libgreen.a $(BUILD)/libgreen_lua.a \
	  "$(DESTDIR)$(PREFIX)/lib"
	install -m 755 $(BUILD)/libgreen.so \
	  "$(DESTDIR)$(PREFIX)/lib/libgreen.so.$(VERSION)"
	ln -sf libgreen.so.$(VERSION) "$(DESTDIR)$(PREFIX)/lib/libgreen.so.0"
	ln -sf libgreen.so.0 "$(DESTDIR)$(PREFIX)/lib/libgreen.so"
	ln -sf lua/5.4/green/core.so "$(DESTDIR)$(PREFIX)/lib/libgreen_lua.so"
	tools/pkgconfig luagreen $(VERSION) "$(PREFIX)" \
	  >"$(DESTDIR)$(PREFIX)/lib/pkgconfig/luagreen.pc"
	tools/pkgconfig luagreen-lua $(VERSION) "$(PREFIX)" \
	  >"$(DESTDIR)$(PREFIX)/lib/pkgconfig/luagreen-lua.pc"

.PHONY: clean
clean:
	rm -rf build

.PHONY: help
help:
	@echo 'make            the module, the C libraries (into $(BUILD)/)'
	@echo 'make test       everything; PART="specs asan" for parts of it,'
	@echo '                SPEC=spec/sync/queue_spec.lua for one file'
	@echo '                parts: $(shell tools/test --parts 2>/dev/null)'
	@echo 'make demo       a Lua service, its clients and its backdoor'
	@echo 'make examples   the C ones, into $(BUILD)/examples/'
	@echo 'make bench      luagreen beside its peers; SUBJECTS="quick echo"'
	@echo 'make asan valgrind tsan   that part of the tests'
	@echo 'make lint       luacheck, clang-format, warnings as errors'
	@echo 'make docs       docs/reference.md, from docs/meta'
	@echo 'make format     rewrites C files as .clang-format wants them'
	@echo 'make install    PREFIX=/usr/local DESTDIR='
	@echo 'make env        eval "$$(make -s env)": a stock lua5.4 finds green'
	@echo 'make deps       installs by apt-get what is missing'
	@echo 'make clean      removes build/'
