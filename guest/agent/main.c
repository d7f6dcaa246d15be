/* main.c: process 1 of a machine. */
#include "early.h"
#include "guest.h"
#include "power.h"
#include "setup.h"
#include "vsock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int apply(void *context, const struct agent_setup *setup,
                 struct sm_error *err)
{
    return setup_apply(context, setup, err);
}

static int become_another(void *context, const struct agent_clone *clone,
                          struct sm_error *err)
{
    return setup_clone(context, clone, err);
}

static void signal_all(void *context, int signal)
{
    (void)context;
    kill(-1, signal);
}

static void end_machine(void *context, enum agent_end end)
{
    (void)context;
    power_end(end);
}

static int connect_host(void *context)
{
    (void)context;
    return vsock_connect();
}

static const struct guest_ops ops = {
    .setup = apply,
    .clone = become_another,
    .signal_all = signal_all,
    .end_machine = end_machine,
    .connect = connect_host,
};

/* Nobody else will hear of it: the kernel's log is all there is. The exit of
 * process 1 panics the kernel, which the host sees at once. */
static _Noreturn void die(const struct sm_error *err)
{
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

    if (fd >= 0)
        dprintf(fd, "<2>supermachine agent: %s\n", err->message);
    _exit(EXIT_FAILURE);
}

int main(void)
{
    struct identity identity = IDENTITY_NONE;
    const struct guest_config config = {
        .ops = &ops,
        .context = &identity,
        .etc = "/etc",
        .cgroup_root = EARLY_CGROUP_ROOT,
        .proc = "/proc",
        .kernel_log = "/dev/kmsg",
    };
    struct sm_error err = {0};
    struct guest *guest;
    int listener;

    if (getpid() != 1) {
        fprintf(stderr, "agent: this is process 1 of a virtual machine\n");
        return 2;
    }
    if (early_setup(&err) || guest_new(&config, &guest, &err))
        die(&err);
    listener = vsock_listen();
    if (listener < 0 || guest_listen(guest, listener, &err)) {
        fail_os(&err, "vsock");
        die(&err);
    }
    guest_connect(guest);
    guest_run(guest);
    return 0;
}
