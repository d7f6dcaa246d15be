/* loop.h: one thread that waits for many descriptors.
 *
 * How it works
 *   A loop belongs to the thread that runs it. Watches are made, changed and
 *   freed on that thread only, also from inside of their own callback.
 *   loop_wake() and loop_stop() may be called from any thread. A watch on a
 *   regular file, or on a device like /dev/null, is always ready. The flags of
 *   a watched descriptor are left as they are. Behind it stands libuv.
 */
#ifndef SM_PLATFORM_LOOP_H
#define SM_PLATFORM_LOOP_H

#include "base/error.h"

#include <stdbool.h>

struct loop;
struct loop_watch;
struct loop_timer;

enum {
    LOOP_READ = 1,  /* readable, or the peer closed */
    LOOP_WRITE = 2, /* writable */
    LOOP_HUP = 4    /* the peer sends no more (data may still be there) or an
                       error is pending; comes with LOOP_READ, or alone when
                       asked for alone */
};

/* (events) is a set of LOOP_*. */
typedef void loop_fn(void *context, unsigned events);
typedef void loop_timer_fn(void *context);

int loop_new(struct loop **ret, struct sm_error *err);
/* All watches must be freed before. NULL is fine. */
void loop_free(struct loop *loop);

/* Run callbacks until loop_stop(). */
void loop_run(struct loop *loop);
/* Run what is ready; wait for at most (timeout_ms), -1: until something
 * happened. */
void loop_turn(struct loop *loop, int timeout_ms);
/* Make loop_run() return soon; callbacks of what is ready already may still
 * come. Any thread; a stop before the run ends the next run at once. */
void loop_stop(struct loop *loop);
/* Have (fn) called once, soon, on the loop's thread. Any thread. Wakes with
 * the same loop add up: (fn) is the one given to loop_on_wake(). */
void loop_wake(struct loop *loop);
void loop_on_wake(struct loop *loop, loop_timer_fn *fn, void *context);
/* Readable when a watched descriptor or a wake gives loop_turn() something to
 * do: to put a loop into another program's loop. Timers, and watches that are
 * always ready, show from loop_expose() on if it is loop_drive() that turns the
 * loop; a change of watches from outside of it shows after one more turn, which
 * loop_wake() asks for. */
int loop_fd(const struct loop *loop);
/* Once or more often; drives the loop. SM_ELIMIT, SM_EIO, SM_ENOMEM. */
int loop_expose(struct loop *loop, struct sm_error *err);
/* Run what is ready, without waiting, and leave loop_fd() as it must be. */
void loop_drive(struct loop *loop);

/*
 * Watch (fd), which stays the caller's, keeps its flags and must stay open
 * until loop_unwatch(). (events) may be 0: nothing is reported until
 * loop_change(). SM_EEXIST: (fd) is being watched in this loop already.
 */
int loop_watch(struct loop *loop, int fd, unsigned events, loop_fn *fn,
               void *context, struct loop_watch **ret, struct sm_error *err);
void loop_change(struct loop_watch *watch, unsigned events);
/* NULL is fine. The callback is not called any more. */
void loop_unwatch(struct loop_watch *watch);

/* A timer that is not running yet. */
int loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *context,
                   struct loop_timer **ret, struct sm_error *err);
/* Call back once after (delay_ms), counted from now; replaces a former start.
 */
void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms);
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

#endif
