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

/* An entry of (stream) comes next. True: a line begins with it. */
static bool begins_line(struct journal_lines *lines, int stream, bool whole)
{
    bool begins = !lines->inside[stream];

    lines->inside[stream] = !whole;
    return begins;
}

/* Not among those that are wanted, since it began at (when). */
static bool is_left_out(const struct journal_view *view, int64_t when)
{
    return (view->since_ns && when < view->since_ns) ||
           (view->until_ns && when > view->until_ns);
}

static void show_entry(const char *entry, size_t length,
                       const struct journal_view *view,
                       struct journal_lines *lines)
{
    int64_t when;
    bool is_stderr;
    bool whole;
    const char *text = parse(entry, &when, &is_stderr, &whole);
    bool begins;
    int stream;
    FILE *to;

    if (!text)
        return;
    stream = is_stderr ? 2 : 1;
    to = is_stderr ? stderr : stdout;
    begins = begins_line(lines, stream, whole);
    if (begins)
        lines->hidden[stream] = is_left_out(view, when);
    if (lines->hidden[stream])
        return;
    if (view->times && begins)
        fprintf(to, "%.*s ", (int)strcspn(entry, " "), entry);
    length -= (size_t)(text - entry);
    /* The entry's own line feed stands for the command's. */
    if (length > 0 && text[length - 1] == '\n' && !whole)
        length--;
    fwrite(text, 1, length, to);
}

void journal_follow(FILE *from, const struct journal_view *view,
                    struct journal_lines *lines)
{
    size_t capacity = 0;
    char *entry = NULL;
    ssize_t length;

    clearerr(from);
    while ((length = getline(&entry, &capacity, from)) > 0)
        show_entry(entry, (size_t)length, view, lines);
    free(entry);
    fflush(stdout);
}

/* ---- the last lines ---- */

/* Where a line begins, and what the entry before it left. */
struct mark {
    long at;
    struct journal_lines lines;
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
            !begins_line(&now.lines, is_stderr ? 2 : 1, whole))
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

void journal_show(FILE *from, const struct journal_view *view,
                  struct journal_lines *lines)
{
    struct mark mark;

    *lines = (struct journal_lines){0};
    if (view->tail != UINT32_MAX) {
        mark = find_tail(from, view->tail);
        if (fseek(from, mark.at, SEEK_SET) != 0)
            return;
        *lines = mark.lines;
        /* What began before is not of the last ones. */
        memcpy(lines->hidden, lines->inside, sizeof lines->hidden);
    }
    journal_follow(from, view, lines);
}
