/* journal.h: what a machine's command wrote, line by line, with the time.
 *
 * How it works
 *   The format is that of container runtimes under Kubernetes (CRI):
 *       2026-11-22T10:00:00.123456789Z stdout F the line
 *   with P instead of F for a piece whose line goes on in the next entry of
 *   the same stream. A line without an end at the end of the stream is a piece
 *   too.
 */
#ifndef SM_CLI_JOURNAL_H
#define SM_CLI_JOURNAL_H

#include "record.h"

#include <stdio.h>

struct journal {
    int fd; /* -1: nothing is kept */
};

/* Begin the machine's journal. */
int journal_open(struct journal *journal, const struct record *record,
                 struct sm_error *err);
/* (stream) is 1 or 2. What the disk does not take is lost. */
void journal_add(struct journal *journal, int stream, const char *bytes,
                 size_t count);
void journal_close(struct journal *journal);

/* Which lines are wanted, and how they are shown. A line has the time at which
 * it began, and is shown with all of its pieces or not at all. */
struct journal_view {
    int64_t since_ns; /* since 1970; 0: all       */
    int64_t until_ns; /* 0: all                   */
    uint32_t tail;    /* last lines; UINT32_MAX: all */
    bool times;       /* in front of each line    */
};

/* How the streams, 1 and 2, stand between two entries. */
struct journal_lines {
    bool inside[3]; /* of a line: its next piece is still to come */
    bool hidden[3]; /* the line that the last entry was of        */
};

/*
 * Write the entries of (from), a stream at its beginning, to standard output
 * and standard error. Leaves it at its end, and *lines for journal_follow().
 */
void journal_show(FILE *from, const struct journal_view *view,
                  struct journal_lines *lines);
/* What came since then. */
void journal_follow(FILE *from, const struct journal_view *view,
                    struct journal_lines *lines);

#endif
