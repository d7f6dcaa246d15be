/* bed-daemon.c - the parent of a bed's QEMU, and what its clients talk to.
 *
 * One thread, one poll. QEMU is told by the kernel to die with its parent, so
 * a killed daemon leaves nothing behind. QEMU's own output and the bed's
 * serial console end in a ring here, shown only when the bed breaks.
 */
#include "bed.h"
#include "mux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONSOLE_BYTES   (12u << 10)
#define REQUEST_SECONDS 10 /* a client gets its request out within this */

/* free -> open: a client's request went to the agent
 * open -> dying: the client went away, the agent was told to kill
 * open -> drained: EXIT came, sinks still hold bytes
 * dying, drained -> free */
enum session_state { FREE, OPEN, DYING, DRAINED };

struct session {
    enum session_state state;
    int control;
    uint32_t status;
    struct mux_stream streams[MUX_STREAMS];
};

struct daemon {
    const struct bed_options *options;
    int listen_fd, private_fd, ready_fd, signal_fd, console_fd;
    int stop_fd; /* the client that asked for the end */
    pid_t qemu;
    bool up, over;
    char why[256]; /* set when the bed broke */
    int64_t deadline_ms;
    struct mux mux;
    struct session sessions[MUX_SESSIONS];
    char console[CONSOLE_BYTES];
    size_t console_end; /* bytes ever written */
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void say_ready(struct daemon *daemon, const char *text)
{
    if (daemon->ready_fd < 0)
        return;
    if (write(daemon->ready_fd, text, strlen(text)) < 0) {
        /* The starter has gone; the bed is there all the same. */
    }
    close(daemon->ready_fd);
    daemon->ready_fd = -1;
}

static void reply(int fd, uint32_t kind, uint32_t status, const char *text,
                  size_t length)
{
    struct bed_reply answer = {
        .kind = kind,
        .status = status,
        .length = (uint32_t)length,
    };
    struct iovec parts[2] = {
        {.iov_base = &answer, .iov_len = sizeof(answer)},
        {.iov_base = (char *)(uintptr_t)text, .iov_len = length},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    /* A client that has gone shows itself in poll. */
    (void)!sendmsg(fd, &message, MSG_NOSIGNAL);
}

static bool start_qemu(struct daemon *daemon)
{
    int line[2], console[2];
    pid_t self = getpid();

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) < 0 ||
        pipe2(console, O_CLOEXEC) < 0)
        return false;
    daemon->qemu = fork();
    if (daemon->qemu == 0)
        bed_become_qemu(daemon->options, line[1], console[1], self);
    close(line[1]);
    close(console[1]);
    mux_init(&daemon->mux, line[0]);
    daemon->console_fd = console[0];
    fcntl(console[0], F_SETFL, O_NONBLOCK);
    return daemon->qemu > 0;
}

static void read_console(struct daemon *daemon)
{
    char chunk[4096];
    ssize_t n;

    while ((n = read(daemon->console_fd, chunk, sizeof(chunk))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            daemon->console[daemon->console_end++ % CONSOLE_BYTES] = chunk[i];
    }
    if (n == 0) {
        close(daemon->console_fd);
        daemon->console_fd = -1;
    }
}

/* "the test bed ended", then the console's last bytes. */
static size_t describe(struct daemon *daemon, char *text, size_t size)
{
    size_t from = 0, length = (size_t)snprintf(text, size, "%s; its console:\n",
                                               daemon->why);

    if (daemon->console_end > CONSOLE_BYTES)
        from = daemon->console_end - CONSOLE_BYTES;
    for (; from < daemon->console_end && length < size - 1; from++) {
        char c = daemon->console[from % CONSOLE_BYTES];

        if (c != '\r' && c != '\0')
            text[length++] = c;
    }
    text[length] = '\0';
    return length;
}

static void break_bed(struct daemon *daemon, const char *why)
{
    if (daemon->over)
        return;
    snprintf(daemon->why, sizeof(daemon->why), "%s", why);
    daemon->over = true;
}

static bool idle(const struct daemon *daemon)
{
    for (int i = 0; i < MUX_SESSIONS; i++) {
        if (daemon->sessions[i].state != FREE)
            return false;
    }
    return true;
}

static void session_free(struct daemon *daemon, struct session *session)
{
    for (int i = 0; i < MUX_STREAMS; i++)
        stream_close(&session->streams[i]);
    if (session->control >= 0)
        close(session->control);
    session->control = -1;
    session->state = FREE;
    if (daemon->private_fd >= 0)
        daemon->over = true;
    if (daemon->options->idle_seconds > 0 && idle(daemon))
        daemon->deadline_ms =
            now_ms() + (int64_t)daemon->options->idle_seconds * 1000;
}

/* A drained session is over once its sinks have got rid of everything. */
static void session_settle(struct daemon *daemon, struct session *session)
{
    if (session->state != DRAINED || session->streams[1].fd >= 0 ||
        session->streams[2].fd >= 0)
        return;
    reply(session->control, BED_EXITED, session->status, NULL, 0);
    session_free(daemon, session);
}

static void session_abandon(struct daemon *daemon, struct session *session)
{
    unsigned number = (unsigned)(session - daemon->sessions);

    if (session->state == DRAINED) {
        session_free(daemon, session);
        return;
    }
    mux_send(&daemon->mux, MUX_KILL, number, 0, NULL, 0);
    for (int i = 0; i < MUX_STREAMS; i++)
        stream_close(&session->streams[i]);
    close(session->control);
    session->control = -1;
    session->state = DYING;
    if (daemon->private_fd >= 0)
        daemon->over = true;
}

static bool receive(int fd, void *data, size_t length)
{
    char *at = data;

    while (length > 0) {
        ssize_t n = recv(fd, at, length, 0);

        if (n <= 0)
            return false;
        at += n;
        length -= (size_t)n;
    }
    return true;
}

/* The fixed part of a request, with the descriptors that came beside it. */
static bool receive_control(int fd, struct bed_control *control, int got[3])
{
    struct iovec part = {.iov_base = control, .iov_len = sizeof(*control)};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } space = {0};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = space.bytes,
        .msg_controllen = sizeof(space.bytes),
    };
    struct timeval patience = {.tv_sec = REQUEST_SECONDS};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    got[0] = got[1] = got[2] = -1;
    if (header != NULL && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(3 * sizeof(int)))
        memcpy(got, CMSG_DATA(header), 3 * sizeof(int));
    return n == (ssize_t)sizeof(*control) && control->magic == BED_MAGIC &&
           control->length <= MUX_PAYLOAD_MAX;
}

static void open_session(struct daemon *daemon, int fd, const int got[3],
                         const void *request, size_t length)
{
    static const char full[] = "the test bed has too many commands";
    int number = 0;

    while (number < MUX_SESSIONS && daemon->sessions[number].state != FREE)
        number++;
    if (number == MUX_SESSIONS) {
        reply(fd, BED_BROKEN, 0, full, sizeof(full) - 1);
        for (int i = 0; i < 3; i++)
            close(got[i]);
        close(fd);
        return;
    }
    struct session *session = &daemon->sessions[number];

    session->state = OPEN;
    session->control = fd;
    for (unsigned i = 0; i < MUX_STREAMS; i++)
        stream_init(&session->streams[i], got[i], (unsigned)number, i, i == 0);
    mux_send(&daemon->mux, MUX_OPEN, (unsigned)number, 0, request, length);
    reply(fd, BED_STARTED, 0, NULL, 0);
    daemon->deadline_ms = INT64_MAX;
}

/* Takes over fd, whose client has a request. */
static void take_request(struct daemon *daemon, int fd)
{
    static const char bad[] = "the test bed was started by another version";
    struct bed_control control;
    int got[3];

    if (!receive_control(fd, &control, got)) {
        reply(fd, BED_BROKEN, 0, bad, sizeof(bad) - 1);
        close(fd);
        return;
    }
    if (control.kind == BED_STOP) {
        daemon->stop_fd = fd;
        daemon->over = true;
        return;
    }
    void *request = malloc(control.length + 1);

    if (request == NULL || got[2] < 0 ||
        !receive(fd, request, control.length)) {
        for (int i = 0; i < 3; i++) {
            if (got[i] >= 0)
                close(got[i]);
        }
        close(fd);
    } else {
        open_session(daemon, fd, got, request, control.length);
    }
    free(request);
}

static void accept_client(struct daemon *daemon)
{
    int fd = accept4(daemon->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    struct ucred peer;
    socklen_t length = sizeof(peer);

    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ||
        (peer.uid != geteuid() && peer.uid != 0)) {
        close(fd);
        return;
    }
    take_request(daemon, fd);
}

static void send_setup(struct daemon *daemon)
{
    const struct bed_options *options = daemon->options;
    struct mux_buffer text = {0};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t time = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;

    buffer_put(&text, &time, sizeof(time));
    buffer_put(&text, options->modules, strlen(options->modules) + 1);
    for (size_t i = 0; i < options->out_count; i++)
        buffer_put(&text, options->out[i], strlen(options->out[i]) + 1);
    mux_send(&daemon->mux, MUX_SETUP, 0, 0, text.data, text.end);
    buffer_done(&text);
}

static void take_ready(struct daemon *daemon)
{
    daemon->up = true;
    daemon->deadline_ms = INT64_MAX;
    if (daemon->private_fd >= 0)
        take_request(daemon, daemon->private_fd);
    else if (daemon->options->idle_seconds > 0)
        daemon->deadline_ms =
            now_ms() + (int64_t)daemon->options->idle_seconds * 1000;
    say_ready(daemon, "ok");
}

static void take_exit(struct daemon *daemon, struct session *session,
                      const uint8_t *payload, uint32_t length)
{
    if (length == sizeof(session->status))
        memcpy(&session->status, payload, sizeof(session->status));
    stream_close(&session->streams[0]);
    if (session->state == DYING) {
        session_free(daemon, session);
    } else if (session->state == OPEN) {
        session->state = DRAINED;
        session_settle(daemon, session);
    }
}

static void take_frame(void *context, const struct mux_header *header,
                       const uint8_t *payload)
{
    struct daemon *daemon = context;
    uint32_t version = 0;

    if (header->type == MUX_HELLO) {
        memcpy(&version, payload, header->length < 4 ? 0 : 4);
        if (version != MUX_VERSION)
            break_bed(daemon, "the bed's agent is of another version");
        else
            send_setup(daemon);
        return;
    }
    if (header->type == MUX_READY) {
        take_ready(daemon);
        return;
    }
    if (header->session >= MUX_SESSIONS || header->stream >= MUX_STREAMS)
        return;
    struct session *session = &daemon->sessions[header->session];

    if (session->state == FREE)
        return;
    if (header->type == MUX_EXIT)
        take_exit(daemon, session, payload, header->length);
    else
        stream_frame(&session->streams[header->stream], &daemon->mux, header,
                     payload);
}

/* A signal from the client for its command, or the client's end. */
static void take_control(struct daemon *daemon, struct session *session)
{
    uint8_t number;
    ssize_t n = recv(session->control, &number, 1, MSG_DONTWAIT);

    if (n == 1)
        mux_send_u32(&daemon->mux, MUX_SIGNAL,
                     (unsigned)(session - daemon->sessions), 0, number);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        session_abandon(daemon, session);
}

enum { POLL_MUX, POLL_CONSOLE, POLL_SIGNAL, POLL_LISTEN, POLL_FIXED };
enum { POLL_EACH = MUX_STREAMS + 1 };

static void fill_polls(const struct daemon *daemon, struct pollfd *fds)
{
    fds[POLL_MUX] = (struct pollfd){.fd = daemon->mux.fd,
                                    .events = mux_events(&daemon->mux)};
    fds[POLL_CONSOLE] =
        (struct pollfd){.fd = daemon->console_fd, .events = POLLIN};
    fds[POLL_SIGNAL] =
        (struct pollfd){.fd = daemon->signal_fd, .events = POLLIN};
    fds[POLL_LISTEN] = (struct pollfd){.fd = -1};
    if (!daemon->up && daemon->private_fd >= 0)
        fds[POLL_LISTEN].fd = daemon->private_fd; /* its end only */
    else if (daemon->up && daemon->listen_fd >= 0)
        fds[POLL_LISTEN] =
            (struct pollfd){.fd = daemon->listen_fd, .events = POLLIN};
    for (int i = 0; i < MUX_SESSIONS; i++) {
        const struct session *session = &daemon->sessions[i];
        struct pollfd *own = fds + POLL_FIXED + i * POLL_EACH;

        own[0] = (struct pollfd){.fd = session->control, .events = POLLIN};
        for (int s = 0; s < MUX_STREAMS; s++)
            own[1 + s] = stream_poll(&session->streams[s], &daemon->mux);
    }
}

static void serve_session(struct daemon *daemon, struct session *session,
                          const struct pollfd *own)
{
    if (session->state == FREE)
        return;
    for (int s = 0; s < MUX_STREAMS; s++) {
        if (own[1 + s].revents)
            stream_move(&session->streams[s], &daemon->mux);
    }
    session_settle(daemon, session);
    if (session->state != FREE && own[0].revents && session->control >= 0)
        take_control(daemon, session);
}

static void serve(struct daemon *daemon, const struct pollfd *fds)
{
    struct signalfd_siginfo info;

    if (fds[POLL_CONSOLE].revents)
        read_console(daemon);
    for (int i = 0; i < MUX_SESSIONS; i++)
        serve_session(daemon, &daemon->sessions[i],
                      fds + POLL_FIXED + i * POLL_EACH);
    if ((fds[POLL_MUX].revents & (POLLIN | POLLHUP | POLLERR)) &&
        !mux_read(&daemon->mux, take_frame, daemon))
        break_bed(daemon, "the test bed ended");
    if (!daemon->over && !mux_write(&daemon->mux))
        break_bed(daemon, "the test bed ended");
    if (fds[POLL_SIGNAL].revents &&
        read(daemon->signal_fd, &info, sizeof(info)) > 0)
        break_bed(daemon, "the test bed was told to end");
    if (fds[POLL_LISTEN].revents && !daemon->over) {
        if (daemon->private_fd < 0)
            accept_client(daemon);
        else if (fds[POLL_LISTEN].revents & (POLLHUP | POLLERR))
            daemon->over = true;
    }
}

static void loop(struct daemon *daemon)
{
    static struct pollfd fds[POLL_FIXED + MUX_SESSIONS * POLL_EACH];

    while (!daemon->over) {
        int wait = -1;

        if (daemon->deadline_ms != INT64_MAX) {
            int64_t left = daemon->deadline_ms - now_ms();

            wait = left < 0 ? 0 : (int)left;
        }
        fill_polls(daemon, fds);
        int n = poll(fds, sizeof(fds) / sizeof(fds[0]), wait);

        if (n > 0)
            serve(daemon, fds);
        else if (n == 0 && !daemon->up)
            break_bed(daemon, "the test bed did not come up in time");
        else if (n == 0 && now_ms() >= daemon->deadline_ms)
            daemon->over = true; /* idle for long */
    }
}

/* Ends QEMU and tells everyone who still waits. */
static int wind_up(struct daemon *daemon)
{
    static char text[CONSOLE_BYTES + 512];
    size_t length = 0;

    kill(daemon->qemu, SIGKILL);
    waitpid(daemon->qemu, NULL, 0);
    if (daemon->console_fd >= 0)
        read_console(daemon);
    if (daemon->why[0] == '\0')
        snprintf(daemon->why, sizeof(daemon->why), "the test bed ended");
    length = describe(daemon, text, sizeof(text));
    say_ready(daemon, text);
    for (int i = 0; i < MUX_SESSIONS; i++) {
        if (daemon->sessions[i].control >= 0)
            reply(daemon->sessions[i].control, BED_BROKEN, 0, text, length);
    }
    if (!daemon->up && daemon->private_fd >= 0)
        reply(daemon->private_fd, BED_BROKEN, 0, text, length);
    if (daemon->stop_fd >= 0)
        reply(daemon->stop_fd, BED_EXITED, 0, NULL, 0);
    return 0;
}

int bed_daemon(const struct bed_options *options, int private_fd, int listen_fd,
               int ready_fd)
{
    static struct daemon daemon;
    sigset_t set;

    daemon = (struct daemon){
        .options = options,
        .private_fd = private_fd,
        .listen_fd = listen_fd,
        .ready_fd = ready_fd,
        .stop_fd = -1,
        .console_fd = -1,
        .deadline_ms = now_ms() + (int64_t)options->start_seconds * 1000,
    };
    for (int i = 0; i < MUX_SESSIONS; i++) {
        daemon.sessions[i].control = -1;
        for (int s = 0; s < MUX_STREAMS; s++)
            daemon.sessions[i].streams[s].fd = -1;
    }
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    daemon.signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (!start_qemu(&daemon)) {
        say_ready(&daemon, strerror(errno));
        return BED_FAILED;
    }
    loop(&daemon);
    return wind_up(&daemon);
}
