// exceptions_test.cc - C++ exceptions in green threads: each has its own, also
// when it blocks in a handler or during unwinding.
//
// SPDX-License-Identifier: MIT
#include <csignal>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "green.h"
#include "test.h"

namespace {

enum { MANY = 50 };

green_hub *hub;
int good;

// Blocks in the handler, and throws on what it has caught.
int rethrows(green_hub *h, void *arg) {
  std::string name = static_cast<const char *>(arg);
  try {
    try {
      throw std::runtime_error(name);
    } catch (std::exception &e) {
      for (int i = 0; i < 5; i++) green_yield(h);
      if (e.what() != name) return 0;
      throw;
    }
  } catch (std::exception &e) {
    good += e.what() == name;
  }
  return std::current_exception() == nullptr;
}

void test_rethrow() {
  green_thread *a = nullptr, *b = nullptr;
  int first = 0, second = 0;
  char one[] = "one", two[] = "two";
  good = 0;
  green_spawn(hub, &a, rethrows, one);
  green_spawn(hub, &b, rethrows, two);
  green_join(hub, a, GREEN_FOREVER, &first);
  green_join(hub, b, GREEN_FOREVER, &second);
  CHECK(good == 2 && first && second,
        "threads that block in a handler throw on their own exceptions");
}

// Each catches, blocks, catches another one inside, blocks, and looks.
int nests(green_hub *h, void *arg) {
  int n = *static_cast<int *>(arg), seen = 0;
  try {
    throw n;
  } catch (int outer) {
    green_yield(h);
    try {
      throw std::to_string(n);
    } catch (std::string &inner) {
      for (int i = 0; i < n % 4; i++) green_yield(h);
      seen = inner == std::to_string(n);
      try {
        throw;
      } catch (std::string &again) {
        seen += again == inner;
      }
    }
    green_yield(h);
    try {
      throw;
    } catch (int again) {
      seen += again == n && outer == n;
    }
  }
  good += seen == 3;
  return 0;
}

void test_nested() {
  int numbers[MANY];
  good = 0;
  for (int i = 0; i < MANY; i++) {
    numbers[i] = i;
    green_spawn(hub, nullptr, nests, &numbers[i]);
  }
  green_wait_others(hub, GREEN_FOREVER);
  CHECK(good == MANY, "so do 50, in handlers inside of handlers");
}

// The last one sees what this main has caught meanwhile.
void test_main() {
  green_thread *t = nullptr;
  char one[] = "one";
  int result = 0;
  good = 0;
  green_spawn(hub, &t, rethrows, one);
  try {
    throw std::logic_error("main's");
  } catch (std::exception &) {
    green_join(hub, t, GREEN_FOREVER, &result);
    try {
      throw;
    } catch (std::logic_error &e) {
      good += std::strcmp(e.what(), "main's") == 0;
    }
  }
  CHECK(good == 2 && result, "main has its own, too");
}

// A pointer to an exception outlives its handler, and is another thread's to
// throw.
std::exception_ptr kept;

int keeps(green_hub *h, void *) {
  try {
    throw std::runtime_error("kept");
  } catch (...) {
    green_yield(h);
    kept = std::current_exception();
  }
  return 0;
}

void test_pointer() {
  green_thread *t = nullptr;
  bool same = false;
  green_spawn(hub, &t, keeps, nullptr);
  green_yield(hub);
  bool none = std::current_exception() == nullptr;
  green_join(hub, t, GREEN_FOREVER, nullptr);
  try {
    std::rethrow_exception(kept);
  } catch (std::runtime_error &e) {
    same = std::strcmp(e.what(), "kept") == 0;
  }
  kept = nullptr;
  CHECK(none && same, "a pointer to an exception may change threads");
}

// A destructor that blocks while the stack is unwound.
struct blocks {
  green_hub *h;
  int *count;
  ~blocks() {
    int before = std::uncaught_exceptions();
    green_yield(h);
    green_yield(h);
    *count += before == 1 && std::uncaught_exceptions() == 1;
  }
};

int unwinds(green_hub *h, void *arg) {
  try {
    blocks b = {h, static_cast<int *>(arg)};
    throw 1;
  } catch (int) {
    return std::uncaught_exceptions() == 0;
  }
}

int counts_none(green_hub *h, void *arg) {
  for (int i = 0; i < 3; i++) {
    *static_cast<int *>(arg) += std::uncaught_exceptions();
    green_yield(h);
  }
  return 0;
}

void test_unwinding() {
  green_thread *a = nullptr, *b = nullptr;
  int first = 0, second = 0, count = 0, others = 0;
  green_spawn(hub, &a, unwinds, &count);
  green_spawn(hub, &b, unwinds, &count);
  green_spawn(hub, nullptr, counts_none, &others);
  green_join(hub, a, GREEN_FOREVER, &first);
  green_join(hub, b, GREEN_FOREVER, &second);
  green_wait_others(hub, GREEN_FOREVER);
  CHECK(first && second && count == 2 && others == 0,
        "a destructor may block during unwinding; others do not notice");
}

// A kill is a code, not an exception: the thread unwinds as it likes.
struct cancelled {};

struct counted {
  int *count;
  explicit counted(int *c) : count(c) {
    ++*count;
  }
  counted(const counted &) = delete;
  ~counted() {
    --*count;
  }
};

void sleep_or_throw(green_hub *h) {
  if (green_sleep(h, GREEN_FOREVER) == UV_ECANCELED) throw cancelled();
}

int holds(green_hub *h, void *arg) {
  int *count = static_cast<int *>(arg);
  counted one(count);
  try {
    auto two = std::make_unique<counted>(count);
    std::vector<std::string> memory(100, std::string(100, 'x'));
    sleep_or_throw(h);
  } catch (cancelled &) {
    return green_yield(h) == UV_ECANCELED ? *count : -1;
  }
  return -2;
}

void test_killed() {
  green_thread *t = nullptr;
  int count = 0, result = 0;
  green_spawn(hub, &t, holds, &count);
  green_yield(hub);
  bool held = count == 2;
  green_kill(hub, t);
  green_join(hub, t, GREEN_FOREVER, &result);
  CHECK(held && result == 1 && count == 0,
        "a thread that is killed unwinds by its own exception, to its end");
}

// A stack is used again by the next thread, which has caught nothing.
int looks(green_hub *, void *) {
  return std::current_exception() == nullptr &&
         std::uncaught_exceptions() == 0;
}

void test_reuse() {
  green_thread *t = nullptr;
  int clean = 0;
  for (int i = 0; i < 20; i++) {
    int result = 0;
    char name[] = "name";
    green_spawn(hub, nullptr, rethrows, name);
    green_spawn(hub, &t, looks, nullptr);
    green_join(hub, t, GREEN_FOREVER, &result);
    clean += result;
    green_wait_others(hub, GREEN_FOREVER);
  }
  CHECK(clean == 20, "a new thread has caught nothing");
}

// A host that steps a hub in a handler of its own.
void test_host() {
  green_options o = {};
  green_hub *h = nullptr;
  char one[] = "one";
  o.drive = GREEN_DRIVE_STEP;
  green_open(&h, &o);
  good = 0;
  green_spawn(h, nullptr, rethrows, one);
  green_step(h, 1);
  try {
    throw 42;
  } catch (int) {
    green_step(h, 1);
    green_step(h, 2);
    try {
      throw;
    } catch (int n) {
      good += n == 42;
    }
  }
  while (green_step(h, 0)) continue;
  CHECK(good == 2 && green_close(h) == 0,
        "a host's handler and a thread's do not mix");
}

int throws(green_hub *, void *) {
  throw std::runtime_error("past the end");
}

void test_past_the_end() {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (!std::freopen("/dev/null", "w", stderr)) _exit(1);
    green_hub *h = nullptr;
    std::set_terminate([] { kill(getpid(), SIGUSR1); });
    green_open(&h, nullptr);
    green_spawn(h, nullptr, throws, nullptr);
    green_yield(h);
    _exit(0);
  }
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1,
        "an exception that no one in the thread catches is std::terminate()");
}

} // namespace

int main() {
  test_past_the_end();
  if (green_open(&hub, nullptr) != 0) return 1;
  test_rethrow();
  test_nested();
  test_main();
  test_pointer();
  test_unwinding();
  test_killed();
  test_reuse();
  CHECK(green_close(hub) == 0, "the hub can be closed");
  test_host();
  return test_end();
}
