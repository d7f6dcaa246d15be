/* control.c: messages between verbs and keepers; see control.h. */
#include "control.h"

#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef int address_fn(int, const struct sockaddr *, socklen_t);

/* Socket addresses are short and paths are long: from inside of the folder the
 * name is always the same. */
static int in_folder(const struct record *record, int fd, address_fn *call)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = -1;
    int failure;

    snprintf(address.sun_path, sizeof address.sun_path, "control");
    if (before >= 0 && fchdir(record->folder) == 0) {
        result = call(fd, (struct sockaddr *)&address, sizeof address);
        failure = errno;
        if (fchdir(before) != 0)
            result = -1;
        errno = failure;
    }
    failure = errno;
    if (before >= 0)
        close(before);
    errno = failure;
    return result;
}

int control_listen(const struct record *record, struct sm_error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || in_folder(record, fd, bind) != 0 || listen(fd, 64) != 0) {
        int rc = text_fail_os(err, "machine %s: its socket", record->id);

        if (fd >= 0)
            close(fd);
        return rc;
    }
    return fd;
}

int control_connect(const struct record *record, struct sm_error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && in_folder(record, fd, connect) == 0)
        return fd;
    if (fd >= 0 && (errno == ENOENT || errno == ECONNREFUSED)) {
        close(fd);
        return text_fail(err, SM_ENOENT, "the machine %s is not running",
                         record->name);
    }
    text_fail_os(err, "the machine %s", record->name);
    if (fd >= 0)
        close(fd);
    return SM_EIO;
}

void control_reader_init(struct control_reader *reader)
{
    *reader = (struct control_reader){.fds = {-1, -1, -1}};
}

void control_reader_done(struct control_reader *reader)
{
    for (int i = 0; i < CONTROL_FDS; i++)
        if (reader->fds[i] >= 0)
            close(reader->fds[i]);
    free(reader->payload);
    control_reader_init(reader);
}

/* Descriptors that came along; more than a message may have are closed. */
static void take_fds(struct control_reader *reader, struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part;
         part = CMSG_NXTHDR(message, part)) {
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (i < CONTROL_FDS && reader->fds[i] < 0)
                reader->fds[i] = fd;
            else
                close(fd);
        }
    }
}

/* 1: (count) bytes came to (to) or fewer; 0: none now. */
static int receive(struct control_reader *reader, int fd, bool wait, void *to,
                   size_t count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
    } control;
    struct iovec piece = {to, count};
    struct msghdr message = {
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    ssize_t some;

    do {
        some =
            recvmsg(fd, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    } while (some < 0 && errno == EINTR);
    if (some < 0)
        return errno == EAGAIN ? 0 : SM_ECLOSED;
    take_fds(reader, &message);
    if (some == 0)
        return SM_ECLOSED;
    reader->got += (size_t)some;
    return 1;
}

int control_read(struct control_reader *reader, int fd, bool wait)
{
    const size_t head = sizeof reader->header;
    int rc = 1;

    while (rc == 1 && reader->got < head)
        rc = receive(reader, fd, wait, (char *)&reader->header + reader->got,
                     head - reader->got);
    if (rc != 1)
        return rc;
    if (reader->header.length > CONTROL_MAX)
        return SM_EPROTO;
    if (!reader->payload) {
        reader->payload = calloc(1, reader->header.length + 1);
        if (!reader->payload)
            return SM_EPROTO;
    }
    while (rc == 1 && reader->got < head + reader->header.length)
        rc = receive(reader, fd, wait, reader->payload + (reader->got - head),
                     head + reader->header.length - reader->got);
    return rc;
}

const char *control_next(const struct control_reader *reader, const char *at)
{
    const char *next = at ? at + strlen(at) + 1 : reader->payload;

    return next < reader->payload + reader->header.length ? next : NULL;
}

void control_put(struct control_message *message, const char *fmt, ...)
{
    char *text = NULL;
    char *more;
    va_list ap;
    int length;

    va_start(ap, fmt);
    length = vasprintf(&text, fmt, ap);
    va_end(ap);
    more = length < 0
               ? NULL
               : realloc(message->bytes, message->count + (size_t)length + 1);
    if (more) {
        memcpy(more + message->count, text, (size_t)length + 1);
        message->bytes = more;
        message->count += (size_t)length + 1;
    } else {
        message->failed = true;
    }
    if (length >= 0)
        free(text);
}

/* All of (pieces), the descriptors with the first byte. */
static int send_all(int fd, struct iovec *pieces, const int *fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};

    if (fds) {
        struct cmsghdr *part = &control.align;

        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(CONTROL_FDS * sizeof(int));
        memcpy(CMSG_DATA(part), fds, CONTROL_FDS * sizeof(int));
    }
    while (pieces[0].iov_len + pieces[1].iov_len > 0) {
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return SM_ECLOSED;
        message.msg_control = NULL;
        message.msg_controllen = 0;
        for (int i = 0; i < 2; i++) {
            size_t some = pieces[i].iov_len < (size_t)sent ? pieces[i].iov_len
                                                           : (size_t)sent;

            pieces[i].iov_base = (char *)pieces[i].iov_base + some;
            pieces[i].iov_len -= some;
            sent -= (ssize_t)some;
        }
    }
    return 0;
}

int control_send(int fd, enum control_type type,
                 struct control_message *message, const int *fds)
{
    struct control_header header = {(uint32_t)message->count, type};
    struct iovec pieces[2] = {{&header, sizeof header},
                              {message->bytes, message->count}};
    int rc = 0;

    if (message->failed)
        rc = SM_ENOMEM;
    else if (message->count > CONTROL_MAX)
        rc = SM_ELIMIT;
    if (!rc)
        rc = send_all(fd, pieces, fds);
    free(message->bytes);
    *message = (struct control_message){0};
    return rc;
}

int control_answer(const struct control_reader *reader,
                   struct sm_exit_status *status, struct sm_error *err)
{
    const char *first = control_next(reader, NULL);
    const char *second = first ? control_next(reader, first) : NULL;
    const char *third;
    int code;

    switch (reader->header.type) {
    case CONTROL_DONE:
        return 0;
    case CONTROL_ENDED:
        if (!second)
            break;
        if (status) {
            *status = (struct sm_exit_status){.exited = *first == '1'};
            if (status->exited)
                status->code = (int)strtol(second, NULL, 10);
            else
                status->signal = (int)strtol(second, NULL, 10);
            third = control_next(reader, second);
            status->out_of_memory = third && *third == '1';
        }
        return 0;
    case CONTROL_FAILED:
        if (!second)
            break;
        code = (int)strtol(first, NULL, 10);
        return text_fail(err, code < 0 ? code : SM_EPROTO, "%s", second);
    default:
        break;
    }
    return text_fail(err, SM_EPROTO, "the machine's keeper spoke nonsense");
}

static int ended_meanwhile(const struct record *record, struct sm_error *err)
{
    return text_fail(err, SM_ECLOSED, "the machine %s ended meanwhile",
                     record->name);
}

int control_ask_begin(const struct record *record, enum control_type type,
                      struct control_message *message, struct sm_error *err)
{
    int fd = control_connect(record, err);

    if (fd < 0) {
        free(message->bytes);
        return fd;
    }
    if (control_send(fd, type, message, NULL) == 0)
        return fd;
    close(fd);
    return ended_meanwhile(record, err);
}

/* Wait for the answer, which is in (reader); (fd) is closed. */
static int await_answer(const struct record *record, int fd,
                        struct control_reader *reader, struct sm_error *err)
{
    int rc = control_read(reader, fd, true);

    close(fd);
    return rc == 1 ? 0 : ended_meanwhile(record, err);
}

int control_ask_end(const struct record *record, int fd,
                    struct sm_exit_status *status, struct sm_error *err)
{
    struct control_reader reader;
    int rc;

    control_reader_init(&reader);
    rc = await_answer(record, fd, &reader, err);
    if (!rc)
        rc = control_answer(&reader, status, err);
    control_reader_done(&reader);
    return rc;
}

int control_ask(const struct record *record, enum control_type type,
                const char *text, struct sm_exit_status *status,
                struct sm_error *err)
{
    struct control_message message = {0};
    int fd;

    if (text)
        control_put(&message, "%s", text);
    fd = control_ask_begin(record, type, &message, err);
    return fd < 0 ? fd : control_ask_end(record, fd, status, err);
}

int control_ask_text(const struct record *record, enum control_type type,
                     char **ret, struct sm_error *err)
{
    struct control_message message = {0};

    return control_ask_with(record, type, &message, ret, err);
}

int control_ask_with(const struct record *record, enum control_type type,
                     struct control_message *message, char **ret,
                     struct sm_error *err)
{
    struct control_reader reader;
    int fd = control_ask_begin(record, type, message, err);
    int rc;

    if (fd < 0)
        return fd;
    control_reader_init(&reader);
    rc = await_answer(record, fd, &reader, err);
    if (!rc && reader.header.type == CONTROL_TEXT) {
        *ret = reader.payload;
        reader.payload = NULL;
    } else if (!rc) {
        rc = control_answer(&reader, NULL, err);
        if (!rc)
            rc = text_fail(err, SM_EPROTO,
                           "the machine's keeper spoke nonsense");
    }
    control_reader_done(&reader);
    return rc;
}
