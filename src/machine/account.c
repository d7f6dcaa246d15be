/* account.c: what a machine's start cost, and what its kernel printed. */
#include "machine/inside.h"

#include "base/bytes.h"
#include "platform/file.h"

#include <stdlib.h>

enum { LOG_BYTES_MAX = 1 << 20 };

const struct machine_config *machine_config(const struct machine *machine)
{
    return &machine->config;
}

int machine_log(const struct machine *machine, char **ret, struct sm_error *err)
{
    uint64_t size = 0;
    uint64_t bytes;
    char *text;
    int rc;

    if (machine->log_fd >= 0) {
        rc = file_size(machine->log_fd, &size, err);
        if (rc)
            return rc;
    }
    bytes = min_u64(size, LOG_BYTES_MAX);
    text = malloc(bytes + 1);
    if (!text)
        return fail(err, SM_ENOMEM, "log: out of memory");
    rc = file_read_at(machine->log_fd, text, bytes, size - bytes, err);
    if (rc) {
        free(text);
        return wrap(err, rc, "log");
    }
    text[bytes] = '\0';
    /* The guest may print NULs; they do not end its log. */
    for (uint64_t i = 0; i < bytes; i++)
        if (!text[i])
            text[i] = ' ';
    *ret = text;
    return 0;
}

static int compare_steps(const void *a, const void *b)
{
    const struct worker_step *left = a;
    const struct worker_step *right = b;

    return (left->at_ns > right->at_ns) - (left->at_ns < right->at_ns);
}

int machine_cost(const struct machine *machine, char **ret,
                 struct sm_error *err)
{
    struct worker_steps steps = machine->steps;
    struct buf text;

    if (!steps.count)
        return fail(err, SM_ESTATE, "cost: the machine was not started");
    qsort(steps.step, steps.count, sizeof steps.step[0], compare_steps);
    buf_init(&text, WORKER_STEPS_MAX * 96 + 64);
    buf_print(&text, "{\"steps\":[");
    for (unsigned i = 0; i < steps.count; i++)
        buf_print(
            &text, "%s{\"name\":\"%s\",\"us\":%llu}", i ? "," : "",
            steps.step[i].name,
            (unsigned long long)(steps.step[i].at_ns - steps.step[0].at_ns) /
                1000);
    buf_print(&text, "]}");
    *ret = buf_take_string(&text);
    if (!*ret)
        return fail(err, SM_ENOMEM, "cost: out of memory");
    return 0;
}
