/* agent_report.c: what the agent tells of its machine; see agent.h. */
#include "proto/agent.h"

#include "base/bytes.h"

static void open_payload(struct wire_reader *from, const struct frame *frame)
{
    wire_read(from, frame->payload, frame->count);
}

static int malformed(const struct frame *frame, struct sm_error *err)
{
    return fail(err, SM_EPROTO, "malformed %s", agent_type_name(frame->type));
}

void agent_put_report(struct buf *to, enum agent_report report)
{
    size_t begin = frame_begin(to, AGENT_REPORT, 0);

    wire_put_u32(to, report);
    frame_end(to, begin);
}

int agent_get_report(enum agent_report *ret, const struct frame *frame,
                     struct sm_error *err)
{
    struct wire_reader from;
    uint32_t report;

    open_payload(&from, frame);
    report = wire_u32(&from);
    if (!wire_ok(&from) || report > AGENT_REPORT_PROCESSES)
        return malformed(frame, err);
    *ret = (enum agent_report)report;
    return 0;
}

void agent_put_figures(struct buf *to, const struct agent_figures *figures)
{
    size_t begin = frame_begin(to, AGENT_FIGURES, 0);

    wire_put_u64(to, figures->memory_total_bytes);
    wire_put_u64(to, figures->memory_available_bytes);
    wire_put_u64(to, figures->memory_cached_bytes);
    wire_put_u64(to, figures->uptime_ns);
    wire_put_u32(to, figures->processes);
    wire_put_u32(to, figures->oom_kills);
    frame_end(to, begin);
}

int agent_get_figures(struct agent_figures *ret, const struct frame *frame,
                      struct sm_error *err)
{
    struct wire_reader from;

    open_payload(&from, frame);
    ret->memory_total_bytes = wire_u64(&from);
    ret->memory_available_bytes = wire_u64(&from);
    ret->memory_cached_bytes = wire_u64(&from);
    ret->uptime_ns = wire_u64(&from);
    ret->processes = wire_u32(&from);
    ret->oom_kills = wire_u32(&from);
    return wire_ok(&from) ? 0 : malformed(frame, err);
}

void agent_put_process(struct buf *to, const struct agent_process *process)
{
    wire_put_u32(to, process->pid);
    wire_put_u32(to, process->parent);
    wire_put_u32(to, process->uid);
    wire_put_u32(to, process->threads);
    wire_put_u8(to, process->state);
    wire_put_u64(to, process->rss_bytes);
    wire_put_u64(to, process->cpu_ns);
    wire_put_u64(to, process->started_ns);
    wire_put_blob(to, process->command,
                  min_u64(process->command_count, AGENT_COMMAND_MAX));
}

int agent_get_process(struct agent_process *ret, struct wire_reader *from,
                      struct sm_error *err)
{
    ret->pid = wire_u32(from);
    ret->parent = wire_u32(from);
    ret->uid = wire_u32(from);
    ret->threads = wire_u32(from);
    ret->state = wire_u8(from);
    ret->rss_bytes = wire_u64(from);
    ret->cpu_ns = wire_u64(from);
    ret->started_ns = wire_u64(from);
    ret->command = (const char *)wire_blob(from, &ret->command_count);
    if (!wire_ok(from) || ret->command_count > AGENT_COMMAND_MAX)
        return fail(err, SM_EPROTO, "malformed PROCESSES");
    return 0;
}

void agent_put_oom(struct buf *to, const struct agent_oom *oom)
{
    struct buf payload;

    /* An older host can do without. */
    buf_init(&payload, sizeof *oom + 8);
    wire_put_u32(&payload, oom->pid);
    wire_put_string(&payload, oom->name);
    if (!payload.failed)
        frame_put(to, &(struct frame){.type = AGENT_OOM,
                                      .flags = AGENT_MAY_IGNORE,
                                      .count = (uint32_t)payload.size,
                                      .payload = payload.data});
    buf_done(&payload);
}

int agent_get_oom(struct agent_oom *ret, const struct frame *frame,
                  struct sm_error *err)
{
    struct wire_reader from;
    const uint8_t *name;
    size_t count;

    open_payload(&from, frame);
    ret->pid = wire_u32(&from);
    name = wire_blob(&from, &count);
    if (!wire_ok(&from))
        return malformed(frame, err);
    count = min_u64(count, sizeof ret->name - 1);
    for (size_t i = 0; i < count; i++)
        ret->name[i] = name[i] < ' ' || name[i] > '~' ? '?' : (char)name[i];
    ret->name[count] = '\0';
    return 0;
}
