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

/* Where the last (count) entries begin. */
static long tail_offset(FILE *from, uint32_t count)
{
    long *begin = count ? calloc(count, sizeof *begin) : NULL;
    size_t capacity = 0;
    char *line = NULL;
    uint64_t lines = 0;
    long at = 0;
    ssize_t length;

    while ((length = getline(&line, &capacity, from)) > 0) {
        if (begin)
            begin[lines % count] = at;
        at += length;
        lines++;
    }
    if (begin && lines)
        at = lines < count ? 0 : begin[lines % count];
    free(begin);
    free(line);
    return at;
}

void journal_show(FILE *from, const struct journal_view *view)
{
    if (view->tail != UINT32_MAX) {
        long at = tail_offset(from, view->tail);

        if (fseek(from, at, SEEK_SET) != 0)
            return;
    }
    journal_follow(from, view);
}
