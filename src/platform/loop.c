/* loop.c: one thread that waits for many descriptors, on libuv; see loop.h.
 *
 * libuv frees a handle only in a later turn of its loop, so watches and timers
 * are heap objects that delete themselves in the close callback. Descriptors
 * that epoll refuses (regular files, /dev/null) are served by an idle-style
 * handle that reports readiness in every turn.
 *
 * A single turn of libuv runs the timers that are due and then waits, as if
 * nothing had happened, for whatever is left: perhaps for ever. Where a timer
 * fires in a turn, uv_stop() therefore takes the waiting out of it.
 *
 * libuv tells epoll about new and changed watches at the beginning of a turn.
 * loop_drive() therefore turns until a turn called nobody back, so that nothing
 * is left untold; the time of the next timer goes into an alarm.
 */
#include "platform/loop.h"

#include "base/own.h"
#include "platform/alarm.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <uv.h>

/* A loop that always has something to do gives the caller's a turn, too. */
enum { DRIVE_TURNS = 4 };

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_async_t stop;
    uv_timer_t turn; /* ends the waiting of loop_turn() */
    bool turning;    /* in loop_turn(), not in loop_run() */
    loop_timer_fn *on_wake;
    void *wake_context;
    struct alarm alarm; /* of the next timer, for loop_fd() */
    struct loop_watch *alarm_watch;
    bool served; /* somebody was called back */
};

struct loop_watch {
    union {
        uv_handle_t handle;
        uv_poll_t poll;
        uv_idle_t always;
    } u;
    struct loop *loop;
    loop_fn *fn;
    void *context;
    unsigned events;
    bool never_waits; /* epoll refuses it: `always` is used */
};

struct loop_timer {
    uv_timer_t timer;
    loop_timer_fn *fn;
    void *context;
};

static void woken(uv_async_t *async)
{
    struct loop *loop = async->data;

    loop->served = true;
    if (loop->on_wake)
        loop->on_wake(loop->wake_context);
}

static void stopped(uv_async_t *async)
{
    uv_stop(async->loop);
}

static int fail_uv(struct sm_error *err, int status, const char *what)
{
    return fail_errno(err, -status, "%s", what);
}

int loop_new(struct loop **ret, struct sm_error *err)
{
    struct loop *loop = calloc(1, sizeof *loop);
    int status;

    if (!loop)
        return fail(err, SM_ENOMEM, "event loop: out of memory");
    loop->alarm = ALARM_NONE;
    status = uv_loop_init(&loop->uv);
    if (status) {
        free(loop);
        return fail_uv(err, status, "event loop");
    }
    status = uv_async_init(&loop->uv, &loop->wake, woken);
    if (!status)
        status = uv_async_init(&loop->uv, &loop->stop, stopped);
    if (!status)
        status = uv_timer_init(&loop->uv, &loop->turn);
    loop->uv.data = loop;
    loop->wake.data = loop;
    if (status) {
        loop_free(loop);
        return fail_uv(err, status, "event loop");
    }
    *ret = loop;
    return 0;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    free(loop->alarm_watch);
    alarm_done(&loop->alarm);
    free(loop);
}

void loop_run(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

/* Something happened before the waiting of a turn: do not wait. */
static void end_turn(uv_timer_t *timer)
{
    struct loop *loop = timer->loop->data;

    if (loop->turning)
        uv_stop(&loop->uv);
}

void loop_turn(struct loop *loop, int timeout_ms)
{
    loop->turning = true;
    if (timeout_ms > 0) {
        uv_update_time(&loop->uv);
        uv_timer_start(&loop->turn, end_turn, (uint64_t)timeout_ms, 0);
    }
    uv_run(&loop->uv, timeout_ms ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    uv_timer_stop(&loop->turn);
    loop->turning = false;
}

void loop_stop(struct loop *loop)
{
    uv_async_send(&loop->stop);
}

void loop_wake(struct loop *loop)
{
    uv_async_send(&loop->wake);
}

void loop_on_wake(struct loop *loop, loop_timer_fn *fn, void *context)
{
    loop->on_wake = fn;
    loop->wake_context = context;
}

int loop_fd(const struct loop *loop)
{
    return uv_backend_fd(&loop->uv);
}

static void alarm_went_off(void *context, unsigned events)
{
    struct loop *loop = context;

    (void)events;
    alarm_stop(&loop->alarm);
}

int loop_expose(struct loop *loop, struct sm_error *err)
{
    int rc = 0;

    if (loop->alarm.fd < 0)
        rc = alarm_init(&loop->alarm, err);
    if (!rc && !loop->alarm_watch)
        rc = loop_watch(loop, loop->alarm.fd, LOOP_READ, alarm_went_off, loop,
                        &loop->alarm_watch, err);
    if (!rc)
        loop_drive(loop);
    return rc;
}

void loop_drive(struct loop *loop)
{
    unsigned turns = 0;
    int delay_ms;

    do {
        loop->served = false;
        loop_turn(loop, 0);
    } while (loop->served && ++turns < DRIVE_TURNS);
    delay_ms = uv_backend_timeout(&loop->uv);
    if (loop->served || delay_ms == 0)
        loop_wake(loop);
    if (!loop->alarm_watch)
        return;
    if (delay_ms > 0)
        alarm_set(&loop->alarm, (uint64_t)delay_ms);
    else
        alarm_stop(&loop->alarm);
}

static int uv_events(unsigned events)
{
    int wanted = 0;

    if (events & LOOP_READ)
        wanted |= UV_READABLE | UV_DISCONNECT;
    if (events & LOOP_WRITE)
        wanted |= UV_WRITABLE;
    if (events & LOOP_HUP)
        wanted |= UV_DISCONNECT;
    return wanted;
}

static void polled(uv_poll_t *poll, int status, int events)
{
    struct loop_watch *watch = poll->data;
    unsigned happened = 0;

    if (events & UV_READABLE)
        happened |= LOOP_READ;
    if (events & UV_WRITABLE)
        happened |= LOOP_WRITE;
    if (events & UV_DISCONNECT)
        happened |= LOOP_HUP;
    if (status < 0) {
        /* An error is pending. libuv stops here; but readiness stays until
         * somebody reads or writes, who then sees the error. */
        uv_poll_start(poll, uv_events(watch->events), polled);
        happened = LOOP_HUP | (watch->events & (LOOP_READ | LOOP_WRITE));
    }
    watch->loop->served = true;
    watch->fn(watch->context, happened);
}

static void always_ready(uv_idle_t *idle)
{
    struct loop_watch *watch = idle->data;

    watch->loop->served = true;
    watch->fn(watch->context, watch->events & (LOOP_READ | LOOP_WRITE));
}

/* uv_poll_init() makes (fd) non-blocking, which is not ours to decide: its
 * open file may be shared with other processes, as terminals are. */
static int init_poll(struct loop *loop, struct loop_watch *watch, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    int status = uv_poll_init(&loop->uv, &watch->u.poll, fd);

    if (flags >= 0 && !(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags);
    return status;
}

int loop_watch(struct loop *loop, int fd, unsigned events, loop_fn *fn,
               void *context, struct loop_watch **ret, struct sm_error *err)
{
    struct loop_watch *watch = calloc(1, sizeof *watch);
    int status;

    if (!watch)
        return fail(err, SM_ENOMEM, "event loop: out of memory");
    watch->loop = loop;
    watch->fn = fn;
    watch->context = context;
    status = init_poll(loop, watch, fd);
    if (status == UV_EPERM) {
        watch->never_waits = true;
        status = uv_idle_init(&loop->uv, &watch->u.always);
    }
    if (status) {
        free(watch);
        return fail_uv(err, status, "event loop: watch a descriptor");
    }
    watch->u.handle.data = watch;
    loop_change(watch, events);
    *ret = watch;
    return 0;
}

void loop_change(struct loop_watch *watch, unsigned events)
{
    if (events == watch->events)
        return;
    watch->events = events;
    if (watch->never_waits) {
        if (events & (LOOP_READ | LOOP_WRITE))
            uv_idle_start(&watch->u.always, always_ready);
        else
            uv_idle_stop(&watch->u.always);
    } else if (events) {
        uv_poll_start(&watch->u.poll, uv_events(events), polled);
    } else {
        uv_poll_stop(&watch->u.poll);
    }
}

static void watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void loop_unwatch(struct loop_watch *watch)
{
    if (watch)
        uv_close(&watch->u.handle, watch_closed);
}

static void timer_fired(uv_timer_t *timer)
{
    struct loop_timer *own = timer->data;
    struct loop *loop = timer->loop->data;

    loop->served = true;
    end_turn(timer);
    own->fn(own->context);
}

int loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *context,
                   struct loop_timer **ret, struct sm_error *err)
{
    struct loop_timer *timer = calloc(1, sizeof *timer);

    if (!timer)
        return fail(err, SM_ENOMEM, "event loop: out of memory");
    uv_timer_init(&loop->uv, &timer->timer);
    timer->timer.data = timer;
    timer->fn = fn;
    timer->context = context;
    *ret = timer;
    return 0;
}

void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms)
{
    uv_update_time(timer->timer.loop);
    uv_timer_start(&timer->timer, timer_fired, delay_ms, 0);
}

void loop_timer_stop(struct loop_timer *timer)
{
    uv_timer_stop(&timer->timer);
}

void loop_timer_free(struct loop_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->timer, watch_closed);
}
