/* machine.c: a machine from the library's side; see machine.h. */
#include "machine/inside.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/channel.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
    ENTROPY_BYTES = 64,
    HOSTNAME_MAX = 63,
    /* How long a worker may need to say why its guest went silent. */
    GRACE_MS = 5000
};

void machine_step(struct machine *machine, const char *what)
{
    worker_step_add(&machine->steps, what, clock_monotonic_ns());
}

/* The end ----------------------------------------------------------------- */

/* The first reason counts. */
static void end(struct machine *machine, enum sm_end_reason reason,
                const struct sm_error *why)
{
    if (machine->state == MACHINE_STOPPED)
        return;
    machine->state = MACHINE_STOPPED;
    pthread_mutex_lock(&machine->lock);
    machine->end = (struct machine_end){.reason = reason, .why = *why};
    if (machine->killed) {
        machine->end.reason = SM_END_KILLED;
        fail(&machine->end.why, SM_EGUEST, "the machine was killed");
    }
    pthread_mutex_unlock(&machine->lock);
    event_add(machine, SM_EVENT_ENDED, 0, machine->end.why.message);
    loop_timer_stop(machine->grace);
    loop_timer_stop(machine->start_deadline);
    template_maker_free(own_take(machine->maker));
    machine_files_close(&machine->files);
    machine_saving_ended(machine);
    for (struct program *at = machine->programs; at; at = at->next)
        program_notify(at);
}

void machine_fail(struct machine *machine, const struct sm_error *why)
{
    end(machine, SM_END_FAILED, why);
    if (machine->worker)
        worker_kill(machine->worker);
}

static void send_programs(struct machine *machine)
{
    for (struct program *at = machine->programs; at; at = at->next)
        program_send(at);
}

/* The line in which the guest's kernel said why it panicked, "" if none. */
static void find_panic(const struct machine *machine, char *to, size_t capacity)
{
    static const char mark[] = "Kernel panic - not syncing: ";
    AUTO_FREE char *log = NULL;
    const char *at;

    to[0] = '\0';
    if (machine_log(machine, &log, NULL) != 0)
        return;
    at = strstr(log, mark);
    if (at)
        snprintf(to, capacity, ": %.*s",
                 (int)strcspn(at + strlen(mark), "\r\n"), at + strlen(mark));
}

static void worker_ended(void *context, const struct worker_ended *ended)
{
    static const enum sm_end_reason reasons[] = {
        [WORKER_END_POWER_OFF] = SM_END_POWER_OFF,
        [WORKER_END_REBOOT] = SM_END_REBOOT,
        [WORKER_END_PANIC] = SM_END_PANIC,
        [WORKER_END_CRASH] = SM_END_CRASH,
        [WORKER_END_STOPPED] = SM_END_KILLED,
        [WORKER_END_FAILED] = SM_END_FAILED,
        [WORKER_END_EXPIRED] = SM_END_EXPIRED,
    };
    struct machine *machine = context;
    struct sm_error why = ended->error;
    char panic[256] = "";

    if (ended->end == WORKER_END_FAILED && machine_boot_instead(machine))
        return;
    if (ended->end == WORKER_END_PANIC) {
        find_panic(machine, panic, sizeof panic);
        event_add(machine, SM_EVENT_PANIC, 0, panic[0] ? panic + 2 : "");
    }
    if (ended->end != WORKER_END_FAILED)
        fail(&why, SM_EGUEST, "%s%s", worker_end_text(ended->end), panic);
    if (why.code == 0)
        fail(&why, SM_EIO, "%s", worker_end_text(ended->end));
    end(machine, reasons[ended->end], &why);
}

static void worker_stepped(void *context, const struct worker_steps *steps)
{
    struct machine *machine = context;

    for (unsigned i = 0; i < steps->count; i++)
        worker_step_add(&machine->steps, steps->step[i].name,
                        steps->step[i].at_ns);
    /* What the programs read must not be lost with a template that fails. */
    if ((machine->from_template || machine->config.snapshot) &&
        !machine->restored) {
        machine->restored = true;
        send_programs(machine);
    }
}

static void worker_paused(void *context, bool paused)
{
    struct machine *machine = context;

    machine->pausing = false;
    machine->pause_answered = true;
    if (machine->state == MACHINE_RUNNING || machine->state == MACHINE_PAUSED)
        machine->state = paused ? MACHINE_PAUSED : MACHINE_RUNNING;
    event_add(machine, paused ? SM_EVENT_PAUSED : SM_EVENT_RESUMED, 0, "");
}

/* All that a start waits for is there. */
static void become_running(struct machine *machine)
{
    loop_timer_stop(machine->start_deadline);
    if (machine->state == MACHINE_STARTING)
        machine->state = MACHINE_RUNNING;
    event_add(machine, SM_EVENT_STARTED, 0, "");
    /* Those that were made since the set-up left. */
    send_programs(machine);
}

static void worker_hot_done(void *context)
{
    machine_keep_hot(context);
    become_running(context);
}

const struct worker_events machine_worker_events = {
    .hot_done = worker_hot_done,
    .paused = worker_paused,
    .captured = machine_captured,
    .saved = machine_saved,
    .merged = machine_merged,
    .figures = machine_take_worker_figures,
    .steps = worker_stepped,
    .ended = worker_ended,
};

/* The session ------------------------------------------------------------- */

/* What is the same in both: who this machine is among all others. */
struct identity {
    uint8_t entropy[ENTROPY_BYTES];
    char hosts[256];
    char name[HOSTNAME_MAX + 2];
    struct agent_file files[3];
};

static struct agent_file bound(const char *path, const char *content)
{
    return (struct agent_file){.path = path,
                               .mode = 0644,
                               .flags = AGENT_FILE_BIND,
                               .bytes = (const uint8_t *)content,
                               .count = strlen(content)};
}

static int make_identity(const struct machine *machine, struct identity *ret,
                         struct sm_error *err)
{
    snprintf(ret->hosts, sizeof ret->hosts,
             "127.0.0.1\tlocalhost\n"
             "::1\tlocalhost ip6-localhost\n"
             "127.0.1.1\t%s\n",
             machine->config.hostname);
    snprintf(ret->name, sizeof ret->name, "%s\n", machine->config.hostname);
    ret->files[0] = bound("/etc/hosts", ret->hosts);
    ret->files[1] = bound("/etc/hostname", ret->name);
    /* The image's would name servers that nobody can ask. */
    ret->files[2] =
        bound("/etc/resolv.conf", "# This machine has no network.\n");
    return random_bytes(ret->entropy, sizeof ret->entropy, err);
}

int machine_set_up(struct machine *machine, struct sm_error *err)
{
    struct identity own;
    struct agent_setup setup = {
        .wall_clock_ns = clock_wall_ns(),
        .entropy = own.entropy,
        .entropy_count = sizeof own.entropy,
        .hostname = machine->config.hostname,
        .root = {.source = "/dev/vda", .fstype = "ext4"},
        .root_bytes = machine->disk_bytes,
        .files = own.files,
        .file_count = ARRAY_LEN(own.files),
        .processes_max = machine->config.processes_max,
    };
    int rc = make_identity(machine, &own, err);

    if (!rc)
        rc = random_bytes(setup.machine_id, sizeof setup.machine_id, err);
    if (!rc)
        rc = random_bytes(setup.boot_id, sizeof setup.boot_id, err);
    return rc ? rc : session_setup(machine->session, &setup, err);
}

int machine_set_up_clone(struct machine *machine, struct sm_error *err)
{
    struct identity own;
    struct agent_clone clone = {
        .wall_clock_ns = clock_wall_ns(),
        .entropy = own.entropy,
        .entropy_count = sizeof own.entropy,
        .hostname = machine->config.hostname,
        .files = own.files,
        .file_count = ARRAY_LEN(own.files),
    };
    int rc = make_identity(machine, &own, err);

    if (!rc)
        rc = random_bytes(clone.machine_id, sizeof clone.machine_id, err);
    if (!rc)
        rc = random_bytes(clone.boot_id, sizeof clone.boot_id, err);
    if (!rc)
        rc = random_bytes(clone.generation, sizeof clone.generation, err);
    return rc ? rc : session_clone(machine->session, &clone, err);
}

static void session_hello(void *context, const struct agent_hello *hello)
{
    struct machine *machine = context;
    struct sm_error err;

    machine->features = hello->features;
    machine_step(machine, "agent said hello");
    if (machine_set_up(machine, &err) != 0)
        machine_fail(machine, &err);
    else
        send_programs(machine);
}

static void session_ready(void *context)
{
    struct machine *machine = context;

    machine_step(machine, "agent ready");
    if (!machine_note_hot(machine))
        become_running(machine);
}

/* The agent is gone. Mostly because the whole guest is, and then the worker
 * knows better why: give it a moment to say so. */
static void session_closed(void *context, const struct sm_error *why)
{
    struct machine *machine = context;

    session_close(own_take(machine->session));
    if (why->code == SM_ECLOSED) {
        loop_timer_start(machine->grace, GRACE_MS);
        return;
    }
    machine_fail(machine, why);
}

static void session_oom(void *context, const struct agent_oom *oom)
{
    event_add(context, SM_EVENT_OUT_OF_MEMORY, oom->pid, oom->name);
}

const struct session_events machine_session_events = {
    .hello = session_hello,
    .figures = machine_take_guest_figures,
    .processes = machine_take_processes,
    .oom = session_oom,
    .held = machine_held,
    .ready = session_ready,
    .closed = session_closed,
};

static void grace_over(void *context)
{
    struct machine *machine = context;
    struct sm_error why;

    fail(&why, SM_EGUEST, "the guest's agent went away");
    machine_fail(machine, &why);
}

/* Making ------------------------------------------------------------------ */

static void deadline_passed(void *context)
{
    struct machine *machine = context;

    machine->expired = true;
}

static void start_expired(void *context)
{
    struct machine *machine = context;
    struct sm_error why;

    fail(&why, SM_ETIMEOUT, "the guest's agent did not answer within %u ms",
         machine->start_timeout_ms);
    machine_fail(machine, &why);
}

static void loop_woken(void *context)
{
    struct machine *machine = context;

    for (struct program *at = machine->programs; at; at = at->next)
        program_send_requests(at);
}

static int random_hostname(char **ret, struct sm_error *err)
{
    uint8_t bytes[6];
    int rc = random_bytes(bytes, sizeof bytes, err);

    if (rc)
        return rc;
    if (asprintf(ret, "%02x%02x%02x%02x%02x%02x", bytes[0], bytes[1], bytes[2],
                 bytes[3], bytes[4], bytes[5]) < 0) {
        *ret = NULL;
        return fail(err, SM_ENOMEM, "machine: out of memory");
    }
    return 0;
}

static int check_hostname(const char *name, struct sm_error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
    size_t length = strlen(name);

    if (length == 0 || length > HOSTNAME_MAX || name[0] == '-' ||
        strspn(name, allowed) != length)
        return fail(err, SM_EINVAL,
                    "host name \"%.80s\": 1 to %d letters, digits, dots and "
                    "hyphens, not beginning with a hyphen",
                    name, HOSTNAME_MAX);
    return 0;
}

static int copy_config(struct machine *machine,
                       const struct machine_paths *paths,
                       const struct machine_config *config,
                       struct sm_error *err)
{
    struct machine_config *own = &machine->config;
    char *hostname = NULL;
    int rc = config->hostname ? check_hostname(config->hostname, err)
                              : random_hostname(&hostname, err);

    if (rc)
        return rc;
    *own = *config;
    machine->named = config->hostname != NULL;
    own->hostname = hostname ? hostname : strdup(config->hostname);
    own->kernel = config->kernel ? strdup(config->kernel) : NULL;
    own->kernel_args = strdup(config->kernel_args ? config->kernel_args : "");
    own->rootfs = strdup(config->rootfs ? config->rootfs : "");
    if (config->snapshot) {
        own->memory_bytes = config->snapshot->manifest.memory_bytes;
        own->vcpus = config->snapshot->manifest.vcpus;
    }
    machine->paths.home = strdup(paths->home);
    machine->paths.runtime_dir = strdup(paths->runtime_dir);
    if (!own->hostname || (config->kernel && !own->kernel) ||
        !own->kernel_args || !own->rootfs || !machine->paths.home ||
        !machine->paths.runtime_dir)
        return fail(err, SM_ENOMEM, "machine: out of memory");
    return 0;
}

int machine_new(const struct machine_paths *paths,
                const struct machine_config *config, struct machine **ret,
                struct sm_error *err)
{
    struct machine *machine = calloc(1, sizeof *machine);
    int rc;

    if (!machine)
        return fail(err, SM_ENOMEM, "machine: out of memory");
    machine->log_fd = -1;
    buf_init(&machine->reports.processes, AGENT_PROCESSES_MAX);
    machine->hot = FILE_FRESH_NONE;
    machine->files = MACHINE_FILES_NONE;
    machine->saving.top = machine->saving.merged = -1;
    pthread_mutex_init(&machine->lock, NULL);
    rc = copy_config(machine, paths, config, err);
    if (!rc)
        rc = loop_new(&machine->loop, err);
    if (!rc)
        rc = loop_timer_new(machine->loop, deadline_passed, machine,
                            &machine->deadline, err);
    if (!rc)
        rc = loop_timer_new(machine->loop, machine_saving_late, machine,
                            &machine->saving_deadline, err);
    if (!rc)
        rc = loop_timer_new(machine->loop, grace_over, machine, &machine->grace,
                            err);
    if (!rc)
        rc = loop_timer_new(machine->loop, start_expired, machine,
                            &machine->start_deadline, err);
    if (rc) {
        machine_free(machine);
        return rc;
    }
    loop_on_wake(machine->loop, loop_woken, machine);
    *ret = machine;
    return 0;
}

static void free_const(const char *string)
{
    free((void *)(uintptr_t)string);
}

void machine_free(struct machine *machine)
{
    if (!machine)
        return;
    template_maker_free(machine->maker);
    session_close(machine->session);
    worker_close(machine->worker);
    if (machine->loop) {
        loop_timer_free(machine->deadline);
        loop_timer_free(machine->saving_deadline);
        loop_timer_free(machine->grace);
        loop_timer_free(machine->start_deadline);
        loop_free(machine->loop);
    }
    if (machine->log_fd >= 0)
        close(machine->log_fd);
    file_fresh_done(&machine->hot);
    machine_files_close(&machine->files);
    if (machine->saving.top >= 0)
        close(machine->saving.top);
    if (machine->saving.merged >= 0)
        close(machine->saving.merged);
    buf_done(&machine->reports.processes);
    free_const(machine->config.hostname);
    free_const(machine->config.kernel);
    free_const(machine->config.kernel_args);
    free_const(machine->config.rootfs);
    free_const(machine->paths.home);
    free_const(machine->paths.runtime_dir);
    pthread_mutex_destroy(&machine->lock);
    free(machine);
}
