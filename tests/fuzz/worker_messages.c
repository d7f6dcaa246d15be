/* worker_messages.c: fuzzes what library and worker read from each other.
 *
 * The first byte chooses the message, the rest is what stands behind its type.
 * What is taken must keep the promises of worker.h, and must be taken again
 * after it was written anew. */
#include "proto/worker.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 1 << 21, TYPE_BYTES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* Stands behind the type of the message in (buf). */
static struct wire_reader read_again(const struct buf *buf)
{
    struct wire_reader from;

    check(!buf->failed);
    wire_read(&from, buf->data + TYPE_BYTES, buf->size - TYPE_BYTES);
    return from;
}

static void try_start(struct wire_reader from, struct buf *again)
{
    struct wire_reader whole = from;
    struct worker_start start;

    if (worker_get_start(&from, &start, NULL) == 0) {
        worker_put_start(again, &start);
        check(!again->failed && again->size == TYPE_BYTES + whole.left &&
              memcmp(again->data + TYPE_BYTES, whole.at, whole.left) == 0);
    }
    worker_start_done(&start);
}

static void try_probed(struct wire_reader from, struct buf *again)
{
    struct wire_reader whole = from;
    struct worker_probed probed = {0};

    if (worker_get_probed(&from, &probed, NULL) == 0) {
        check(probed.verdict <= WORKER_UNUSABLE);
        worker_put_probed(again, &probed);
        check(!again->failed && again->size == TYPE_BYTES + whole.left &&
              memcmp(again->data + TYPE_BYTES, whole.at, whole.left) == 0);
    }
    worker_probed_done(&probed);
}

static void try_steps(struct wire_reader from, struct buf *again)
{
    struct worker_steps steps;
    struct worker_steps same;

    if (worker_get_steps(&from, &steps, NULL) != 0)
        return;
    check(steps.count <= WORKER_STEPS_MAX);
    worker_put_steps(again, &steps);
    from = read_again(again);
    check(worker_get_steps(&from, &same, NULL) == 0);
    check(same.count == steps.count);
    for (unsigned i = 0; i < same.count; i++)
        check(strcmp(same.step[i].name, steps.step[i].name) == 0 &&
              same.step[i].at_ns == steps.step[i].at_ns);
}

static void try_ended(struct wire_reader from, struct buf *again)
{
    struct worker_ended ended;
    struct worker_ended same;

    if (worker_get_ended(&from, &ended, NULL) != 0)
        return;
    check(ended.end <= WORKER_END_EXPIRED &&
          !strchr(ended.error.message, '\n'));
    worker_put_ended(again, &ended);
    from = read_again(again);
    check(worker_get_ended(&from, &same, NULL) == 0);
    check(same.end == ended.end && same.error.code == ended.error.code &&
          same.error.os_error == ended.error.os_error &&
          strcmp(same.error.message, ended.error.message) == 0);
}

static void try_saved(struct wire_reader from, struct buf *again)
{
    struct worker_saved saved;
    struct worker_saved same;

    if (worker_get_saved(&from, &saved, NULL) != 0)
        return;
    check(!strchr(saved.error.message, '\n'));
    worker_put_saved(again, &saved);
    from = read_again(again);
    check(worker_get_saved(&from, &same, NULL) == 0);
    check(same.memory_bytes == saved.memory_bytes &&
          same.error.code == saved.error.code &&
          strcmp(same.error.message, saved.error.message) == 0);
}

static void try_merged(struct wire_reader from, struct buf *again)
{
    struct worker_merged merged;
    struct worker_merged same;

    if (worker_get_merged(&from, &merged, NULL) != 0)
        return;
    check(!strchr(merged.error.message, '\n'));
    worker_put_merged(again, &merged);
    from = read_again(again);
    check(worker_get_merged(&from, &same, NULL) == 0);
    check(same.error.code == merged.error.code &&
          strcmp(same.error.message, merged.error.message) == 0);
}

static void try_save(struct wire_reader from, struct buf *again)
{
    struct wire_reader whole = from;
    struct worker_save save = {0};

    if (worker_get_save(&from, &save, NULL) == 0) {
        worker_put_save(again, &save);
        check(!again->failed && again->size == TYPE_BYTES + whole.left &&
              memcmp(again->data + TYPE_BYTES, whole.at, whole.left) == 0);
    }
    worker_save_done(&save);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static void (*const tries[])(struct wire_reader, struct buf *) = {
        try_start, try_probed, try_steps, try_ended,
        try_save,  try_saved,  try_merged};
    struct wire_reader from;
    enum worker_type type;
    struct buf again;

    wire_read(&from, bytes, count);
    worker_get_type(&from, &type, NULL);
    if (count == 0)
        return 0;
    wire_read(&from, bytes + 1, count - 1);
    buf_init(&again, MESSAGE_BYTES);
    tries[bytes[0] % (sizeof tries / sizeof tries[0])](from, &again);
    buf_done(&again);
    return 0;
}
