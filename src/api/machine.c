/* machine.c: machines, as the public header has them. */
#include "api/inside.h"

#include "base/bytes.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { TIMEOUT_MAX_MS = 3600000, STOP_GRACE_MS = 10000 };

static int check_config(struct sm_machine_config *config, struct sm_error *err)
{
    if (!config->memory_bytes)
        config->memory_bytes = SM_MEMORY_DEFAULT;
    if (!config->vcpus)
        config->vcpus = 1;
    if (config->memory_bytes < SM_MEMORY_MIN ||
        config->memory_bytes > SM_MEMORY_MAX)
        return fail(err, SM_EINVAL,
                    "memory of %llu bytes: must be %llu MiB to %llu GiB",
                    (unsigned long long)config->memory_bytes,
                    (unsigned long long)(SM_MEMORY_MIN / MIB),
                    (unsigned long long)(SM_MEMORY_MAX / GIB));
    if (!is_aligned(config->memory_bytes, 2 * MIB))
        return fail(err, SM_EINVAL,
                    "memory of %llu bytes: must be a multiple of 2 MiB",
                    (unsigned long long)config->memory_bytes);
    if (config->vcpus > SM_VCPUS_MAX)
        return fail(err, SM_EINVAL, "%u vcpus: must be 1 to %d", config->vcpus,
                    SM_VCPUS_MAX);
    return 0;
}

static int copy_strings(struct image_strings *to,
                        const struct image_strings *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        if (!image_strings_add(to, from->items[i]))
            return SM_ENOMEM;
    return 0;
}

/* What commands need of the image's config. */
static int copy_defaults(struct image_config *to,
                         const struct image_config *from, struct sm_error *err)
{
    to->workdir = strdup(from->workdir);
    to->user = strdup(from->user);
    if (!to->workdir || !to->user ||
        copy_strings(&to->entrypoint, &from->entrypoint) ||
        copy_strings(&to->cmd, &from->cmd) ||
        copy_strings(&to->env, &from->env))
        return fail(err, SM_ENOMEM, "machine: out of memory");
    return 0;
}

int sm_machine_new(struct sm_host *host, const struct sm_image *image,
                   const struct sm_machine_config *given,
                   struct sm_machine **ret, struct sm_error *err)
{
    struct machine_paths paths = host_paths(host);
    struct sm_machine_config config;
    struct sm_machine *machine;
    int rc = 0;

    sm_machine_config_init(&config);
    if (given)
        rc = config_copy(&config, sizeof config, given, "sm_machine_config",
                         err);
    if (!rc)
        rc = check_config(&config, err);
    if (rc)
        return rc;
    machine = calloc(1, sizeof *machine);
    if (!machine)
        return fail(err, SM_ENOMEM, "machine: out of memory");
    machine->rootfs_fd = fcntl(image->rootfs_fd, F_DUPFD_CLOEXEC, 0);
    if (machine->rootfs_fd < 0)
        rc = fail_os(err, "machine: keep its root file system");
    if (!rc)
        rc = copy_defaults(&machine->defaults, &image->result.config, err);
    if (!rc)
        rc = machine_new(&paths,
                         &(struct machine_config){
                             .memory_bytes = config.memory_bytes,
                             .vcpus = config.vcpus,
                             .kernel = config.kernel,
                             .hostname = config.hostname,
                             .kernel_args = config.kernel_args,
                             .cold = config.cold != 0,
                             .rootfs = image->result.rootfs,
                         },
                         &machine->machine, err);
    if (rc) {
        sm_machine_free(machine);
        return rc;
    }
    *ret = machine;
    return 0;
}

void sm_machine_free(struct sm_machine *machine)
{
    if (!machine)
        return;
    machine_free(machine->machine);
    if (machine->rootfs_fd >= 0)
        close(machine->rootfs_fd);
    image_config_done(&machine->defaults);
    free(machine);
}

int sm_machine_start(struct sm_machine *machine, uint32_t timeout_ms,
                     struct sm_error *err)
{
    if (timeout_ms > TIMEOUT_MAX_MS && timeout_ms != SM_NOWAIT)
        return fail(err, SM_EINVAL, "time-out of %u ms: at most %d", timeout_ms,
                    TIMEOUT_MAX_MS);
    return machine_start(machine->machine, timeout_ms, err);
}

void sm_machine_kill(struct sm_machine *machine)
{
    machine_kill(machine->machine);
}

enum sm_machine_state sm_machine_state(const struct sm_machine *machine)
{
    switch (machine_state(machine->machine)) {
    case MACHINE_NEW:
        return SM_MACHINE_NEW;
    case MACHINE_STARTING:
        return SM_MACHINE_STARTING;
    case MACHINE_RUNNING:
        return SM_MACHINE_RUNNING;
    case MACHINE_PAUSED:
        return SM_MACHINE_PAUSED;
    case MACHINE_STOPPED:
    default:
        return SM_MACHINE_STOPPED;
    }
}

int sm_machine_fd(struct sm_machine *machine, struct sm_error *err)
{
    return machine_fd(machine->machine, err);
}

void sm_machine_dispatch(struct sm_machine *machine)
{
    machine_dispatch(machine->machine);
}

int sm_machine_wait(struct sm_machine *machine, uint32_t timeout_ms,
                    struct sm_machine_end *ret, struct sm_error *err)
{
    struct machine_end end;
    int rc = machine_wait(machine->machine, timeout_ms, &end, err);

    if (!rc)
        *ret = (struct sm_machine_end){.reason = end.reason, .error = end.why};
    return rc;
}

int sm_machine_pause(struct sm_machine *machine, struct sm_error *err)
{
    return machine_pause(machine->machine, true, err);
}

int sm_machine_resume(struct sm_machine *machine, struct sm_error *err)
{
    return machine_pause(machine->machine, false, err);
}

int sm_machine_stop(struct sm_machine *machine, uint32_t grace_ms,
                    struct sm_error *err)
{
    if (grace_ms > TIMEOUT_MAX_MS)
        return fail(err, SM_EINVAL, "grace of %u ms: at most %d", grace_ms,
                    TIMEOUT_MAX_MS);
    return machine_stop(machine->machine, grace_ms ? grace_ms : STOP_GRACE_MS,
                        err);
}

int sm_machine_log(struct sm_machine *machine, char **ret, struct sm_error *err)
{
    return machine_log(machine->machine, ret, err);
}

int sm_machine_cost(struct sm_machine *machine, char **ret,
                    struct sm_error *err)
{
    return machine_cost(machine->machine, ret, err);
}
