/* agent_session.c: fuzzes the host end of a session with a hostile guest.
 *
 * The input is what the guest says after its HELLO, while programs with every
 * kind of port are under way.
 */
#include "base/bytes.h"
#include "exec/exec.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

enum { PROGRAMS = 3 };

struct play {
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

static const struct session_events session_events = {.closed = closed};
static const struct exec_events exec_events = {.ended = ended};

static void start_programs(struct play *play, struct session *session, int null)
{
    static const char *const argv[] = {"x", NULL};
    static const enum exec_port_kind kinds[PROGRAMS] = {EXEC_NONE, EXEC_FD,
                                                        EXEC_BYTES};

    for (unsigned i = 0; i < PROGRAMS; i++) {
        struct exec_options options = {
            .program.argv = argv, .events = &exec_events, .context = play};

        for (unsigned k = 0; k < AGENT_STREAMS; k++)
            options.ports[k] = (struct exec_port){kinds[i], null};
        if (exec_start(session, &options, &play->execs[i], NULL))
            abort();
    }
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
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct play play = {0};
    struct session *session;
    struct loop *loop;
    struct buf first;
    int ends[2];

    if (null < 0 || loop_new(&loop, NULL) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ||
        session_open(loop, ends[0], &session_events, &play, &session, NULL))
        abort();
    start_programs(&play, session, null);
    buf_init(&first, 4096);
    agent_put_hello(&first, &hello);
    say(loop, &play, ends[1], first.data, first.size);
    buf_done(&first);
    say(loop, &play, ends[1], bytes, count);
    shutdown(ends[1], SHUT_RDWR);
    while (!play.closed)
        loop_turn(loop, -1);
    if (play.ended != PROGRAMS)
        abort();
    session_close(session);
    for (unsigned i = 0; i < PROGRAMS; i++)
        exec_free(play.execs[i]);
    loop_free(loop);
    close(ends[1]);
    close(null);
    return 0;
}
