/* bed-client.c - one command in the bed, as seen from the caller's terminal. */
#include "bed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* After a first signal the command has this long to end by itself. */
#define GRACE_MS   3000
#define PIPE_BYTES (256 << 10)

/* One direction: read `from`, write `to`, until either is over. */
struct shovel {
    pthread_t thread;
    int from, to;
    const char *name;
    atomic_int error; /* what went wrong with `to`, an errno */
};

struct client {
    int control;
    int signals;
    bool started;
    int64_t deadline_ms; /* INT64_MAX: none */
    int status_late;     /* the status when the deadline passes */
    struct shovel shovels[3];
    int far[3]; /* the daemon's pipe ends */
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool write_all(int fd, const void *data, size_t length)
{
    const char *at = data;

    while (length > 0) {
        ssize_t n = write(fd, at, length);

        if (n < 0 && errno == EAGAIN) {
            /* The caller's own descriptor may be non-blocking. */
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
            continue;
        }
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            at += n;
            length -= (size_t)n;
        }
    }
    return true;
}

static ssize_t read_some(int fd, void *data, size_t length)
{
    for (;;) {
        ssize_t n = read(fd, data, length);

        if (n < 0 && errno == EAGAIN)
            poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
        else if (n >= 0 || errno != EINTR)
            return n;
    }
}

static bool read_all(int fd, void *data, size_t length)
{
    char *at = data;

    while (length > 0) {
        ssize_t n = read_some(fd, at, length);

        if (n <= 0)
            return false;
        at += n;
        length -= (size_t)n;
    }
    return true;
}

static void *run_shovel(void *argument)
{
    struct shovel *shovel = argument;
    static _Thread_local char chunk[64 << 10];
    ssize_t n;

    while ((n = read_some(shovel->from, chunk, sizeof(chunk))) > 0) {
        if (!write_all(shovel->to, chunk, (size_t)n)) {
            atomic_store(&shovel->error, errno);
            break;
        }
    }
    close(shovel->from);
    close(shovel->to);
    return NULL;
}

/* Makes the three pipes and their shovels. */
static bool start_shovels(struct client *client)
{
    static const char *const names[3] = {"stdin", "stdout", "stderr"};

    for (int i = 0; i < 3; i++) {
        struct shovel *shovel = &client->shovels[i];
        int ends[2], own = fcntl(i, F_DUPFD_CLOEXEC, 3);

        if (own < 0 || pipe2(ends, O_CLOEXEC) < 0)
            return false;
        fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES);
        shovel->from = i == 0 ? own : ends[0];
        shovel->to = i == 0 ? ends[1] : own;
        shovel->name = names[i];
        client->far[i] = i == 0 ? ends[0] : ends[1];
    }
    for (int i = 0; i < 3; i++) {
        struct shovel *shovel = &client->shovels[i];

        if (pthread_create(&shovel->thread, NULL, run_shovel, shovel) != 0)
            return false;
    }
    return true;
}

static bool send_request(int fd, uint32_t kind, const void *payload,
                         size_t length, const int *descriptors)
{
    struct bed_control control = {
        .magic = BED_MAGIC,
        .kind = kind,
        .length = (uint32_t)length,
    };
    struct iovec part = {.iov_base = &control, .iov_len = sizeof(control)};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } space = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (descriptors != NULL) {
        message.msg_control = space.bytes;
        message.msg_controllen = sizeof(space.bytes);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(3 * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, 3 * sizeof(int));
    }
    if (sendmsg(fd, &message, MSG_NOSIGNAL) != (ssize_t)sizeof(control))
        return false;
    return length == 0 || write_all(fd, payload, length);
}

static int say_broken(const struct bed_reply *reply, int fd)
{
    char text[16 << 10];
    size_t length = reply->length;

    if (length > sizeof(text))
        length = sizeof(text);
    if (!read_all(fd, text, length))
        length = 0;
    fprintf(stderr, "with-kvm: %.*s\n", (int)length, text);
    return BED_FAILED;
}

/* The streams have ended: waits until all that came is written. */
static int finish(struct client *client, int status)
{
    for (int i = 1; i < 3; i++) {
        struct shovel *shovel = &client->shovels[i];

        pthread_join(shovel->thread, NULL);
        int error = atomic_load(&shovel->error);

        if (error != 0 && error != EPIPE) {
            fprintf(stderr, "with-kvm: %s: %s\n", shovel->name,
                    strerror(error));
            status = BED_FAILED;
        }
    }
    return status;
}

/* Returns true when *status is final. */
static bool take_reply(struct client *client, int *status)
{
    struct bed_reply reply;

    if (!read_all(client->control, &reply, sizeof(reply))) {
        fprintf(stderr, "with-kvm: the test bed went away\n");
        *status = BED_FAILED;
        return true;
    }
    if (reply.kind == BED_STARTED) {
        client->started = true;
        return false;
    }
    if (reply.kind == BED_EXITED)
        *status = finish(client, (int)reply.status);
    else
        *status = say_broken(&reply, client->control);
    return true;
}

/* The first signal goes to the command, a second one ends it. */
static bool take_signal(struct client *client, int *status)
{
    struct signalfd_siginfo info;
    int64_t grace = now_ms() + GRACE_MS;

    if (read(client->signals, &info, sizeof(info)) != sizeof(info))
        return false;
    bool again = client->status_late != BED_TIMED_OUT;
    uint8_t number = (uint8_t)info.ssi_signo;

    *status = 128 + number;
    if (!client->started || again)
        return true;
    if (write(client->control, &number, 1) != 1)
        return true;
    client->status_late = *status;
    if (grace < client->deadline_ms)
        client->deadline_ms = grace;
    return false;
}

static int follow(struct client *client)
{
    int status = BED_FAILED;

    for (;;) {
        struct pollfd fds[2] = {
            {.fd = client->control, .events = POLLIN},
            {.fd = client->signals, .events = POLLIN},
        };
        int wait = -1;

        if (client->deadline_ms != INT64_MAX) {
            int64_t left = client->deadline_ms - now_ms();

            wait = left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
        }
        int n = poll(fds, 2, wait);

        if (n < 0 && errno != EINTR)
            return BED_FAILED;
        if (n > 0 && fds[0].revents && take_reply(client, &status))
            return status;
        if (n > 0 && fds[1].revents && take_signal(client, &status))
            return status;
        if (client->deadline_ms <= now_ms()) {
            if (client->status_late == BED_TIMED_OUT)
                fprintf(stderr, "with-kvm: time limit reached\n");
            return client->status_late;
        }
    }
}

int bed_client(int control_fd, const void *request, size_t length,
               int timeout_seconds)
{
    struct client client = {
        .control = control_fd,
        .deadline_ms = INT64_MAX,
        .status_late = BED_TIMED_OUT,
    };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    client.signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (timeout_seconds > 0)
        client.deadline_ms = now_ms() + (int64_t)timeout_seconds * 1000;
    if (client.signals < 0 || !start_shovels(&client)) {
        perror("with-kvm");
        close(control_fd);
        return BED_FAILED;
    }
    if (!send_request(control_fd, BED_RUN, request, length, client.far)) {
        fprintf(stderr, "with-kvm: the test bed does not listen: %s\n",
                strerror(errno));
        close(control_fd);
        return BED_FAILED;
    }
    for (int i = 0; i < 3; i++)
        close(client.far[i]);
    int status = follow(&client);

    close(control_fd);
    return status;
}

int bed_client_stop(int control_fd)
{
    struct bed_reply reply;

    if (!send_request(control_fd, BED_STOP, NULL, 0, NULL) ||
        !read_all(control_fd, &reply, sizeof(reply))) {
        fprintf(stderr, "with-kvm: the test bed went away\n");
        return BED_FAILED;
    }
    close(control_fd);
    return 0;
}
