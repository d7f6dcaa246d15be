/* keeper_warm.c: a command is kept once it is ready; see keeper.h. */
#include "events.h"
#include "keeper_inside.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

void warming_begin(struct service *service)
{
    const struct warming *warming = service->keeper->warming;

    if (!warming)
        return;
    service->holds = true;
    service->ready = (struct ready){.plan = &warming->plan,
                                    .timeout_ms = warming->timeout_ms};
}

static void settle(struct service *service, const char *why_not)
{
    const struct keeper *keeper = service->keeper;

    service->holds = false;
    ready_done(&service->ready);
    keeper->warming->settled(keeper->context, why_not);
}

void warming_give_up(struct service *service, const char *why)
{
    if (!service->holds || service->capture.warm)
        return;
    service->capture.warm_waits = false;
    settle(service, why);
}

static void keep_it(struct service *service)
{
    /* Nothing of ours shall be in it. */
    ready_done(&service->ready);
    service->capture.warm_waits = true;
    capture_look(service);
}

/* Somebody else may have been faster: then there is one. */
void warming_settled(struct service *service, int rc,
                     const struct sm_error *err)
{
    settle(service, !rc || rc == SM_EEXIST ? NULL : err->message);
}

void warming_look(struct service *service)
{
    const struct keeper *keeper = service->keeper;
    char why[96];

    if (!service->holds || service->capture.warm || service->capture.warm_waits)
        return;
    switch (ready_look(&service->ready, keeper->machine, keeper->exec,
                       keeper_now_ms())) {
    case READY_NOT_YET:
        break;
    case READY_NOW:
        keep_it(service);
        break;
    case READY_LATE:
        snprintf(why, sizeof why,
                 "it was not ready within %llu s: see --ready and "
                 "--ready-timeout",
                 (unsigned long long)(service->ready.timeout_ms + 999) / 1000);
        settle(service, why);
        break;
    }
}

void warming_take_input(struct service *service)
{
    struct keeper *keeper = service->keeper;
    char bytes[KEEPER_CHUNK];
    ssize_t count = read(keeper->input, bytes, sizeof bytes);

    if (count < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (count > 0 && relay_put(&service->input, bytes, (size_t)count)) {
        serve_input(service, &service->input);
        return;
    }
    sm_exec_write_end(keeper->exec);
    keeper->input = -1;
}
