/* link.h: one session with the host, seen from the guest. */
#ifndef SM_GUEST_LINK_H
#define SM_GUEST_LINK_H

#include "guest.h"

#include "base/queue.h"

enum { JOB_BUCKETS = 64 };

enum link_origin {
    LINK_CONNECTING, /* ours; not writable before it is made; a transport that
                        was reset under it is called again                   */
    LINK_ACCEPTED    /* the host's call                                      */
};

struct link {
    struct guest *guest;
    struct link *next, *prev;
    struct source source;
    struct task receive;
    struct task flush;
    struct ring stuck; /* outlets that wait until it is writable */
    struct grave grave;
    int fd;
    enum link_origin origin;
    bool connected;
    bool writable;
    bool hung_up;   /* no further event comes: read up to the end          */
    bool throttled; /* not read because the host does not read either      */
    bool ending;    /* an ERROR is on its way out; nothing is read any more */
    struct frame_reader in;
    struct queue out;
    struct job *jobs[JOB_BUCKETS];
    unsigned job_count;
};

/* (fd) is a non-blocking stream socket; the link owns it, also on failure,
 * which only means that there is no such session. */
void link_open(struct guest *guest, int fd, enum link_origin origin);
/* Kills the link's jobs but for those with AGENT_EXEC_KEEP. */
void link_close(struct link *link);

/* Where to put a frame that leaves at the end of the turn. A link that cannot
 * keep it in memory closes then. */
struct buf *link_buf(struct link *link);

/* Data of programs may be sent now; if not, put a task on link->stuck. */
bool link_takes_data(const struct link *link);
/* Send header and payload in (frame)[0 .. count), which need not stay. Only
 * while link_takes_data(). */
void link_send_data(struct link *link, const uint8_t *frame, size_t count);

/* Tell the host what is wrong, then close. */
void link_fail(struct link *link, const char *message);

#endif
