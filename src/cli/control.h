/* control.h: what verbs and a machine's keeper say to each other.
 *
 * How it works
 *   A stream socket, HOME/machines/ID/control, which only the folder's owner
 *   can reach. A message is its length and type, 32 bits each in the
 *   machine's own order, and (length) bytes: strings, each with a NUL behind
 *   it. CONTROL_EXEC comes with the three descriptors of the command's streams:
 *   the keeper hands them to the library, and no byte of them passes through
 *   here. A client that goes away takes its command with it.
 *
 *   to the keeper                       answers
 *   CONTROL_EXEC    "key=value"...      CONTROL_ENDED or CONTROL_FAILED; with
 *                                       "detach=1" CONTROL_DONE once it runs,
 *                                       and it lives on without the client
 *   CONTROL_FILES   "key=value"...      the same: work on files, see
 *                                       keeper_files.h
 *   CONTROL_SIGNAL  number              none: to the client's own command
 *   CONTROL_RESIZE  rows, columns       none: likewise
 *   CONTROL_KILL    number              CONTROL_DONE: to the machine's command
 *   CONTROL_STOP    milliseconds, or -1 CONTROL_ENDED, when it has; -1: as its
 *                                       record says. A number behind it is the
 *                                       signal, else the record says that
 *   CONTROL_WAIT                        CONTROL_ENDED, when it has
 *   CONTROL_FOLLOW                      CONTROL_MORE whenever the log grew,
 *                                       CONTROL_ENDED
 *   CONTROL_PAUSE, CONTROL_RESUME       CONTROL_DONE or CONTROL_FAILED
 *   CONTROL_RENAME  name                CONTROL_DONE or CONTROL_FAILED
 *   CONTROL_STATS                       CONTROL_TEXT: what it uses, as JSON
 *   CONTROL_TOP                         CONTROL_TEXT: its processes, as JSON
 *   CONTROL_ATTACH                      CONTROL_DONE or CONTROL_FAILED; then
 *                                       CONTROL_OUTPUT and CONTROL_ERROR, bytes
 *                                       of its command, and CONTROL_ENDED.
 *                                       SIGNAL and RESIZE are for it
 *   CONTROL_INPUT   bytes               none: for the command's stdin
 *   CONTROL_DETACH                      none: this client leaves, see below
 *   CONTROL_SNAPSHOT name, flags        CONTROL_TEXT: what became of it, as
 *                                       JSON, or CONTROL_FAILED; a name of ""
 *                                       is none
 *
 *   CONTROL_ENDED   exited (0, 1), code or signal, out of memory (0, 1)
 *   CONTROL_FAILED  SM_E* code, message
 *
 *   A machine that was started on a terminal has one client from the beginning,
 *   over a pair of sockets that `run` made (front.h). It gets, before anything
 *   else, CONTROL_MORE, when the machine is about to start, and CONTROL_DONE
 *   with the machine's name when it runs; from then on it is attached. If it
 *   goes away without CONTROL_DETACH the machine ends.
 */
#ifndef SM_CLI_CONTROL_H
#define SM_CLI_CONTROL_H

#include "record.h"

enum control_type {
    CONTROL_EXEC = 1,
    CONTROL_SIGNAL,
    CONTROL_RESIZE,
    CONTROL_KILL,
    CONTROL_STOP,
    CONTROL_WAIT,
    CONTROL_PAUSE,
    CONTROL_RESUME,
    CONTROL_RENAME,
    CONTROL_FOLLOW,
    CONTROL_FILES = 32,
    CONTROL_STATS,
    CONTROL_TOP,
    CONTROL_ATTACH,
    CONTROL_INPUT,
    CONTROL_DETACH,
    CONTROL_SNAPSHOT,
    CONTROL_DONE = 64,
    CONTROL_ENDED,
    CONTROL_FAILED,
    CONTROL_MORE,
    CONTROL_TEXT,
    CONTROL_OUTPUT,
    CONTROL_ERROR
};

enum { CONTROL_MAX = 4 << 20, CONTROL_FDS = 3 };

struct control_header {
    uint32_t length;
    uint32_t type;
};

/* A message that comes in pieces. Begin with {0} and fds of -1. */
struct control_reader {
    struct control_header header;
    char *payload; /* ends with NUL */
    size_t got;    /* of header and payload */
    int fds[CONTROL_FDS];
};

/* A message that is being made. Begin with {0}; control_send() frees it. */
struct control_message {
    char *bytes;
    size_t count;
    bool failed;
};

/* Listen in the record's folder. Returns a descriptor or SM_E*. */
int control_listen(const struct record *record, struct sm_error *err);
/* SM_ENOENT: no keeper. Returns a descriptor or SM_E*. */
int control_connect(const struct record *record, struct sm_error *err);

void control_reader_init(struct control_reader *reader);
void control_reader_done(struct control_reader *reader);
/*
 * Take what is there. Returns 1: a message is whole (take it, then call
 * control_reader_done()); 0: not yet; SM_ECLOSED; SM_EPROTO.
 */
int control_read(struct control_reader *reader, int fd, bool wait);
/* The payload's string after (at), the first for NULL; NULL: no more. */
const char *control_next(const struct control_reader *reader, const char *at);

void control_put(struct control_message *message, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* (fds): CONTROL_FDS descriptors or NULL. SM_ECLOSED, also where a
 * non-blocking socket takes nothing, SM_ENOMEM, SM_ELIMIT. */
int control_send(int fd, enum control_type type,
                 struct control_message *message, const int *fds);

/* Connect, send one number or text, (NULL: none), and wait for the answer:
 * CONTROL_DONE and CONTROL_ENDED are 0. *status, which may be NULL, gets the
 * latter. */
int control_ask(const struct record *record, enum control_type type,
                const char *text, struct sm_exit_status *status,
                struct sm_error *err);
/* The same in two halves, for those who ask many at once: the first sends
 * (message), which is taken, and returns a descriptor or SM_E*; the second
 * waits for the answer on (fd) and closes it. */
int control_ask_begin(const struct record *record, enum control_type type,
                      struct control_message *message, struct sm_error *err);
int control_ask_end(const struct record *record, int fd,
                    struct sm_exit_status *status, struct sm_error *err);
/* control_ask() where the answer is CONTROL_TEXT; *ret is for free(). */
int control_ask_text(const struct record *record, enum control_type type,
                     char **ret, struct sm_error *err);
/* The same with any (message), which is taken. */
int control_ask_with(const struct record *record, enum control_type type,
                     struct control_message *message, char **ret,
                     struct sm_error *err);
/* The answer that (reader) holds, as control_ask() returns it. */
int control_answer(const struct control_reader *reader,
                   struct sm_exit_status *status, struct sm_error *err);

#endif
