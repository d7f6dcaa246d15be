/* measure_files.c: how fast trees go through a session: the agent as an
 * ordinary process, a socket pair instead of vsock, both ends on this machine.
 *
 *     measure_files FROM TO
 *
 * FROM comes out of the agent to TO/out, and goes into it to TO/in; TO is an
 * empty folder. Not a test: it prints MB/s, of content.
 */
#include "stand.h"

#include "base/bytes.h"
#include "base/queue.h"
#include "files/pack.h"
#include "files/unpack.h"
#include "platform/clock.h"
#include "proto/files.h"

#include <stdio.h>
#include <stdlib.h>

/* What copying.c and a machine's program do, without a machine. */
struct flow {
    struct loop *loop;
    struct exec *exec;
    struct queue wait;
    bool out_ended;
    bool ended;
    struct exec_end end;
};

static void output(void *context, enum agent_stream stream,
                   const uint8_t *bytes, size_t count)
{
    struct flow *flow = context;

    if (stream == AGENT_ERR && count > 0)
        fprintf(stderr, "%.*s\n", (int)count, (const char *)bytes);
    else if (stream == AGENT_OUT && count == 0)
        flow->out_ended = true;
    else if (stream == AGENT_OUT && !queue_put(&flow->wait, bytes, count))
        abort();
}

static void ended(void *context, const struct exec_end *end)
{
    struct flow *flow = context;

    flow->ended = flow->out_ended = true;
    flow->end = *end;
}

static const struct exec_events events = {.output = output, .ended = ended};

static int64_t read_flow(void *context, void *to, size_t capacity,
                         struct sm_error *err)
{
    struct flow *flow = context;

    (void)err;
    while (queue_count(&flow->wait) == 0 && !flow->out_ended)
        loop_turn(flow->loop, -1);
    capacity = min_u64(capacity, queue_count(&flow->wait));
    if (capacity == 0)
        return 0;
    memcpy(to, queue_front(&flow->wait), capacity);
    queue_drop(&flow->wait, capacity);
    exec_consumed(flow->exec, AGENT_OUT, capacity);
    return (int64_t)capacity;
}

static int write_flow(void *context, const void *bytes, size_t count,
                      struct sm_error *err)
{
    struct flow *flow = context;
    const uint8_t *from = bytes;

    (void)err;
    while (count > 0) {
        size_t done = exec_write(flow->exec, from, count);

        from += done;
        count -= done;
        if (count > 0)
            loop_turn(flow->loop, -1);
    }
    return 0;
}

static void open_flow(struct flow *flow, struct stand *stand,
                      const struct files_request *request)
{
    char numbers[2][FILES_NUMBER_BYTES];
    const char *argv[FILES_WORDS + 1];
    struct exec_options options = {
        .program = {.argv = argv, .flags = AGENT_EXEC_FILES, .umask = 022},
        .events = &events,
        .context = flow,
    };

    *flow = (struct flow){.loop = stand->loop};
    queue_init(&flow->wait, EXEC_WINDOW);
    files_put(request, argv, numbers);
    for (int i = 0; i < AGENT_STREAMS; i++)
        options.ports[i].kind = EXEC_BYTES;
    if (exec_start(stand->session, &options, &flow->exec, NULL))
        abort();
}

static void finish(struct flow *flow, int rc, const char *what,
                   const struct sm_error *err, uint64_t bytes, uint64_t began)
{
    double seconds;

    while (!flow->ended)
        loop_turn(flow->loop, -1);
    seconds = (double)(clock_monotonic_ns() - began) / NS_PER_S;
    if (rc || flow->end.status) {
        fprintf(stderr, "%s: %s (%d)\n", what, err->message, flow->end.status);
        exit(1);
    }
    printf("%s: %.1f MB in %.2f s: %.0f MB/s\n", what, (double)bytes / 1e6,
           seconds, (double)bytes / 1e6 / seconds);
    exec_free(flow->exec);
    queue_done(&flow->wait);
}

static void measure_out(struct stand *stand, const char *from, const char *to)
{
    const struct unpack_config config = {
        .path = to, .place = true, .owners = true, .privileged = true};
    struct flow flow;
    const struct pax_input in = {.read = read_flow, .context = &flow};
    uint64_t began = clock_monotonic_ns();
    uint64_t bytes = 0;
    struct sm_error err = {0};
    int rc;

    open_flow(&flow, stand,
              &(struct files_request){.work = FILES_PACK, .path = from});
    rc = unpack(&config, &in, &bytes, &err);
    finish(&flow, rc, "out", &err, bytes, began);
}

static void measure_in(struct stand *stand, const char *from, const char *to)
{
    const struct pack_config config = {.path = from};
    struct flow flow;
    const struct pax_output out = {.write = write_flow, .context = &flow};
    uint64_t began = clock_monotonic_ns();
    uint64_t bytes = 0;
    struct sm_error err = {0};
    int rc;

    open_flow(&flow, stand,
              &(struct files_request){.work = FILES_UNPACK,
                                      .path = to,
                                      .flags = FILES_PLACE | FILES_OWNERS});
    rc = pack(&config, &out, &bytes, &err);
    exec_write_end(flow.exec);
    finish(&flow, rc, "in", &err, bytes, began);
}

int main(int argc, char **argv)
{
    struct stand stand;
    char to[512];

    if (argc != 3)
        return fprintf(stderr, "usage: measure_files FROM TO\n"), 2;
    stand_start(&stand, 0);
    snprintf(to, sizeof to, "%s/out", argv[2]);
    measure_out(&stand, argv[1], to);
    snprintf(to, sizeof to, "%s/in", argv[2]);
    measure_in(&stand, argv[1], to);
    stand_stop(&stand);
    return 0;
}
