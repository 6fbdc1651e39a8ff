/* green_runtime.h - the core of green threads, for a language runtime.
 *
 * A runtime has its own kind of thread, such as the Lua binding's, which parks
 * without a C stack. It needs what green.h hides: the record of a thread and
 * the lists in which threads wait (green_record.h), the two halves of a wait,
 * and cancellation. Ordinary C programs need only green.h, whose conventions
 * hold here too.
 *
 * Every function is [hub], unless its comment begins with another word. Layouts
 * are those of one version: a runtime is compiled again for another.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_RUNTIME_H
#define GREEN_RUNTIME_H

#include "green_record.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* ------------------------------------------------------ life of a thread -- */

/* [thread] The current thread has parked without its stack (GREEN_PARKED: it
 * registered a wait before), or has ended (GREEN_ENDED: its state says how).
 * Returns the next thread for class.run, already current, or NULL. */
struct green_thread *green_run_next(struct green_hub *hub,
                                    struct green_thread *thread, int how);

/* Are less than 16 KB of the current stack in use? Of the OS stack it knows
 * only how far it is from where the hub was opened. */
int green_is_shallow(struct green_hub *hub);

/* Opens a family of threads of the runtime's; 0, or UV_EPERM on a hub that is
 * closed or elsewhere. While one is open, green_close() refuses. */
int green_family_open(struct green_hub *hub, struct green_family *family,
                      const struct green_class *klass);
/* [hub] [thread] Kills the threads of the family, except the calling one, and
 * waits for their end; all others go on meanwhile. It is over after the grace
 * twice at the latest; those that live on then are reported and frozen: they
 * never run again, their joiners take them for killed, and their stacks stay
 * mapped. Returns how many these are; UV_EPERM: see green_may_drain(). The
 * second freezes them at once. */
int green_family_drain(struct green_family *family);
int green_family_abandon(struct green_family *family);
/* [hub] [thread] As green_drain(), in any green thread: a C library may close
 * the only Lua state from one, above main's frames. Main never runs again
 * then. */
int green_drain_above_main(struct green_hub *hub);
/* 0; or UV_EPERM on another OS thread than the hub's, in a forked child, or in
 * a callback on a loop of the hub's own, where nobody can wait for a drain. */
int green_may_drain(struct green_hub *hub);
/* The family is gone; the memory of its records is the hub's again. */
void green_family_close(struct green_family *family);
/* The first of the hub's families, or NULL. */
struct green_family *green_families(struct green_hub *hub);
/* As green_each(), for the threads of a family; NULL: the hub's own, main and
 * those of C. */
void green_each_of(struct green_hub *hub, struct green_family *family,
                   void (*f)(struct green_thread *thread, void *arg),
                   void *arg);
/* The list in which its threads, or main, wait until they are the only ones:
 * all of the list are woken when at most one thread of the family is left. */
struct green_list *green_family_others(struct green_family *family);

/* Makes a thread of the family (GREEN_RUNTIME); it is not in the ready queue
 * yet. NULL: no memory, or not here (green_elsewhere()). */
struct green_thread *green_thread_new(struct green_family *family);
/* The first sets memory for one more thread aside, or returns UV_ENOMEM. The
 * second frees it for the next green_thread_new(), which then cannot fail. */
int green_reserve(struct green_family *family);
void green_unreserve(struct green_family *family);
/* Starts it: now (0), at a time, or never (GREEN_FOREVER). UV_ENOMEM: no room
 * in the timer heap. */
int green_start(struct green_hub *hub, struct green_thread *thread,
                uint64_t at);
/* Ends a thread that has not started, as killed. Returns 1, or 0 if it has. */
int green_unstart(struct green_hub *hub, struct green_thread *thread);
/* Ends a new thread in the state that the caller has set. */
void green_end_unstarted(struct green_hub *hub, struct green_thread *thread);
/* The holder of a GREEN_HELD thread gives it up. Frees the record if the
 * thread's end is over; while `ended` runs, the end does that. */
void green_forget(struct green_hub *hub, struct green_thread *thread);
/* The thread parked without a stack and is being ended from outside. The first
 * ends its wait and gives back what a wake-up handed over; the second does
 * that and ends the thread. */
void green_wait_cancel(struct green_hub *hub, struct green_thread *thread);
void green_end_parked(struct green_hub *hub, struct green_thread *thread,
                      enum green_state state);

/* One more pointer of the runtime's, for the threads that need it. The first
 * call makes it, as NULL; its place never changes and is freed with the record.
 * Returns NULL if there is no memory. */
void **green_extra(struct green_hub *hub, struct green_thread *thread);
/* Its value; NULL if it was never made. */
void *green_extra_value(const struct green_thread *thread);

/* ---------------------------------------------------- waiting and waking -- */

/* Registers a wait of the current thread, in `list` (may be NULL) and with a
 * deadline. Changes nothing and returns UV_ENOMEM if there is no memory. After
 * 0, the caller goes on to green_keep(), or to green_run_next(GREEN_PARKED) in
 * class.run. */
int green_wait_begin(struct green_hub *hub, const struct green_wait_kind *kind,
                     void *on, struct green_list *list, uint64_t deadline);
/* As above, but the thread is ready at once: it goes to the end of the queue.
 */
int green_lap_begin(struct green_hub *hub, const struct green_wait_kind *kind);
/* [thread] green_keep_reserve(), green_lap_begin() and green_keep() in one, for
 * the hottest path: sleep(0). A reason, or a negative code. */
int green_lap(struct green_hub *hub, const struct green_wait_kind *kind,
              void *note);
/* [thread] The calls that need not wait are used up, and a lap comes: the turns
 * to come have fewer of them if the thread took long for these. */
void green_budget_spent(struct green_hub *hub);
/* [hub] green_options.budget was changed: the turns to come have all of it. */
void green_budget_set(struct green_hub *hub);
/* Before green_keep() (and before the wait is registered): 0 if the thread may
 * keep its stack, UV_ENOMEM if no further stack can be had. */
int green_keep_reserve(struct green_hub *hub);
/* [thread] Switches away; the C frames stay. Returns the reason of the wake-up.
 * */
enum green_reason green_keep(struct green_hub *hub);
/* [thread] green_keep_reserve(), green_wait_begin() and green_keep() in one;
 * never switches if the deadline has passed. Returns an enum green_reason, or a
 * negative code. Does not look for strikes first. */
int green_wait(struct green_hub *hub, const struct green_wait_kind *kind,
               void *on, struct green_list *list, uint64_t deadline);

/* [thread] The current thread has computed for too long: it goes to the end of
 * the queue, which counts, and the hub polls before the next one runs. Its
 * stack stays. Call it after green_keep_reserve(). */
void green_preempt(struct green_hub *hub, const struct green_wait_kind *kind,
                   void *note);
/* Where to note for how many ns a thread has computed in one go, before it was
 * made to yield. NULL: no memory. */
uint64_t *green_stretch(struct green_hub *hub, struct green_thread *thread);
/* Kills a thread and ends it by force, past all shields and handlers, at its
 * next call that may block, or when the runtime finds it. Returns 1, or 0 if it
 * has ended. */
int green_end(struct green_hub *hub, struct green_thread *thread);
/* Switches between threads so far: unchanged means that the same thread, or
 * the hub, still runs. Async-signal-safe. */
uint64_t green_switches(const struct green_hub *hub);

/* For a watchdog in another OS thread. The hub sets `rests` while it polls and
 * while the host has its turn; and calls wake() when it goes on and `asleep` is
 * set. Both are read and written by atomic operations, in one order
 * (__ATOMIC_SEQ_CST). NULL: nobody watches. */
struct green_rest {
  int rests, asleep;
  void (*wake)(struct green_rest *rest);
};
void green_tell_rest(struct green_hub *hub, struct green_rest *rest);
/* [any], while the hub is open: the number of switches so far and the
 * id of the running thread (0: none), at about this moment. */
uint64_t green_afar(const struct green_hub *hub, uint64_t *id);

/* Each stack has a pointer for the runtime. Contexts of the runtime run inside
 * one another on a stack; the pointer names the innermost, if it is not the
 * thread's own. It stays with the stack when that switches away.
 * Async-signal-safe. */
void **green_nested(struct green_hub *hub);
/* [hub] The same of the stack that a thread has; NULL: none, or no stack. */
void *green_nested_of(const struct green_thread *thread);

/* [thread] Abandons the frames on the current thread's stack, as if an error
 * had passed them all. class.run is called for the thread on another stack and
 * must first call green_frames_left(), which frees the abandoned stack. Call it
 * after green_keep_reserve(), for threads of the runtime's only. Does not
 * return. */
void green_leave_frames(struct green_hub *hub);
void green_frames_left(struct green_hub *hub);

/* A pointer of the runtime's that stays with the stack the current thread is
 * about to keep; NULL for a thread without a stack. */
void green_keep_note(struct green_hub *hub, void *note);
void *green_kept_note(const struct green_thread *thread);

/* Initialize a choice without cases in lists, and a case that is in no list
 * yet. */
void green_choice_init(struct green_choice *choice,
                       void (*ready)(struct green_choice *choice,
                                     struct green_case *c));
void green_case_init(struct green_choice *choice, struct green_case *c);
/* The current thread calls the first before it waits in the choice; the `leave`
 * of its wait's kind calls the second, which returns the case that woke the
 * thread, unlinked from its list, or NULL. */
void green_choice_enter(struct green_hub *hub, struct green_choice *choice);
struct green_case *green_choice_leave(struct green_choice *choice);
/* How many threads wait in the list. */
uint32_t green_list_length(const struct green_list *list);

/* The list in which threads wait for a signal. */
struct green_list *green_signal_list(struct green_signal *signal);

/* Wakes a blocked thread; leaves any other alone and returns 0. Any stack;
 * never switches. */
int green_wake(struct green_hub *hub, struct green_thread *thread,
               enum green_reason reason);
/* The same, through one of the thread's nodes. */
int green_wake_node(struct green_hub *hub, struct green_node *node,
                    enum green_reason reason);
/* The first wakes the first thread of a list and returns it, or NULL; the
 * second wakes all and returns their number. */
struct green_thread *green_wake_first(struct green_hub *hub,
                                      struct green_list *list,
                                      enum green_reason reason);
int green_wake_all(struct green_hub *hub, struct green_list *list,
                   enum green_reason reason);

/* --------------------------------------------------------------- timers -- */

/* Timers without a thread. In the heap exactly while slot != 0. `fire` runs on
 * the hub after removal and may wake, cancel and start, not block. */
struct green_timer {
  uint32_t slot;
  void (*fire)(struct green_hub *hub, struct green_timer *timer);
};
int green_timer_start(struct green_hub *hub, struct green_timer *timer,
                      uint64_t deadline);
void green_timer_stop(struct green_hub *hub, struct green_timer *timer);
uint64_t green_timer_deadline(struct green_hub *hub, uint32_t slot);

/* ---------------------------------------------------------- cancellation -- */

enum green_scope_kind { GREEN_SCOPE_TIMEOUT, GREEN_SCOPE_GROUP, GREEN_SHIELD };

/* A part of a thread's work that can be cancelled, or is shielded. The opener
 * owns the memory and keeps it while the scope is open. */
struct green_scope {
  struct green_scope *outer, *inner;
  struct green_thread *thread; /* NULL: not open */
  struct green_timer timer;
  uint64_t deadline;
  /* Optional. Returns 0 while the scope rests; a resting scope neither strikes
   * nor hides. */
  int (*awake)(struct green_hub *hub, struct green_scope *scope);
  uint8_t kind, cancelled;
  uint16_t deliveries;
  uint32_t user; /* the runtime's, not touched; 0: the scope is C's */
};
/* Opens a scope of the current thread, innermost. The deadline cancels a
 * timeout and ends the protection of a shield. */
int green_scope_open(struct green_hub *hub, struct green_scope *scope,
                     enum green_scope_kind kind, uint64_t deadline);
void green_scope_close(struct green_hub *hub, struct green_scope *scope);
void green_scope_cancel(struct green_hub *hub, struct green_scope *scope);
/* Gives an open scope a new deadline; it is no longer cancelled. */
int green_scope_restart(struct green_hub *hub, struct green_scope *scope,
                        uint64_t deadline);
/* Moves an open scope, but no shield, to the current thread, right outside of
 * `inner`; NULL: innermost. If it is cancelled it strikes the next wait. */
void green_scope_move(struct green_hub *hub, struct green_scope *scope,
                      struct green_scope *inner);
/* Is it cancelled? If its deadline has passed, this cancels it now and not only
 * when the hub next polls. */
int green_scope_cancelled(struct green_hub *hub, struct green_scope *scope);

/* The kinds of strike. */
enum green_strike {
  GREEN_STRIKE_NONE,
  GREEN_STRIKE_KILL,
  GREEN_STRIKE_SCOPE,
  GREEN_STRIKE_THROW
};
/* The strike that is visible now: outermost first, then a throw. For the
 * running thread, scopes whose deadline has passed are cancelled first. */
enum green_strike green_strikes(struct green_hub *hub,
                                struct green_thread *thread,
                                struct green_scope **scope);
/* Counts a delivery to the current thread and tells how to deliver it. */
enum { GREEN_AT_ONCE, GREEN_LAP_FIRST, GREEN_FORCE };
int green_deliver(struct green_hub *hub, enum green_strike strike,
                  struct green_scope *scope);
/* Is it time to force a kill? It is when the kill was forced before or
 * swallowed too often, or when the grace is over; this sets GREEN_FORCED.
 * `anew`: only the grace counts, from struck_ms on; for handlers that run after
 * a forced end. */
int green_overdue(struct green_hub *hub, struct green_thread *thread,
                  int anew);
/* The code of a throw under way, or 0. */
int green_thrown(const struct green_thread *thread);
/* Returns the thrown code and clears it. */
int green_take_throw(struct green_hub *hub, struct green_thread *thread);
/* Milliseconds since the hub opened: the scale of struck_ms. */
uint32_t green_ms(struct green_hub *hub);
/* The nearest deadline among the visible timeouts, passed or not. */
uint64_t green_scope_deadline(struct green_hub *hub,
                              struct green_thread *thread);

/* ---------------------------------------------------------- descriptors -- */

/* The first half of green_fd_wait(). A kind of the runtime's own names
 * green_fd_leave() as its `leave`. */
int green_fd_wait_begin(struct green_hub *hub, struct green_fd *f, int event,
                        uint64_t deadline, const struct green_wait_kind *kind);
void green_fd_leave(struct green_hub *hub, struct green_thread *thread);
/* Links a node, for a current thread that waits for many things, as the only
 * one that waits for the event. green_fd_unlink() ends that. */
int green_fd_link(struct green_hub *hub, struct green_fd *f, int event,
                  struct green_node *node);
void green_fd_unlink(struct green_hub *hub, struct green_fd *f,
                     struct green_node *node);
/* Any number of descriptors to wait for at once, until one at least is ready
 * for its events (GREEN_READABLE | GREEN_WRITABLE). They may belong to anybody,
 * others may wait for them too, and one may be listed twice. The caller sets
 * fd, events and n, `own` if it has the descriptor open, and the rest to 0; it
 * keeps the memory until the end. */
struct green_many {
  int fd;
  uint8_t events;
  uint8_t closed; /* it was, before the wait or in the midst of it */
  struct green_fd *own, *f;
  struct green_node node;
};
struct green_set {
  struct green_many *fds;
  size_t n, held, linked;
};
/* Begins a wait of the current thread, whose kind's leave() is, or calls, the
 * one below, with t->on the set. After a code nothing has begun; UV_EBADF: one
 * is closed. After the wait the caller ends the set and asks the system what is
 * ready. */
int green_set_begin(struct green_hub *hub, struct green_set *set,
                    uint64_t deadline, const struct green_wait_kind *kind);
void green_set_leave(struct green_hub *hub, struct green_thread *thread);
void green_set_end(struct green_hub *hub, struct green_set *set);
/* Two halves of green_fd_write_begin(). The first returns 0 if the current
 * thread has the write side now, UV_EAGAIN if another has it. Then the second
 * waits; a kind of the runtime's own names green_fd_turn_undo() as its `undo`.
 */
int green_fd_write_try(struct green_hub *hub, struct green_fd *f);
int green_fd_turn_begin(struct green_hub *hub, struct green_fd *f,
                        uint64_t deadline, const struct green_wait_kind *kind);
void green_fd_turn_undo(struct green_hub *hub, struct green_thread *thread);
/* [any] The next connection of a listener that does not block, as a new
 * descriptor, or a negative code. Passes over those that broke in the queue.
 * The second: is that errno one of the listener itself, which lasts? */
int green_accept_next(int fd);
int green_accept_lasts(int error);

/* ------------------------------------------------------------- messages -- */

/* [any] A message with room for packed values and for the ports among them,
 * which set_port() holds once more. `packed` is the runtime's mark, not 0. */
struct green_message *green_message_make(size_t size, uint32_t ports,
                                         uint32_t packed);
uint32_t green_message_packed(const struct green_message *message);
void green_message_set_port(struct green_message *message, uint32_t i,
                            struct green_port *port);
struct green_port *green_message_port(const struct green_message *message,
                                      uint32_t i);

/* [any] A purse counts the bytes of the messages of one state of a runtime,
 * from their packing until they are freed, and limits them; NULL: no memory. It
 * lives until the state releases it (NULL: does nothing) and the last of them
 * is freed. */
struct green_purse;
struct green_purse *green_purse_new(size_t most);
void green_purse_limit(struct green_purse *purse, size_t most);
size_t green_purse_used(struct green_purse *purse);
int green_purse_has(struct green_purse *purse, size_t more); /* is it left? */
void green_purse_release(struct green_purse *purse);
/* [hub] It pays for the message from now on: 0, or UV_ENOBUFS. */
int green_message_charge(struct green_message *message,
                         struct green_purse *purse);

/* [hub] From now on only holders use the port, so while there is one alone, who
 * waits there is no hope against a deadlock. Call it right after opening. */
void green_port_of_holders(struct green_port *port);
/* The halves of green_port_receive() and green_port_send_wait(). The first two
 * try: UV_EAGAIN if the thread has to wait, and only if nobody is before it.
 * [hub] */
int green_port_take(struct green_hub *hub, struct green_port *port,
                    struct green_message **message);
int green_port_put(struct green_hub *hub, struct green_port *port,
                   struct green_message *message);
/* The side of the port at which threads of this hub wait: to receive (UV_EPERM:
 * the port lives on another hub), or to send (UV_ENOMEM). A holder of the port
 * may keep the pointer as long as the hub lives. [hub] */
struct green_side;
int green_port_receivers(struct green_hub *hub, struct green_port *port,
                         struct green_side **side);
int green_port_senders(struct green_hub *hub, struct green_port *port,
                       struct green_side **side);
struct green_port *green_side_port(const struct green_side *side);
uint32_t green_side_waits(const struct green_side *side); /* threads there */
/* A wait begins: the caller adds its node to the list at once. It ends, for any
 * reason (green_wait_kind.leave). */
struct green_list *green_side_enter(struct green_hub *hub,
                                    struct green_side *side);
void green_side_leave(struct green_hub *hub, struct green_side *side);
/* The thread was woken with GREEN_WOKEN: takes what was promised, or sends into
 * the place that was granted: 0 or UV_EPIPE. Or it ends without having run
 * (green_wait_kind.undo): gives that back. GREEN_CLOSED: nothing to give. */
struct green_message *green_port_take_promised(struct green_hub *hub,
                                               struct green_port *port);
int green_port_put_granted(struct green_hub *hub, struct green_side *side,
                           struct green_message *message);
void green_port_refuse_promised(struct green_hub *hub,
                                struct green_port *port);
void green_port_refuse_granted(struct green_hub *hub, struct green_side *side);
/* Puts back first what was taken last, on the port's hub. */
void green_port_put_back(struct green_hub *hub, struct green_port *port,
                         struct green_message *message);

/* ------------------------------------------------- the runtime, the hub -- */

/* Functions that the hub calls on events; each may be NULL. They are of the
 * runtime, not of one of its states: a thread's family tells that. */
struct green_runtime {
  void (*deadlock)(struct green_hub *hub); /* before main is woken for it */
  void (*abandoned)(struct green_hub *hub, struct green_thread *thread);
  /* A thread of C code has ended; its joiners are woken after that. */
  void (*c_ended)(struct green_hub *hub, struct green_thread *thread);
  void (*killed)(struct green_hub *hub, struct green_thread *thread);
  void (*alert)(struct green_hub *hub); /* after green_alert() */
};
void green_set_runtime(struct green_hub *hub,
                       const struct green_runtime *runtime);

/* Call it after making a uv_async_t or a uv_signal_t on the hub's loop.
 * Registers its descriptor now, since libuv would abort the process if the
 * kernel refused it later. Returns 0 or the kernel's error. */
int green_loop_secure(struct green_hub *hub);

/* Counts more, or fewer, things outside that can wake a thread. */
void green_external(struct green_hub *hub, int delta);

/* The runtime has opened a handle on the hub's loop. The hub then waits for its
 * close callback, which must end with green_handle_closed(). */
void green_handle_opened(struct green_hub *hub);
void green_handle_closed(struct green_hub *hub);

/* A call that is due soon, on the hub's or the host's stack: after the batch
 * that runs, before the hub sleeps. The owner keeps the memory until then, and
 * sets `run`; it may wake, spawn and kill, but not block. Neither fails. */
struct green_chore {
  struct green_chore *next, **link; /* link: NULL while it is not due */
  void (*run)(struct green_hub *hub, struct green_chore *chore);
};
void green_soon(struct green_hub *hub, struct green_chore *chore);
void green_not_soon(struct green_hub *hub, struct green_chore *chore);

/* ------------------------------------------------------------- watching -- */

/* What a runtime tells a trace. Both write at most `size` bytes, without an
 * end, and return their number. They must not raise or run the program. Either
 * may be NULL. */
struct green_teller {
  /* The name of a thread that has none in the core; it may just have ended. */
  size_t (*name)(struct green_hub *hub, struct green_thread *thread,
                 char *text, size_t size);
  /* The stack of a thread that has just left; NULL: no stacks. */
  size_t (*stack)(struct green_hub *hub, struct green_thread *thread,
                  char *text, size_t size);
  uint64_t (*memory)(struct green_hub *hub); /* bytes */
};
/* As green_trace_start(). If there are ids, at most GREEN_MOST_TRACED, the
 * trace notes of threads only what concerns one of these. */
enum { GREEN_MOST_TRACED = 64 };
int green_trace_begin(struct green_hub *hub, uint32_t events,
                      const struct green_teller *teller, const uint64_t *ids,
                      int n);
/* green_trace_mark() in the row of the thread of that number. */
void green_trace_mark_thread(struct green_hub *hub, uint64_t id,
                             const char *name, const char *args);
/* The text between the quotes of a JSON string: valid whatever the bytes.
 * Returns its size, also without `to`. */
size_t green_json(char *to, const char *text, size_t length);

/* One more, or one fewer, for whom accounting is on whatever
 * green_accounting() says. */
void green_measure(struct green_hub *hub, int on);
/* Calls `waited` for each thread that goes on after a wait, before it does, as
 * long as its stack is as it was, with the ns that it waited; and `ran` (may be
 * NULL) for each thread that leaves or has ended, with the ns that it ran. They
 * must not raise or switch. NULL: no more. */
void green_watch_waits(struct green_hub *hub,
                       void (*waited)(struct green_hub *hub,
                                      struct green_thread *thread,
                                      uint64_t ns),
                       void (*ran)(struct green_hub *hub,
                                   struct green_thread *thread, uint64_t ns));
/* Two halves of green_offload(). The first queues the job and begins the wait
 * of the current thread, with t->on the job; a kind of the runtime's own names
 * the leave and the undo below. After a code nothing has begun, and arg is the
 * caller's. A thread that was woken takes its job: arg is its own again. */
int green_job_begin(struct green_hub *hub,
                    int (*run)(struct green_job *job, void *arg),
                    void (*dispose)(void *arg), void *arg, uint64_t deadline,
                    const struct green_wait_kind *kind);
void green_job_leave(struct green_hub *hub, struct green_thread *thread);
void green_job_undo(struct green_hub *hub, struct green_thread *thread);
void *green_job_take(struct green_hub *hub, struct green_job *job,
                     int *result);

/* [hub] Makes green_alert() possible. */
int green_alert_open(struct green_hub *hub);
/* [any], also in a signal handler: lets the hub call runtime->alert soon. */
void green_alert(struct green_hub *hub);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
