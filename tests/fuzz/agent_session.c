/* agent_session.c: fuzzes the host end of a session with a hostile guest.
 *
 * The input is what the guest says after its HELLO, while programs with every
 * kind of port are under way; by the first byte the machine is to be held
 * again and again, or is to become another one.
 */
#include "base/bytes.h"
#include "exec/exec.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

enum { PROGRAMS = 3 };

enum { PLAIN, HOLDING, CLONING, MODES };

struct play {
    struct session *session;
    struct exec *execs[PROGRAMS];
    unsigned ended;
    bool closed;
};

static void ended(void *context, const struct exec_end *end)
{
    (void)end;
    ((struct play *)context)->ended++;
}

static void closed(void *context, const struct sm_error *why)
{
    if (why->code == 0)
        abort();
    ((struct play *)context)->closed = true;
}

/* And again. */
static void held(void *context, const struct sm_error *why)
{
    struct play *play = context;

    if (why && why->code == 0)
        abort();
    session_ping(play->session, 1, NULL);
    if (!why && session_release(play->session, NULL))
        abort();
    session_hold(play->session, NULL);
}

static const struct session_events session_events = {.held = held,
                                                     .closed = closed};
static const struct exec_events exec_events = {.ended = ended};

static void start_programs(struct play *play, int mode, int null)
{
    static const char *const argv[] = {"x", NULL};
    static const enum exec_port_kind kinds[PROGRAMS] = {EXEC_NONE, EXEC_FD,
                                                        EXEC_BYTES};

    for (unsigned i = 0; i < PROGRAMS; i++) {
        struct exec_options options = {
            .program.argv = argv, .events = &exec_events, .context = play};

        for (unsigned k = 0; k < AGENT_STREAMS; k++)
            options.ports[k] = (struct exec_port){kinds[i], null};
        if (mode == CLONING
                ? exec_resume(play->session, &options, 100 + i, &play->execs[i],
                              NULL)
                : exec_start(play->session, &options, &play->execs[i], NULL))
            abort();
    }
}

/* What the host does before the guest says anything that counts. */
static void begin(struct play *play, int mode, int null)
{
    static const uint8_t entropy[AGENT_ENTROPY_MIN];
    const struct agent_clone clone = {
        .entropy = entropy, .entropy_count = sizeof entropy, .generation = {1}};

    if (mode == CLONING)
        session_restored(play->session);
    start_programs(play, mode, null);
    if (mode == CLONING && session_clone(play->session, &clone, NULL))
        abort();
}

/* The guest says all at once and leaves: a stream socket takes it in pieces. */
static void say(struct loop *loop, const struct play *play, int fd,
                const uint8_t *bytes, size_t count)
{
    while (count > 0 && !play->closed) {
        ssize_t some = send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (some > 0) {
            bytes += some;
            count -= (size_t)some;
        }
        loop_turn(loop, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct agent_hello hello = {.version = AGENT_VERSION};
    int mode = count > 0 ? bytes[0] % MODES : PLAIN;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct play play = {0};
    struct loop *loop;
    struct buf first;
    int ends[2];

    if (null < 0 || loop_new(&loop, NULL) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ||
        session_open(loop, ends[0], &session_events, &play, &play.session,
                     NULL))
        abort();
    begin(&play, mode, null);
    buf_init(&first, 4096);
    if (mode != CLONING)
        agent_put_hello(&first, &hello);
    say(loop, &play, ends[1], first.data, first.size);
    buf_done(&first);
    if (mode == HOLDING) {
        loop_turn(loop, 0);
        session_hold(play.session, NULL);
    }
    if (count > 0) {
        bytes++;
        count--;
    }
    say(loop, &play, ends[1], bytes, count);
    shutdown(ends[1], SHUT_RDWR);
    while (!play.closed)
        loop_turn(loop, -1);
    if (play.ended != PROGRAMS)
        abort();
    session_close(play.session);
    for (unsigned i = 0; i < PROGRAMS; i++)
        exec_free(play.execs[i]);
    loop_free(loop);
    close(ends[1]);
    close(null);
    return 0;
}
