/* report.c: what a machine uses and what runs in it: asked of its worker and of
 * its agent. */
#include "machine/inside.h"

#include "base/bytes.h"
#include "base/json_text.h"
#include "platform/clock.h"

enum {
    WORKER_ANSWER_MS = 10000,
    GUEST_FIGURES_MS = 2000,
    GUEST_PROCESSES_MS = 10000,
    /* Of JSON for each byte of the list: names of fields, escapes. */
    JSON_PER_BYTE = 8
};

void machine_take_worker_figures(void *context,
                                 const struct worker_figures *figures)
{
    struct machine *machine = context;

    machine->reports.worker = *figures;
    machine->reports.worker_answered = true;
}

void machine_take_guest_figures(void *context,
                                const struct agent_figures *figures)
{
    struct machine *machine = context;

    machine->reports.guest = *figures;
    machine->reports.guest_answered = true;
}

/* A list that nobody waits for any more comes before one that is. */
void machine_take_processes(void *context, const uint8_t *bytes, size_t count,
                            bool last)
{
    struct machine_reports *reports = &((struct machine *)context)->reports;

    if (reports->processes_owed == 1 && count)
        buf_append(&reports->processes, bytes, count);
    if (!last || reports->processes_owed == 0)
        return;
    reports->processes_whole = --reports->processes_owed == 0;
}

static int check_running(const struct machine *machine, struct sm_error *err)
{
    if (machine->state != MACHINE_RUNNING && machine->state != MACHINE_PAUSED)
        return fail(err, SM_ESTATE, "the machine does not run");
    return 0;
}

static int tell_end(const struct machine *machine, struct sm_error *err)
{
    if (err)
        *err = machine->end.why;
    return machine->end.why.code;
}

static void fill_worker(const struct worker_figures *from,
                        struct sm_machine_stats *ret)
{
    ret->vcpu_us = from->vcpu_ns / 1000;
    ret->worker_us = from->process_ns / 1000;
    ret->worker_bytes = from->rss_bytes;
    ret->disk_read_bytes = from->disk_read_bytes;
    ret->disk_written_bytes = from->disk_written_bytes;
    ret->disk_reads = from->disk_reads;
    ret->disk_writes = from->disk_writes;
    ret->stream_in_bytes = from->stream_in_bytes;
    ret->stream_out_bytes = from->stream_out_bytes;
}

static void fill_guest(const struct agent_figures *from,
                       struct sm_machine_stats *ret)
{
    ret->guest_answered = 1;
    ret->processes = from->processes;
    ret->oom_kills = from->oom_kills;
    ret->guest_total_bytes = from->memory_total_bytes;
    ret->guest_available_bytes = from->memory_available_bytes;
    ret->guest_cached_bytes = from->memory_cached_bytes;
}

int machine_stats(struct machine *machine, struct sm_machine_stats *ret,
                  struct sm_error *err)
{
    struct machine_reports *reports = &machine->reports;
    int rc = check_running(machine, err);

    if (rc)
        return rc;
    reports->worker_answered = reports->guest_answered = false;
    rc = worker_measure(machine->worker, err);
    if (!rc && machine->state == MACHINE_RUNNING && machine->session)
        rc = session_report(machine->session, AGENT_REPORT_FIGURES, err);
    if (rc)
        return rc;
    if (!machine_turn(machine, &reports->worker_answered, WORKER_ANSWER_MS))
        return fail(err, SM_ETIMEOUT, "the machine's worker did not answer");
    if (machine->state == MACHINE_RUNNING && machine->session)
        machine_turn(machine, &reports->guest_answered, GUEST_FIGURES_MS);
    if (machine->state == MACHINE_STOPPED)
        return tell_end(machine, err);
    *ret = (struct sm_machine_stats){
        .uptime_us = (clock_monotonic_ns() - machine->started_ns) / 1000,
        .memory_bytes = machine->config.memory_bytes,
        .vcpus = machine->config.vcpus,
    };
    for (const struct program *at = machine->programs; at; at = at->next)
        ret->commands += !at->ended;
    fill_worker(&reports->worker, ret);
    if (reports->guest_answered)
        fill_guest(&reports->guest, ret);
    return 0;
}

static void put_process(struct buf *to, const struct agent_process *process)
{
    char state = (char)process->state;

    if (to->size > 1)
        buf_print(to, ",");
    buf_print(to, "{\"pid\":%u,\"parent\":%u,\"uid\":%u,\"threads\":%u,",
              process->pid, process->parent, process->uid, process->threads);
    buf_print(to, "\"state\":");
    json_put_text(to, &state, 1);
    buf_print(to, ",\"rss_bytes\":%llu,\"cpu_us\":%llu,\"started_us\":%llu,",
              (unsigned long long)process->rss_bytes,
              (unsigned long long)process->cpu_ns / 1000,
              (unsigned long long)process->started_ns / 1000);
    buf_print(to, "\"command\":");
    json_put_text(to, process->command, process->command_count);
    buf_print(to, "}");
}

/* The list that came, as JSON. */
static int write_processes(const struct buf *list, char **ret,
                           struct sm_error *err)
{
    struct agent_process process;
    struct wire_reader from;
    struct buf text;
    int rc = 0;

    if (list->failed)
        return fail(err, SM_EPROTO, "processes: too long a list");
    wire_read(&from, list->data, list->size);
    buf_init(&text, list->size * JSON_PER_BYTE + 64);
    buf_print(&text, "[");
    while (!rc && from.left > 0) {
        rc = agent_get_process(&process, &from, err);
        if (!rc)
            put_process(&text, &process);
    }
    buf_print(&text, "]");
    if (rc) {
        buf_done(&text);
        return rc;
    }
    *ret = buf_take_string(&text);
    return *ret ? 0 : fail(err, SM_ENOMEM, "processes: out of memory");
}

int machine_processes(struct machine *machine, char **ret, struct sm_error *err)
{
    struct machine_reports *reports = &machine->reports;
    int rc = check_running(machine, err);

    if (rc)
        return rc;
    if (machine->state == MACHINE_PAUSED)
        return fail(err, SM_ESTATE, "the machine is paused");
    buf_clear(&reports->processes);
    reports->processes_whole = false;
    if (machine->session)
        rc = session_report(machine->session, AGENT_REPORT_PROCESSES, err);
    if (rc)
        return rc;
    reports->processes_owed++;
    if (!machine_turn(machine, &reports->processes_whole, GUEST_PROCESSES_MS))
        return fail(err, SM_ETIMEOUT, "the guest did not answer");
    if (machine->state == MACHINE_STOPPED)
        return tell_end(machine, err);
    rc = write_processes(&reports->processes, ret, err);
    buf_done(&reports->processes);
    buf_init(&reports->processes, AGENT_PROCESSES_MAX);
    return rc;
}
