/* journal.c: what a machine's command wrote; see journal.h. */
#include "journal.h"

#include "text.h"
#include "times.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_MAX = 16384 };

int journal_open(struct journal *journal, const struct record *record,
                 struct sm_error *err)
{
    journal->fd =
        openat(record->folder, "log",
               O_WRONLY | O_CREAT | O_APPEND | O_TRUNC | O_CLOEXEC, 0600);
    if (journal->fd < 0)
        return text_fail_os(err, "machine %s: its log", record->id);
    return 0;
}

void journal_close(struct journal *journal)
{
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd = -1;
}

/* In one write, so that a reader never sees half an entry of ours. */
static void add_piece(struct journal *journal, int stream, const char *bytes,
                      size_t count, bool whole)
{
    char entry[TIMES_MAX + 16 + PIECE_MAX];
    char when[TIMES_MAX];
    int head;

    times_text(record_now_ns(), when);
    head = snprintf(entry, sizeof entry, "%s %s %c ", when,
                    stream == 1 ? "stdout" : "stderr", whole ? 'F' : 'P');
    memcpy(entry + head, bytes, count);
    entry[(size_t)head + count] = '\n';
    if (write(journal->fd, entry, (size_t)head + count + 1) < 0)
        return; /* a full disk must not stop the machine */
}

void journal_add(struct journal *journal, int stream, const char *bytes,
                 size_t count)
{
    if (journal->fd < 0)
        return;
    while (count > 0) {
        const char *end = memchr(bytes, '\n', count);
        size_t length = end ? (size_t)(end - bytes) : count;
        bool whole = end && length <= PIECE_MAX;

        if (length > PIECE_MAX)
            length = PIECE_MAX;
        add_piece(journal, stream, bytes, length, whole);
        length += whole;
        bytes += length;
        count -= length;
    }
}

/* "TIME STREAM F TEXT\n": where the text begins; NULL: not an entry. */
static const char *parse(const char *line, int64_t *when, bool *is_stderr,
                         bool *whole)
{
    const char *at = strchr(line, ' ');

    if (!at || !times_parse(line, (size_t)(at - line), when))
        return NULL;
    *is_stderr = strncmp(at, " stderr ", 8) == 0;
    if (!*is_stderr && strncmp(at, " stdout ", 8) != 0)
        return NULL;
    at += 8;
    *whole = *at == 'F';
    return at[0] && at[1] == ' ' ? at + 2 : NULL;
}

/* Which streams, 1 and 2, are inside of a line: its next piece is still to
 * come. */
struct inside {
    bool stream[3];
};

/* An entry of (stream) comes next. True: a line begins with it. */
static bool begins_line(struct inside *inside, int stream, bool whole)
{
    bool begins = !inside->stream[stream];

    inside->stream[stream] = !whole;
    return begins;
}

static void show_line(const char *line, size_t length,
                      const struct journal_view *view)
{
    int64_t when;
    bool is_stderr;
    bool whole;
    const char *text = parse(line, &when, &is_stderr, &whole);
    FILE *to;

    if (!text || (view->since_ns && when < view->since_ns) ||
        (view->until_ns && when > view->until_ns))
        return;
    to = is_stderr ? stderr : stdout;
    if (view->times)
        fprintf(to, "%.*s ", (int)strcspn(line, " "), line);
    length -= (size_t)(text - line);
    /* The entry's own line feed stands for the command's. */
    if (length > 0 && text[length - 1] == '\n' && !whole)
        length--;
    fwrite(text, 1, length, to);
}

void journal_follow(FILE *from, const struct journal_view *view)
{
    size_t capacity = 0;
    char *line = NULL;
    ssize_t length;

    clearerr(from);
    while ((length = getline(&line, &capacity, from)) > 0)
        show_line(line, (size_t)length, view);
    free(line);
    fflush(stdout);
}

/* ---- the last lines ---- */

/* Where a line begins, and what the entry before it left. */
struct mark {
    long at;
    struct inside inside;
};

/* Read past (count) lines, or as many as there are: *passed. */
static struct mark pass_lines(FILE *from, uint64_t count, uint64_t *passed)
{
    struct mark now = {0};
    size_t capacity = 0;
    char *line = NULL;
    ssize_t length;

    *passed = 0;
    while ((length = getline(&line, &capacity, from)) > 0) {
        struct mark before = now;
        bool is_stderr;
        bool whole;
        int64_t when;

        now.at += length;
        if (!parse(line, &when, &is_stderr, &whole) ||
            !begins_line(&now.inside, is_stderr ? 2 : 1, whole))
            continue;
        if (*passed == count) {
            now = before;
            break;
        }
        ++*passed;
    }
    free(line);
    return now;
}

/* Where the last (count) lines begin: a line counts where its first piece
 * is. */
static struct mark find_tail(FILE *from, uint32_t count)
{
    uint64_t lines;

    pass_lines(from, UINT64_MAX, &lines);
    rewind(from);
    return pass_lines(from, lines > count ? lines - count : 0, &lines);
}

/* The pieces of a line that began before (mark) are not of the last ones. */
static void show_tail(FILE *from, const struct mark *mark,
                      const struct journal_view *view)
{
    struct inside inside = mark->inside;
    bool skips[3] = {false, inside.stream[1], inside.stream[2]};
    size_t capacity = 0;
    char *line = NULL;
    ssize_t length;

    while ((skips[1] || skips[2]) &&
           (length = getline(&line, &capacity, from)) > 0) {
        bool is_stderr = false;
        bool whole = false;
        int64_t when;
        int stream;

        if (!parse(line, &when, &is_stderr, &whole))
            continue;
        stream = is_stderr ? 2 : 1;
        skips[stream] &= !begins_line(&inside, stream, whole);
        if (!skips[stream])
            show_line(line, (size_t)length, view);
    }
    free(line);
    journal_follow(from, view);
}

void journal_show(FILE *from, const struct journal_view *view)
{
    struct mark mark;

    if (view->tail == UINT32_MAX) {
        journal_follow(from, view);
        return;
    }
    mark = find_tail(from, view->tail);
    if (fseek(from, mark.at, SEEK_SET) == 0)
        show_tail(from, &mark, view);
}
