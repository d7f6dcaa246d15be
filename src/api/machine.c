/* machine.c: machines, as the public header has them. */
#include "api/inside.h"

#include "base/bytes.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    TIMEOUT_MAX_MS = 3600000,
    STOP_GRACE_MS = 10000,
    PROCESSES_MAX = 1 << 22 /* Linux's own limit */
};

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
    if (config->processes_max > PROCESSES_MAX)
        return fail(err, SM_EINVAL, "%u processes: at most %d",
                    config->processes_max, PROCESSES_MAX);
    if (config->workdir && config->workdir[0] != '/')
        return fail(err, SM_EINVAL, "working directory \"%.80s\": not absolute",
                    config->workdir);
    return 0;
}

static bool copy_strings(struct image_strings *to,
                         const struct image_strings *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        if (!image_strings_add(to, from->items[i]))
            return false;
    return true;
}

static bool copy_list(struct image_strings *to, const char *const *from)
{
    for (; from && *from; from++)
        if (!image_strings_add(to, *from))
            return false;
    return true;
}

/* What an image says of its own program, for who asks (sm_machine_inspect()).
 * What is too long for a snapshot's manifest is none. */
static bool copy_hints(struct image_config *to, const struct image_config *from)
{
    enum { PORT_MAX = 32, CHECK_MAX = 64 << 10 };
    const char *check = from->healthcheck ? from->healthcheck : "";

    for (uint32_t i = 0; i < from->ports.count; i++)
        if (strlen(from->ports.items[i]) < PORT_MAX &&
            !image_strings_add(&to->ports, from->ports.items[i]))
            return false;
    to->healthcheck = strdup(strlen(check) < CHECK_MAX ? check : "");
    return to->healthcheck != NULL;
}

/* What commands have that do not say otherwise: the config's words over the
 * image's, as command_make() puts a command's over these. A variable that is
 * there twice counts as given last. */
static int make_defaults(struct image_config *to,
                         const struct image_config *image,
                         const struct sm_machine_config *config,
                         struct sm_error *err)
{
    bool fine = copy_hints(to, image) && copy_strings(&to->env, &image->env) &&
                copy_list(&to->env, config->env);

    to->workdir = strdup(config->workdir ? config->workdir : image->workdir);
    to->user = strdup(config->user ? config->user : image->user);
    if (!config->entrypoint)
        fine = fine && copy_strings(&to->entrypoint, &image->entrypoint);
    else if (config->entrypoint[0])
        fine = fine && image_strings_add(&to->entrypoint, config->entrypoint);
    if (config->argv && config->argv[0])
        fine = fine && copy_list(&to->cmd, config->argv);
    else if (!config->entrypoint)
        fine = fine && copy_strings(&to->cmd, &image->cmd);
    if (!fine || !to->workdir || !to->user)
        return fail(err, SM_ENOMEM, "machine: out of memory");
    return 0;
}

/* RLIMIT_* of Linux, the same on x86 and ARM, and Docker's names of them. */
static const char *const limit_names[] = {
    "cpu",      "fsize",  "data",    "stack", "core",  "rss",
    "nproc",    "nofile", "memlock", "as",    "locks", "sigpending",
    "msgqueue", "nice",   "rtprio",  "rttime"};

const char *limit_name(uint32_t resource)
{
    return limit_names[resource];
}

static int copy_limit(struct sm_machine *machine, const struct sm_limit *from,
                      struct sm_error *err)
{
    struct agent_rlimit *to = &machine->limits[machine->limit_count];
    uint32_t number = 0;

    while (number < ARRAY_LEN(limit_names) && from->name &&
           strcmp(limit_names[number], from->name) != 0)
        number++;
    if (!from->name || number == ARRAY_LEN(limit_names))
        return fail(err, SM_EINVAL,
                    "limit %.32s: none of as, core, cpu, data, fsize, locks, "
                    "memlock, msgqueue, nice, nofile, nproc, rss, rtprio, "
                    "rttime, sigpending, stack",
                    from->name ? from->name : "without a name");
    if (from->soft > from->hard)
        return fail(err, SM_EINVAL,
                    "limit %s: soft %llu is more than hard %llu", from->name,
                    (unsigned long long)from->soft,
                    (unsigned long long)from->hard);
    *to = (struct agent_rlimit){number, from->soft, from->hard};
    machine->limit_count++;
    return 0;
}

static int copy_limits(struct sm_machine *machine,
                       const struct sm_machine_config *config,
                       struct sm_error *err)
{
    int rc = 0;

    if (config->limit_count > ARRAY_LEN(machine->limits))
        return fail(err, SM_EINVAL, "%zu limits: at most %zu",
                    config->limit_count, ARRAY_LEN(machine->limits));
    for (size_t i = 0; i < config->limit_count && !rc; i++)
        rc = copy_limit(machine, &config->limits[i], err);
    return rc;
}

/* What sm_machine_inspect() and snapshots tell, and nothing else looks at. */
static int copy_words(struct sm_machine *machine,
                      const struct machine_source *source,
                      const struct sm_machine_config *config,
                      struct sm_error *err)
{
    for (const char *const *at = config->labels; at && *at; at++)
        if (**at == '\0' || **at == '=')
            return fail(err, SM_EINVAL, "label \"%.64s\": without a name", *at);
    machine->name = strdup(config->name ? config->name : "");
    machine->image = strdup(source->image);
    machine->image_name = strdup(source->image_name);
    machine->parent = strdup(source->parent);
    if (!machine->name || !machine->image || !machine->image_name ||
        !machine->parent || !copy_list(&machine->labels, config->labels))
        return fail(err, SM_ENOMEM, "machine: out of memory");
    return 0;
}

static int fill(struct sm_machine *machine, const struct machine_source *source,
                const struct sm_machine_config *config, struct sm_error *err)
{
    struct machine_paths paths = host_paths(machine->host);
    int rc = make_defaults(&machine->defaults, source->defaults, config, err);

    if (!rc)
        rc = copy_limits(machine, config, err);
    if (!rc)
        rc = copy_words(machine, source, config, err);
    return rc ? rc
              : machine_new(&paths,
                            &(struct machine_config){
                                .memory_bytes = config->memory_bytes,
                                .vcpus = config->vcpus,
                                .kernel = config->kernel,
                                .hostname = config->hostname,
                                .kernel_args = config->kernel_args,
                                .cold = config->cold != 0,
                                .rootfs = source->rootfs,
                                .processes_max = config->processes_max,
                                .lifetime_ms = config->lifetime_ms,
                                .snapshot = source->snapshot,
                            },
                            &machine->machine, err);
}

int machine_make(struct sm_host *host, const struct machine_source *source,
                 const struct sm_machine_config *given, struct sm_machine **ret,
                 struct sm_error *err)
{
    struct sm_machine *machine = calloc(1, sizeof *machine);
    struct sm_machine_config config = *given;
    int rc = 0;

    if (!machine)
        return fail(err, SM_ENOMEM, "machine: out of memory");
    *machine = (struct sm_machine){
        .magic = MACHINE_MAGIC, .host = host, .rootfs_fd = -1};
    if (source->snapshot)
        rc = machine_take_snapshot(machine, source->snapshot, &config, err);
    if (!rc)
        rc = check_config(&config, err);
    if (!rc && source->rootfs_fd >= 0) {
        machine->rootfs_fd = fcntl(source->rootfs_fd, F_DUPFD_CLOEXEC, 0);
        if (machine->rootfs_fd < 0)
            rc = fail_os(err, "machine: keep its root file system");
    }
    if (!rc)
        rc = fill(machine, source, &config, err);
    if (rc) {
        sm_machine_free(machine);
        return rc;
    }
    machine->snapshot = source->snapshot;
    *ret = machine;
    return 0;
}

int sm_machine_new(struct sm_host *host, const struct sm_image *image,
                   const struct sm_machine_config *given,
                   struct sm_machine **ret, struct sm_error *err)
{
    struct sm_machine_config config;
    int rc = 0;

    sm_machine_config_init(&config);
    if (given)
        rc = config_copy(&config, sizeof config, given, "sm_machine_config",
                         err);
    if (rc)
        return rc;
    if (!image == !config.snapshot)
        return fail(err, SM_EINVAL,
                    "a machine is made of an image, or of a snapshot: this has "
                    "%s",
                    image ? "both" : "neither");
    if (!image)
        return machine_make_from(host, &config, ret, err);
    return machine_make(host,
                        &(struct machine_source){
                            .defaults = &image->result.config,
                            .image = image->result.digest,
                            .image_name = image->name,
                            .rootfs = image->result.rootfs,
                            .rootfs_fd = image->rootfs_fd,
                            .parent = "",
                        },
                        &config, ret, err);
}

void sm_machine_free(struct sm_machine *machine)
{
    if (!machine)
        return;
    assert(machine->magic == MACHINE_MAGIC);
    machine->magic = 0;
    machine_free(machine->machine);
    keeping_free(machine->keeping);
    if (machine->rootfs_fd >= 0)
        close(machine->rootfs_fd);
    if (machine->snapshot)
        shelf_snapshot_done(machine->snapshot);
    free(machine->snapshot);
    image_config_done(&machine->defaults);
    image_strings_done(&machine->labels);
    free(machine->name);
    free(machine->image);
    free(machine->image_name);
    free(machine->parent);
    free(machine);
}

struct machine *machine_of(const struct sm_machine *machine)
{
    assert(machine->magic == MACHINE_MAGIC);
    return machine->machine;
}

int machine_enter(struct sm_machine *machine, struct sm_error *err)
{
    assert(machine->magic == MACHINE_MAGIC);
    if (__atomic_exchange_n(&machine->busy, true, __ATOMIC_ACQUIRE))
        return fail(err, SM_EBUSY,
                    "another thread waits for the machine or its commands");
    return 0;
}

void machine_leave(struct sm_machine *machine)
{
    __atomic_store_n(&machine->busy, false, __ATOMIC_RELEASE);
}

int sm_machine_start(struct sm_machine *machine, uint32_t timeout_ms,
                     struct sm_error *err)
{
    int rc;

    if (timeout_ms > TIMEOUT_MAX_MS && timeout_ms != SM_NOWAIT)
        return fail(err, SM_EINVAL, "time-out of %u ms: at most %d", timeout_ms,
                    TIMEOUT_MAX_MS);
    rc = machine_enter(machine, err);
    if (rc)
        return rc;
    rc = machine_start(machine->machine, timeout_ms, err);
    machine_leave(machine);
    return rc;
}

void sm_machine_kill(struct sm_machine *machine)
{
    machine_kill(machine_of(machine));
}

enum sm_machine_state sm_machine_state(const struct sm_machine *machine)
{
    switch (machine_state(machine_of(machine))) {
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
    return machine_fd(machine_of(machine), err);
}

void sm_machine_dispatch(struct sm_machine *machine)
{
    if (machine_enter(machine, NULL) != 0)
        return;
    machine_dispatch(machine->machine);
    machine_leave(machine);
}

int sm_machine_wait(struct sm_machine *machine, uint32_t timeout_ms,
                    struct sm_machine_end *ret, struct sm_error *err)
{
    struct machine_end end;
    int rc = machine_enter(machine, err);

    if (rc)
        return rc;
    rc = machine_wait(machine->machine, timeout_ms, &end, err);
    machine_leave(machine);
    if (!rc)
        *ret = (struct sm_machine_end){.reason = end.reason, .error = end.why};
    return rc;
}

int sm_machine_pause(struct sm_machine *machine, struct sm_error *err)
{
    int rc;

    rc = machine_enter(machine, err);
    if (rc)
        return rc;
    rc = machine_pause(machine->machine, true, err);
    machine_leave(machine);
    return rc;
}

int sm_machine_resume(struct sm_machine *machine, struct sm_error *err)
{
    int rc;

    rc = machine_enter(machine, err);
    if (rc)
        return rc;
    rc = machine_pause(machine->machine, false, err);
    machine_leave(machine);
    return rc;
}

int sm_machine_stop(struct sm_machine *machine, uint32_t grace_ms,
                    struct sm_error *err)
{
    int rc;

    if (grace_ms > TIMEOUT_MAX_MS)
        return fail(err, SM_EINVAL, "grace of %u ms: at most %d", grace_ms,
                    TIMEOUT_MAX_MS);
    rc = machine_enter(machine, err);
    if (rc)
        return rc;
    rc = machine_stop(machine->machine, grace_ms ? grace_ms : STOP_GRACE_MS,
                      err);
    machine_leave(machine);
    return rc;
}

int sm_machine_next_event(struct sm_machine *machine, uint32_t timeout_ms,
                          struct sm_event *ret, struct sm_error *err)
{
    int rc;

    rc = machine_enter(machine, err);
    if (rc)
        return rc;
    rc = machine_next_event(machine->machine, timeout_ms, ret, err);
    machine_leave(machine);
    return rc;
}

int sm_machine_stats(struct sm_machine *machine, struct sm_machine_stats *ret,
                     struct sm_error *err)
{
    int rc;

    rc = machine_enter(machine, err);
    if (rc)
        return rc;
    rc = machine_stats(machine->machine, ret, err);
    machine_leave(machine);
    return rc;
}

int sm_machine_log(struct sm_machine *machine, char **ret, struct sm_error *err)
{
    return machine_log(machine_of(machine), ret, err);
}

int sm_machine_cost(struct sm_machine *machine, char **ret,
                    struct sm_error *err)
{
    return machine_cost(machine_of(machine), ret, err);
}
