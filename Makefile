# luagreen. Targets: make help. SPDX-License-Identifier: MIT
# Variables you may set: LUA=lua5.5, CC, CFLAGS, OPT, SAN, BUILD, PREFIX,
# SWITCH=ucontext, DESTDIR; for make test: PART="specs asan ...", SPEC=file.

# $(call once,NAME,COMMAND): what it prints, asked for at the first use.
once = $(eval $1 := $$(shell $2))$($1)

CC ?= cc
LUA ?= $(call once,LUA,tools/lua name)
LUA_IS_TOLD := $(filter-out undefined,$(origin LUA_CFLAGS))
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
ARCH := $(shell uname -m)
OPT ?= -O2 -DNDEBUG
SAN ?=
VERSION := $(shell sed -n 's/.*GREEN_VERSION "\(.*\)"/\1/p' core/green.h)
# Before 1.0 a minor version may break what was linked with an older one.
SOVERSION := $(shell sed -n 's/.*GREEN_VERSION "\(0[.][0-9]*\|[0-9]*\).*/\1/p' core/green.h)
RPATH ?= -Wl,-rpath,'$$ORIGIN:$$ORIGIN/../../..'

WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
       -Wpointer-arith -Wundef -Wvla
LUA_CFLAGS ?= $(call once,LUA_CFLAGS,tools/lua cflags '$(LUA)')
LUA_LIBS ?= $(call once,LUA_LIBS,tools/lua libs '$(LUA)')
UV_CFLAGS ?= $(call once,UV_CFLAGS,pkg-config --cflags libuv 2>/dev/null)
UV_LIBS ?= $(call once,UV_LIBS,pkg-config --libs libuv 2>/dev/null || echo -luv)
# 5.4 or 5.5, and the release, by the headers that are compiled against.
LUA_RELEASE = $(call once,LUA_RELEASE,tools/headers lua '$(CC)' $(LUA_CFLAGS))
LUA_VERSION = $(basename $(LUA_RELEASE))
# glibc's checks need an optimizer, and sanitizers have better ones.
# TLS is a module of its own, where OpenSSL's headers are: 3.0 or newer.
SSL_CFLAGS ?= $(call once,SSL_CFLAGS,pkg-config --cflags openssl 2>/dev/null)
SSL_LIBS ?= $(call once,SSL_LIBS,pkg-config --libs openssl 2>/dev/null || \
              echo -lssl -lcrypto)
SSL_RELEASE = $(call once,SSL_RELEASE,tools/headers ssl '$(CC)' $(SSL_CFLAGS))
FORTIFY = $(if $(filter -O0,$(OPT))$(SAN),,-D_FORTIFY_SOURCE=2)
# Nothing writable that a call goes through: tables are read-only once loaded.
# Calls of our own functions go straight to them, those of Lua's through a table
# but no stub: 5 % of a switch and of a spawn.
HARD_LINK = -Wl,-z,relro,-z,now -Wl,-Bsymbolic-functions
DIRECT = -fno-plt -fno-semantic-interposition
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(FORTIFY) $(OPT) -g $(WARN) \
             -fPIC -fvisibility=hidden -fstack-clash-protection \
             -fstack-protector-strong $(DIRECT) $(SAN) \
             $(UV_CFLAGS) $(CFLAGS)

ifeq ($(SWITCH),)
  SWITCH := $(if $(wildcard core/switch/$(ARCH).S),$(ARCH),ucontext)
endif
SWITCH_SRC := $(firstword $(wildcard core/switch/$(SWITCH).S \
                                     core/switch/$(SWITCH).c))

CORE_OBJ := $(patsubst core/%.c,$(BUILD)/core/%.o,$(wildcard core/*.c)) \
            $(BUILD)/core/switch.o
BIND_OBJ := $(patsubst bindings/%.c,$(BUILD)/bindings/%.o,\
              $(filter-out bindings/tls/%,$(wildcard bindings/*/*.c))) \
            $(BUILD)/bindings/open/parts.o
LUA_PART := $(sort $(wildcard lua/green/*.lua lua/green/*/*.lua))
TLS_OBJ := $(patsubst bindings/%.c,$(BUILD)/bindings/%.o,\
             $(wildcard bindings/tls/*.c))
TLS = $(if $(SSL_RELEASE),$(BUILD)/green/openssl.so \
          $(BUILD)/libgreen_openssl.a)
# Tests in C++ are skipped where nothing compiles them.
CXX_TESTS := $(patsubst spec/c/%.cc,$(BUILD)/spec/%,$(wildcard spec/c/*_test.cc))
C_TESTS := $(patsubst spec/c/%.c,$(BUILD)/spec/%,$(wildcard spec/c/*_test.c)) \
           $(CXX_TESTS)
TEST_H := $(wildcard spec/c/*.h)
CXX17 = $(if $(filter default undefined,$(origin CXX)),$(call once,CXX17,\
          tools/cxx '$(CC)'),$(CXX))
CXX_FLAGS = -std=c++17 -D_GNU_SOURCE $(OPT) -g -Wall -Wextra -Wshadow \
            -Wpedantic -fPIC $(SAN) $(UV_CFLAGS) $(LUA_CFLAGS) $(CFLAGS) \
            -Icore -Ibindings

.DELETE_ON_ERROR:
.PHONY: all
all: $(BUILD)/green/core.so $(BUILD)/libgreen.a $(BUILD)/libgreen.so \
     $(BUILD)/libgreen_lua.a $(BUILD)/libgreen_lua.so $(BUILD)/lua $(TLS)

# What was made in another way is made again: with other flags, another
# compiler, the headers of another Lua or libuv.
CC_RELEASE = $(call once,CC_RELEASE,$(CC) --version | head -n 1)
UV_RELEASE = $(call once,UV_RELEASE,tools/headers uv '$(CC)' $(UV_CFLAGS))
$(BUILD)/flags: WAY = $(CC) $(CC_RELEASE) $(UV_RELEASE) $(ALL_CFLAGS) $(SWITCH)
$(BUILD)/flags-lua: WAY = $(LUA_RELEASE) $(LUA_CFLAGS)
$(BUILD)/flags-ssl: WAY = $(SSL_RELEASE) $(SSL_CFLAGS) $(SSL_LIBS)
$(BUILD)/flags-link: WAY = $(SAN) $(LDFLAGS) $(RPATH) $(SOVERSION) $(LUA_LIBS) \
                         $(UV_LIBS)
$(BUILD)/flags-cxx: WAY = $(CXX17) $(CXX_FLAGS)
$(BUILD)/lua: WAY = $(LUA)# bin/luagreen runs by it
WAYS = $(BUILD)/flags $(BUILD)/flags-lua $(BUILD)/flags-ssl $(BUILD)/flags-cxx \
       $(BUILD)/flags-link $(BUILD)/flags-part $(BUILD)/lua
# In single quotes for the shell, which flags may have, too.
PRINT_WAY = printf '%s\n' '$(subst ','\'',$(WAY))'
$(WAYS): FORCE
	@mkdir -p $(@D)
	@$(PRINT_WAY) | cmp -s - $@ || $(PRINT_WAY) >$@
.PHONY: FORCE
FORCE:

$(BUILD)/core/%.o: core/%.c $(wildcard core/*.h) $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/core/switch.o: $(SWITCH_SRC) core/switch.h $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Icore -c $< -o $@

# The Lua part, linked in. The names of the files are in it.
$(BUILD)/parts.c: tools/link $(LUA_PART) $(BUILD)/flags-part
	@mkdir -p $(@D)
	tools/link $(LUA_PART) >$@
$(BUILD)/flags-part: WAY = $(LUA_PART)
$(BUILD)/bindings/open/parts.o: $(BUILD)/parts.c bindings/open/part.h \
                                $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ibindings -c $< -o $@

$(BUILD)/bindings/%.o: bindings/%.c \
                       $(wildcard core/*.h bindings/*.h bindings/*/*.h) \
                       $(BUILD)/flags $(BUILD)/flags-lua
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUA_CFLAGS) -Icore -Ibindings -c $< -o $@

$(TLS_OBJ): $(BUILD)/flags-ssl
$(TLS_OBJ): private ALL_CFLAGS += $(SSL_CFLAGS)

$(BUILD)/libgreen_openssl.a: $(TLS_OBJ)
	@rm -f $@
	ar rcs $@ $^

# nodelete: what OpenSSL was told to call must stay.
$(BUILD)/green/openssl.so: $(TLS_OBJ) $(BUILD)/flags-link
	@mkdir -p $(@D)
	$(CC) -shared $(SAN) $(HARD_LINK) $(LDFLAGS) -Wl,-z,nodelete -o $@ \
	  $(TLS_OBJ) $(SSL_LIBS)

# Archives for hosts: the core; the core and the Lua binding. Each is one
# object, so a host has all of it: a module finds all that it calls in a host
# that exports its symbols (-Wl,-E), and never half of it in another copy.
$(BUILD)/whole/libgreen.o: $(CORE_OBJ)
$(BUILD)/whole/libgreen_lua.o: $(CORE_OBJ) $(BIND_OBJ)
$(BUILD)/whole/%.o:
	@mkdir -p $(@D)
	$(CC) -r -nostdlib -o $@ $^
$(BUILD)/libgreen.a $(BUILD)/libgreen_lua.a: $(BUILD)/%.a: $(BUILD)/whole/%.o
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/libgreen.so: $(CORE_OBJ) $(BUILD)/flags-link
	$(CC) -shared $(SAN) $(HARD_LINK) $(LDFLAGS) \
	  -Wl,-soname,libgreen.so.$(SOVERSION) -o $@ \
	  $(CORE_OBJ) $(UV_LIBS) -lpthread
	@ln -sf $(@F) $@.$(SOVERSION)

# The binding alone. It needs libgreen.so, so a process has one core, however
# its parts were linked; from lib/ and from lib/lua/5.4/green/, where a link
# names it.
$(BUILD)/libgreen_lua.so: $(BIND_OBJ) $(BUILD)/libgreen.so $(BUILD)/flags-link
	$(CC) -shared $(SAN) $(HARD_LINK) $(LDFLAGS) -Wl,-z,nodelete \
	  -Wl,-soname,libgreen_lua$(LUA_VERSION).so.$(SOVERSION) \
	  $(RPATH) -o $@ $(BIND_OBJ) $(BUILD)/libgreen.so $(UV_LIBS) -lpthread

# Core and binding in one file: what a rock holds and the tests load. nodelete:
# look-ups run on detached OS threads that may outlive lua_close().
$(BUILD)/green/core.so: $(CORE_OBJ) $(BIND_OBJ) $(BUILD)/flags-link
	@mkdir -p $(@D)
	$(CC) -shared $(SAN) $(HARD_LINK) $(LDFLAGS) -Wl,-z,nodelete -o $@ \
	  $(CORE_OBJ) $(BIND_OBJ) $(UV_LIBS) -lpthread

# C tests see the core's own functions; those named lua_* the binding's, too.
.PHONY: c-tests
c-tests: $(C_TESTS) $(BUILD)/spec/settings $(BUILD)/spec/eager_gc.so \
         $(BUILD)/spec/failing.so $(BUILD)/spec/stalls.so

# A program of a host's in C++, with the headers that are installed.
$(CXX_TESTS): $(BUILD)/spec/%: spec/c/%.cc $(TEST_H) $(BUILD)/libgreen_lua.a \
                               $(BUILD)/flags-cxx $(BUILD)/flags-link
	@mkdir -p $(@D)
	$(if $(CXX17),$(CXX17) $(CXX_FLAGS) $< -o $@ $(BUILD)/libgreen_lua.a \
	  $(LDFLAGS) $(LUA_LIBS) $(UV_LIBS) -lpthread,\
	  @echo 'echo "ok - skipped: $*: there is no C++ compiler"' >$@; \
	  chmod +x $@)

$(BUILD)/spec/lua_%_test: spec/c/lua_%_test.c $(TEST_H) \
                          $(BUILD)/libgreen_lua.a $(BUILD)/flags-link
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUA_CFLAGS) -Icore -Ibindings $< -o $@ \
	  $(BUILD)/libgreen_lua.a $(LDFLAGS) $(LUA_LIBS) $(UV_LIBS) -lpthread

# A host that runs spec files; see tools/settings. Modules of C that the specs
# load find Lua in it.
$(BUILD)/spec/settings: spec/c/settings.c $(BUILD)/libgreen_lua.a \
                        $(BUILD)/flags-link
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUA_CFLAGS) -Icore -Ibindings $< -o $@ \
	  -rdynamic $(BUILD)/libgreen_lua.a $(LDFLAGS) $(LUA_LIBS) $(UV_LIBS) \
	  -lpthread

# nodelete: the state frees memory by it when its module is gone already.
$(BUILD)/spec/eager_gc.so: spec/c/eager_gc.c $(BUILD)/flags \
                           $(BUILD)/flags-lua $(BUILD)/flags-link
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUA_CFLAGS) -shared $(LDFLAGS) -Wl,-z,nodelete \
	  $< -o $@

# To be preloaded, into programs without Lua, too, which must not miss it: calls
# of Lua are bound late. The flags that check calls of libc would change names.
$(BUILD)/spec/failing.so: spec/c/failing.c Makefile $(BUILD)/flags \
                          $(BUILD)/flags-lua $(BUILD)/flags-link
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -fplt -U_FORTIFY_SOURCE $(LUA_CFLAGS) -shared $(LDFLAGS) \
	  $< -o $@ -ldl

# To be preloaded, into programs that no sanitizer watches, too.
$(BUILD)/spec/stalls.so: spec/c/stalls.c $(BUILD)/flags $(BUILD)/flags-link
	@mkdir -p $(@D)
	$(CC) $(filter-out $(SAN),$(ALL_CFLAGS)) -shared $(LDFLAGS) $< -o $@

$(BUILD)/spec/%_test: spec/c/%_test.c $(TEST_H) $(BUILD)/libgreen.a \
                      $(BUILD)/flags-link
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Icore $< -o $@ \
	  $(BUILD)/libgreen.a $(LDFLAGS) $(UV_LIBS) -lpthread

.PHONY: env
env:
	@echo "export LUA='$(LUA)'"
	@echo "export LUA_PATH='$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;;'"
	@echo "export LUA_CPATH='$(abspath $(BUILD))/?.so;;'"

# What is to be tested is made by tools/test, which gives each part its flags.
.PHONY: deps test asan valgrind tsan lint format
deps:
	@LUA='$(LUA)' tools/deps
test:
	@SPEC='$(SPEC)' tools/test $(PART)
asan valgrind tsan:
	@SPEC='$(SPEC)' tools/test deps $@
lint:
	@tools/lint
format:
	@tools/format

# Written anew from docs/meta, and the map in DESIGN.md from the sources; a spec
# and make lint fail when they are out of date.
.PHONY: docs
docs:
	@$(LUA) tools/reference >docs/reference.new
	@mv docs/reference.new docs/reference.md
	@$(LUA) tools/map --write
	@$(LUA) tools/calls --write

.PHONY: examples
examples: $(BUILD)/examples/c_only $(patsubst %.c,$(BUILD)/%,\
            $(shell grep -L 'needs: ' examples/embed/*.c))

$(BUILD)/examples/embed/%: examples/embed/%.c $(BUILD)/libgreen_lua.a \
                           $(BUILD)/flags-link
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUA_CFLAGS) -Icore -Ibindings $< -o $@ \
	  $(BUILD)/libgreen_lua.a $(LDFLAGS) $(LUA_LIBS) $(UV_LIBS) -lpthread

$(BUILD)/examples/c_only: examples/c_only.c $(BUILD)/libgreen.a \
                          $(BUILD)/flags-link
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Icore $< -o $@ \
	  $(BUILD)/libgreen.a $(LDFLAGS) $(UV_LIBS) -lpthread

JOBS = $(if $(findstring -j,$(MAKEFLAGS)),,-j$$(nproc))
.PHONY: bench demo
bench: all
	@eval "$$($(MAKE) -s --no-print-directory env)" && $(LUA) bench/run $(SUBJECTS)
# Two at once build in turn. What make knows of Lua may be new by now.
demo:
	@LUA='$(LUA)' tools/deps run
	+@flock . $(MAKE) -s --no-print-directory $(JOBS) all
	@eval "$$($(MAKE) -s --no-print-directory env)" && examples/demo

# ---------------------------------------------------------------- install --

# Several Luas share a prefix: what depends on the version says so in its name,
# and the plain names stand for what was installed last.
INST_LUADIR ?= $(PREFIX)/share/lua/$(LUA_VERSION)
INST_LIBDIR ?= $(PREFIX)/lib/lua/$(LUA_VERSION)
INST_BINDIR ?= $(PREFIX)/bin
LUA_FILES := $(shell cd lua && find . -name '*.lua')
RUNNER = luagreen$(LUA_VERSION)

.PHONY: install-files install-module
install-files: $(TLS)
	@for f in $(LUA_FILES:./%=%); do \
	  install -D -m 644 lua/$$f "$(DESTDIR)$(INST_LUADIR)/$$f" || exit 1; \
	done
	install -d "$(DESTDIR)$(INST_LIBDIR)/green" "$(DESTDIR)$(INST_BINDIR)"
	$(if $(TLS),install -m 755 $(BUILD)/green/openssl.so \
	  "$(DESTDIR)$(INST_LIBDIR)/green")

# What a rock holds: each has a tree, or names, of its own.
.PHONY: rock install-lua
rock: $(BUILD)/green/core.so $(TLS)
install-lua: rock install-files
	install -m 755 $(BUILD)/green/core.so "$(DESTDIR)$(INST_LIBDIR)/green"
	tools/runner '$(LUA)' "$(DESTDIR)$(INST_BINDIR)/luagreen"

# What require loads is a link to libgreen_lua.so, which a host may link, and
# which needs libgreen.so, which a C program may link.
LIB = $(DESTDIR)$(PREFIX)/lib
LUA_SO = libgreen_lua$(LUA_VERSION).so
.PHONY: install uninstall
install: all install-files
	install -d "$(DESTDIR)$(PREFIX)/include" "$(LIB)/pkgconfig" \
	  "$(LIB)/cmake/luagreen"
	install -m 644 core/green.h core/green_record.h core/green_runtime.h \
	  bindings/green_lua.h "$(DESTDIR)$(PREFIX)/include"
	install -m 644 $(BUILD)/libgreen.a "$(LIB)"
	install -m 755 $(BUILD)/libgreen.so "$(LIB)/libgreen.so.$(VERSION)"
	ln -sf libgreen.so.$(VERSION) "$(LIB)/libgreen.so.$(SOVERSION)"
	ln -sf libgreen.so.$(SOVERSION) "$(LIB)/libgreen.so"
	install -m 644 $(BUILD)/libgreen_lua.a "$(LIB)/libgreen_lua$(LUA_VERSION).a"
	ln -sf libgreen_lua$(LUA_VERSION).a "$(LIB)/libgreen_lua.a"
	$(if $(TLS),install -m 644 $(BUILD)/libgreen_openssl.a \
	  "$(LIB)/libgreen_openssl$(LUA_VERSION).a")
	install -m 755 $(BUILD)/libgreen_lua.so "$(LIB)/$(LUA_SO).$(VERSION)"
	ln -sf $(LUA_SO).$(VERSION) "$(LIB)/$(LUA_SO).$(SOVERSION)"
	ln -sf $(LUA_SO).$(SOVERSION) "$(LIB)/$(LUA_SO)"
	ln -sf $(LUA_SO) "$(LIB)/libgreen_lua.so"
	ln -srf "$(LIB)/$(LUA_SO).$(SOVERSION)" \
	  "$(DESTDIR)$(INST_LIBDIR)/green/core.so"
	tools/packaging '$(DESTDIR)' '$(PREFIX)' $(VERSION) $(LUA_VERSION) \
	  '$(if $(LUA_IS_TOLD),,$(shell tools/lua package '$(LUA)'))' \
	  '$(LUA_CFLAGS)' '$(LUA_LIBS)'
	tools/runner '$(LUA)' "$(DESTDIR)$(INST_BINDIR)/$(RUNNER)"
	ln -sf $(RUNNER) "$(DESTDIR)$(INST_BINDIR)/luagreen"

# Removes what make install with the same variables puts there.
uninstall:
	@tools/uninstall '$(DESTDIR)' '$(MAKE)' $(MAKEOVERRIDES)

# Debian packages, into $(BUILD)/deb: lua-green and libluagreen-dev.
.PHONY: deb
deb:
	@LUA='$(LUA)' tools/deb '$(VERSION)' '$(BUILD)/deb'

# SOURCE_URL= where the tarball will be published; the place where it is, else.
.PHONY: dist
dist:
	@SOURCE_URL='$(SOURCE_URL)' tools/dist '$(VERSION)' '$(BUILD)/dist'

.PHONY: clean
clean:
	rm -rf build

.PHONY: help
help:
	@echo 'make            the module, the C libraries (into $(BUILD)/);'
	@echo '                LUA=lua5.5 for another Lua than $(LUA)'
	@echo 'make test       everything; PART="specs asan" for parts of it,'
	@echo '                SPEC=spec/sync/queue_spec.lua for one file'
	@echo '                parts: $(shell tools/test --parts 2>/dev/null)'
	@echo '                and only if it is named: stalls'
	@echo 'make demo       a Lua service, its clients and its backdoor'
	@echo 'make examples   the C ones, into $(BUILD)/examples/'
	@echo 'make bench      luagreen beside its peers; SUBJECTS="quick echo"'
	@echo 'make asan valgrind tsan   that part of the tests'
	@echo 'make lint       luacheck, clang-format, warnings as errors'
	@echo 'make docs       docs/reference.md, from docs/meta'
	@echo 'make format     rewrites C files as .clang-format wants them'
	@echo 'make install    PREFIX=/usr/local DESTDIR=; make uninstall'
	@echo 'make deb        Debian packages, into $(BUILD)/deb'
	@echo 'make dist       a source tarball, its rockspec and its .src.rock'
	@echo 'make env        eval "$$(make -s env)": a stock $(LUA) finds green'
	@echo 'make deps       installs by apt-get what is missing'
	@echo 'make clean      removes build/'
