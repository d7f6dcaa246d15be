/* channel.h: messages between two of our processes, with descriptors.
 *
 * A channel is a connected pair of sockets that keeps message boundaries
 * (SOCK_SEQPACKET on Linux) and carries open descriptors. When one end is
 * closed, also by the death of its process, the other becomes readable and
 * gives SM_ECLOSED.
 */
#ifndef SM_PLATFORM_CHANNEL_H
#define SM_PLATFORM_CHANNEL_H

#include "base/error.h"

#include <stdbool.h>

enum { CHANNEL_BYTES_MAX = 65536, CHANNEL_FDS_MAX = 16 };

/* Both ends are closed on exec. */
int channel_pair(int ret_ends[2], struct sm_error *err);

/* A pair of connected stream sockets (no boundaries), closed on exec. */
int stream_pair(int ret_ends[2], struct sm_error *err);

/* Send one message of 1 to CHANNEL_BYTES_MAX bytes; (fds) stay open here.
 * Blocks while the other end's buffer is full. Never raises SIGPIPE. */
int channel_send(int end, const void *bytes, size_t count, const int *fds,
                 unsigned fd_count, struct sm_error *err);

/* What arrived. */
struct channel_message {
    size_t count; /* bytes that were written to the caller's buffer */
    unsigned fd_count;
    int fds[CHANNEL_FDS_MAX]; /* the receiver's, closed on exec */
};

/*
 * Receive one message into (buffer) of CHANNEL_BYTES_MAX bytes. Blocks.
 * Returns 0, SM_ECLOSED, SM_EPROTO (cut off, too many descriptors), SM_EIO.
 */
int channel_receive(int end, void *buffer, struct channel_message *ret,
                    struct sm_error *err);
void channel_message_done(struct channel_message *message);

#endif
