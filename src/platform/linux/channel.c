/* channel.c: messages with descriptors over unix sockets; see channel.h. */
#include "platform/channel.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
};

int channel_pair(int ret_ends[2], struct sm_error *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_ends) != 0)
        return fail_os(err, "socket pair");
    return 0;
}

int stream_pair(int ret_ends[2], struct sm_error *err)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_ends) != 0)
        return fail_os(err, "socket pair");
    return 0;
}

int channel_send(int end, const void *bytes, size_t count, const int *fds,
                 unsigned fd_count, struct sm_error *err)
{
    union control control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes,
                         .iov_len = count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;

    assert(count && count <= CHANNEL_BYTES_MAX && fd_count <= CHANNEL_FDS_MAX);
    if (fd_count) {
        struct cmsghdr *header;

        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
    }
    do
        sent = sendmsg(end, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? fail_os(err, "send a message") : 0;
}

/* Move the descriptors out of the control data; false if there were others. */
static bool take_descriptors(struct msghdr *message,
                             struct channel_message *ret)
{
    struct cmsghdr *header;

    for (header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (header->cmsg_level != SOL_SOCKET ||
            header->cmsg_type != SCM_RIGHTS || count > CHANNEL_FDS_MAX)
            return false;
        memcpy(ret->fds, CMSG_DATA(header), count * sizeof(int));
        ret->fd_count = (unsigned)count;
    }
    return true;
}

int channel_receive(int end, void *buffer, struct channel_message *ret,
                    struct sm_error *err)
{
    union control control = {0};
    struct iovec part = {.iov_base = buffer, .iov_len = CHANNEL_BYTES_MAX};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t got;

    *ret = (struct channel_message){0};
    do
        got = recvmsg(end, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail_os(err, "receive a message");
    if (!take_descriptors(&message, ret) ||
        (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        channel_message_done(ret);
        return fail(err, SM_EPROTO, "receive a message: cut off");
    }
    if (got == 0) {
        /* An empty message, which nobody sends, looks the same. */
        channel_message_done(ret);
        return fail(err, SM_ECLOSED, "the other process is gone");
    }
    ret->count = (size_t)got;
    return 0;
}

void channel_message_done(struct channel_message *message)
{
    for (unsigned i = 0; i < message->fd_count; i++)
        if (message->fds[i] >= 0)
            close(message->fds[i]);
    message->fd_count = 0;
}
