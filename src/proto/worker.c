/* worker.c: messages between library and worker; see worker.h. */
#include "proto/worker.h"

#include "base/own.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *worker_end_text(enum worker_end end)
{
    switch (end) {
    case WORKER_END_POWER_OFF:
        return "the machine powered off";
    case WORKER_END_REBOOT:
        return "the machine asked for a restart";
    case WORKER_END_PANIC:
        return "the guest's kernel panicked";
    case WORKER_END_CRASH:
        return "the guest crashed its processor (triple fault)";
    case WORKER_END_STOPPED:
        return "the machine was stopped";
    case WORKER_END_FAILED:
        return "the machine failed";
    case WORKER_END_EXPIRED:
        return "the machine's life-time was over";
    }
    return "the machine ended";
}

void worker_put_simple(struct buf *to, enum worker_type type)
{
    wire_put_u16(to, WORKER_VERSION);
    wire_put_u16(to, (uint16_t)type);
}

void worker_put_start(struct buf *to, const struct worker_start *start)
{
    worker_put_simple(to, WORKER_START);
    wire_put_u64(to, start->memory_bytes);
    wire_put_u32(to, start->vcpus);
    wire_put_u32(to, start->lifetime_ms);
    wire_put_string(to, start->kernel_args);
    wire_put_string(to, start->snapshot);
    wire_put_u64(to, start->state_at);
    wire_put_u32(to, start->fds);
}

void worker_put_save(struct buf *to, const struct worker_save *save)
{
    worker_put_simple(to, WORKER_SAVE);
    wire_put_string(to, save->snapshot);
    wire_put_u64(to, save->state_at);
    wire_put_u32(to, save->flags);
    wire_put_u32(to, save->fds);
}

void worker_put_captured(struct buf *to, const struct worker_captured *captured)
{
    worker_put_simple(to, WORKER_CAPTURED);
    wire_put_u64(to, captured->paused_ns);
    wire_put_string(to, captured->hypervisor);
}

static void put_error(struct buf *to, const struct sm_error *error)
{
    wire_put_u32(to, (uint32_t)-error->code);
    wire_put_u32(to, (uint32_t)error->os_error);
    wire_put_string(to, error->message);
}

void worker_put_saved(struct buf *to, const struct worker_saved *saved)
{
    worker_put_simple(to, WORKER_SAVED);
    wire_put_u64(to, saved->memory_bytes);
    put_error(to, &saved->error);
}

void worker_put_merged(struct buf *to, const struct worker_merged *merged)
{
    worker_put_simple(to, WORKER_MERGED);
    put_error(to, &merged->error);
}

void worker_put_probed(struct buf *to, const struct worker_probed *probed)
{
    worker_put_simple(to, WORKER_PROBED);
    wire_put_u32(to, (uint32_t)probed->verdict);
    wire_put_u64(to, probed->loop_ns);
    wire_put_string(to, probed->hypervisor);
    wire_put_string(to, probed->detail);
}

void worker_put_steps(struct buf *to, const struct worker_steps *steps)
{
    worker_put_simple(to, WORKER_STEPS);
    wire_put_u32(to, steps->count);
    for (unsigned i = 0; i < steps->count; i++) {
        wire_put_string(to, steps->step[i].name);
        wire_put_u64(to, steps->step[i].at_ns);
    }
}

void worker_put_ended(struct buf *to, const struct worker_ended *ended)
{
    worker_put_simple(to, WORKER_ENDED);
    wire_put_u32(to, (uint32_t)ended->end);
    put_error(to, &ended->error);
}

int worker_get_type(struct wire_reader *from, enum worker_type *ret,
                    struct sm_error *err)
{
    unsigned version = wire_u16(from);
    unsigned type = wire_u16(from);

    if (!wire_ok(from))
        return fail(err, SM_EPROTO, "worker: message too short");
    if (version != WORKER_VERSION)
        return fail(err, SM_EPROTO,
                    "worker: speaks version %u, the library %d: install both "
                    "from one release",
                    version, WORKER_VERSION);
    *ret = (enum worker_type)type;
    return 0;
}

static int finish(const struct wire_reader *from, const char *what,
                  struct sm_error *err)
{
    return wire_end(from) ? 0 : wire_refuse(from, err, what);
}

int worker_get_start(struct wire_reader *from, struct worker_start *ret,
                     struct sm_error *err)
{
    ret->memory_bytes = wire_u64(from);
    ret->vcpus = wire_u32(from);
    ret->lifetime_ms = wire_u32(from);
    ret->kernel_args = wire_string(from);
    ret->snapshot = wire_string(from);
    ret->state_at = wire_u64(from);
    ret->fds = wire_u32(from);
    return finish(from, "start message of the worker", err);
}

int worker_get_save(struct wire_reader *from, struct worker_save *ret,
                    struct sm_error *err)
{
    ret->snapshot = wire_string(from);
    ret->state_at = wire_u64(from);
    ret->flags = wire_u32(from);
    ret->fds = wire_u32(from);
    if (ret->flags &
        ~(uint32_t)(WORKER_SAVE_DIFFERENTIAL | WORKER_SAVE_DURABLE))
        return fail(err, SM_EPROTO, "worker: unknown flags %#x", ret->flags);
    return finish(from, "save message of the worker", err);
}

void worker_save_done(struct worker_save *save)
{
    free(save->snapshot);
    *save = (struct worker_save){0};
}

void worker_start_done(struct worker_start *start)
{
    free(start->kernel_args);
    free(start->snapshot);
    *start = (struct worker_start){0};
}

int worker_get_probed(struct wire_reader *from, struct worker_probed *ret,
                      struct sm_error *err)
{
    uint32_t verdict = wire_u32(from);

    ret->loop_ns = wire_u64(from);
    ret->hypervisor = wire_string(from);
    ret->detail = wire_string(from);
    if (verdict > WORKER_UNUSABLE)
        return fail(err, SM_EPROTO, "worker: unknown verdict %u", verdict);
    ret->verdict = (enum worker_verdict)verdict;
    return finish(from, "probe message of the worker", err);
}

void worker_probed_done(struct worker_probed *probed)
{
    free(probed->hypervisor);
    free(probed->detail);
    *probed = (struct worker_probed){0};
}

/* A string of the record in an array of (capacity), cut if it is longer. */
static void get_text(struct wire_reader *from, char *to, size_t capacity)
{
    size_t count;
    const uint8_t *at = wire_blob(from, &count);

    snprintf(to, capacity, "%.*s", at ? (int)count : 0,
             at ? (const char *)at : "");
}

int worker_get_captured(struct wire_reader *from, struct worker_captured *ret,
                        struct sm_error *err)
{
    ret->paused_ns = wire_u64(from);
    get_text(from, ret->hypervisor, sizeof ret->hypervisor);
    return finish(from, "captured message of the worker", err);
}

int worker_get_steps(struct wire_reader *from, struct worker_steps *ret,
                     struct sm_error *err)
{
    /* So that a name goes into JSON as it is. */
    static const char step_letters[] = "abcdefghijklmnopqrstuvwxyz ";
    uint32_t count = wire_u32(from);

    *ret = (struct worker_steps){0};
    if (count > WORKER_STEPS_MAX)
        return fail(err, SM_EPROTO, "worker: %u steps, at most %d", count,
                    WORKER_STEPS_MAX);
    for (; ret->count < count; ret->count++) {
        struct worker_step *step = &ret->step[ret->count];

        get_text(from, step->name, sizeof step->name);
        step->at_ns = wire_u64(from);
        if (strspn(step->name, step_letters) != strlen(step->name))
            return fail(err, SM_EPROTO, "worker: malformed name of a step");
    }
    return finish(from, "steps message of the worker", err);
}

/* Codes are -1, -2 and so on without a gap: as many as there are names. */
#define COUNT_CODE(name, value, text) +1
enum { ERROR_CODES = 0 SM_ERRORS(COUNT_CODE) };
#undef COUNT_CODE

/* What the other end says of an error; the text is checked no further. */
static int get_error(struct wire_reader *from, struct sm_error *ret,
                     struct sm_error *err)
{
    uint32_t code = wire_u32(from);
    uint32_t os_error = wire_u32(from);
    char message[sizeof ret->message];

    get_text(from, message, sizeof message);
    if (code > ERROR_CODES || os_error > INT_MAX)
        return fail(err, SM_EPROTO, "worker: unknown error %u, %u", code,
                    os_error);
    fail(ret, -(int)code, "%s", message);
    ret->os_error = (int)os_error;
    return 0;
}

int worker_get_saved(struct wire_reader *from, struct worker_saved *ret,
                     struct sm_error *err)
{
    int rc;

    ret->memory_bytes = wire_u64(from);
    rc = get_error(from, &ret->error, err);
    return rc ? rc : finish(from, "saved message of the worker", err);
}

int worker_get_merged(struct wire_reader *from, struct worker_merged *ret,
                      struct sm_error *err)
{
    int rc = get_error(from, &ret->error, err);

    return rc ? rc : finish(from, "merged message of the worker", err);
}

int worker_get_ended(struct wire_reader *from, struct worker_ended *ret,
                     struct sm_error *err)
{
    uint32_t end = wire_u32(from);
    int rc;

    *ret = (struct worker_ended){0};
    rc = get_error(from, &ret->error, err);
    if (rc)
        return rc;
    if (end > WORKER_END_EXPIRED)
        return fail(err, SM_EPROTO, "worker: unknown end %u", end);
    ret->end = (enum worker_end)end;
    return finish(from, "end message of the worker", err);
}

/* All are u64, in this order. */
enum { FIGURE_COUNT = sizeof(struct worker_figures) / sizeof(uint64_t) };

void worker_put_figures(struct buf *to, const struct worker_figures *figures)
{
    uint64_t numbers[FIGURE_COUNT];

    memcpy(numbers, figures, sizeof numbers);
    worker_put_simple(to, WORKER_FIGURES);
    for (unsigned i = 0; i < FIGURE_COUNT; i++)
        wire_put_u64(to, numbers[i]);
}

int worker_get_figures(struct wire_reader *from, struct worker_figures *ret,
                       struct sm_error *err)
{
    uint64_t numbers[FIGURE_COUNT];

    for (unsigned i = 0; i < FIGURE_COUNT; i++)
        numbers[i] = wire_u64(from);
    memcpy(ret, numbers, sizeof *ret);
    return finish(from, "figures", err);
}

unsigned worker_pack_fds(const int *fds, unsigned count, int *to,
                         uint32_t *mask)
{
    unsigned packed = 0;

    *mask = 0;
    for (unsigned i = 0; i < count; i++)
        if (fds[i] >= 0) {
            *mask |= UINT32_C(1) << i;
            to[packed++] = fds[i];
        }
    return packed;
}

int worker_unpack_fds(int *from, unsigned packed, uint32_t mask, int *fds,
                      unsigned count, struct sm_error *err)
{
    unsigned taken = 0;

    for (unsigned i = 0; i < count; i++)
        fds[i] =
            mask >> i & 1 && taken < packed ? own_take_fd(&from[taken++]) : -1;
    if (mask >> count == 0 && taken == packed &&
        (unsigned)__builtin_popcount(mask) == packed)
        return 0;
    return fail(err, SM_EPROTO, "worker: %u descriptors do not fit %#x", packed,
                mask);
}

void worker_step_add(struct worker_steps *steps, const char *name,
                     uint64_t at_ns)
{
    struct worker_step *step;

    if (steps->count == WORKER_STEPS_MAX)
        return;
    step = &steps->step[steps->count++];
    snprintf(step->name, sizeof step->name, "%s", name);
    step->at_ns = at_ns;
}
