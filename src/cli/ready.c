/* ready.c: waits until a program is ready; see ready.h. */
#include "ready.h"

#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_MS = 200,
    QUIET_PART = 20, /* of a processor's time: 5 % */
    /* Linux lists those that listen first. */
    TABLE_MAX = 64 << 10,
    TABLE_TIMEOUT_MS = 10000
};

static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};

/* -------------------------------------------------------------- a check -- */

static bool begin_check(struct ready *ready, struct sm_machine *machine)
{
    struct sm_exec_config config;

    sm_exec_config_init(&config);
    config.argv = (const char *const *)ready->plan->words;
    config.entrypoint = "";
    config.stdout_fd = config.stderr_fd = -1;
    config.timeout_ms = ready->plan->check_timeout_ms;
    return sm_exec_new(machine, &config, &ready->probe, NULL) == 0;
}

/* -------------------------------------------------------------- a table -- */

static bool begin_table(struct ready *ready, struct sm_machine *machine)
{
    struct sm_file_config config;

    sm_file_config_init(&config);
    config.work = SM_FILE_READ;
    config.path = tables[ready->table];
    config.timeout_ms = TABLE_TIMEOUT_MS;
    ready->count = 0;
    if (!ready->text && !(ready->text = malloc(TABLE_MAX + 1)))
        return false;
    return sm_file_open(machine, &config, &ready->probe, NULL) == 0;
}

/* What does not fit is read and dropped: else it would never end. */
static void read_table(struct ready *ready)
{
    char rest[4096];
    int64_t count;

    do {
        bool fits = ready->count < TABLE_MAX;

        count = sm_exec_read(
            ready->probe, 1, fits ? ready->text + ready->count : rest,
            fits ? TABLE_MAX - ready->count : sizeof rest, SM_NOWAIT, NULL);
        if (count > 0 && fits)
            ready->count += (size_t)count;
    } while (count > 0);
}

/* A kernel without IPv6 has no second table. */
static enum ready_answer end_table(struct ready *ready)
{
    ready->text[ready->count] = '\0';
    ready_ports_add(&ready->heard, ready->text);
    ready->table++;
    if (ready->table < sizeof tables / sizeof tables[0]) {
        ready->next_ms = 0;
        return READY_NOT_YET;
    }
    ready->table = 0;
    if (ready_ports_have(&ready->heard, &ready->plan->ports))
        return READY_NOW;
    ready->heard = (struct ready_ports){0};
    return READY_NOT_YET;
}

/* ---------------------------------------------------------------- both -- */

static enum ready_answer end_probe(struct ready *ready, bool fine)
{
    sm_exec_free(ready->probe);
    ready->probe = NULL;
    if (ready->plan->way == READY_PORTS)
        return end_table(ready);
    return fine ? READY_NOW : READY_NOT_YET;
}

static enum ready_answer look_at_probe(struct ready *ready, int64_t now_ms)
{
    struct sm_exit_status status;
    int rc;

    if (ready->plan->way == READY_PORTS)
        read_table(ready);
    rc = sm_exec_wait(ready->probe, SM_NOWAIT, &status, NULL);
    if (rc == SM_ETIMEOUT)
        return READY_NOT_YET;
    /* The last of it may have come with the end. */
    if (ready->plan->way == READY_PORTS)
        read_table(ready);
    ready->next_ms = now_ms + ready->plan->interval_ms;
    return end_probe(ready, !rc && status.exited && status.code == 0);
}

static enum ready_answer begin_probe(struct ready *ready,
                                     struct sm_machine *machine, int64_t now_ms)
{
    bool begun = ready->plan->way == READY_PORTS ? begin_table(ready, machine)
                                                 : begin_check(ready, machine);

    if (!begun)
        ready->next_ms = now_ms + ready->plan->interval_ms;
    return READY_NOT_YET;
}

/* ---------------------------------------------------------------- quiet -- */

static enum ready_answer look_at_machine(struct ready *ready,
                                         struct sm_machine *machine,
                                         int64_t now_ms)
{
    const struct sm_machine_stats before = ready->before;
    struct sm_machine_stats *now = &ready->before;
    uint64_t passed_us;

    ready->next_ms = now_ms + WINDOW_MS;
    if (sm_machine_stats(machine, now, NULL) != 0) {
        *now = (struct sm_machine_stats){0};
        return READY_NOT_YET;
    }
    passed_us = now->uptime_us - before.uptime_us;
    return before.uptime_us && now->disk_reads == before.disk_reads &&
                   (now->vcpu_us - before.vcpu_us) * QUIET_PART < passed_us
               ? READY_NOW
               : READY_NOT_YET;
}

/* ------------------------------------------------------------------ all -- */

enum ready_answer ready_look(struct ready *ready, struct sm_machine *machine,
                             struct sm_exec *program, int64_t now_ms)
{
    enum ready_answer answer = READY_NOT_YET;

    if (!ready->late_ms)
        ready->late_ms = now_ms + (int64_t)ready->timeout_ms;
    if (!ready->runs)
        ready->runs = sm_exec_wait_started(program, SM_NOWAIT, NULL) == 0;
    if (ready->probe)
        answer = look_at_probe(ready, now_ms);
    if (answer == READY_NOT_YET && ready->runs && !ready->probe &&
        now_ms >= ready->next_ms)
        answer = ready->plan->way == READY_QUIET
                     ? look_at_machine(ready, machine, now_ms)
                     : begin_probe(ready, machine, now_ms);
    return answer == READY_NOT_YET && now_ms >= ready->late_ms ? READY_LATE
                                                               : answer;
}

int64_t ready_due_ms(const struct ready *ready)
{
    bool waits = ready->probe || !ready->runs;

    return waits || ready->next_ms > ready->late_ms ? ready->late_ms
                                                    : ready->next_ms;
}

void ready_done(struct ready *ready)
{
    sm_exec_free(ready->probe);
    free(ready->text);
    ready->probe = NULL;
    ready->text = NULL;
}
