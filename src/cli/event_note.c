/* event_note.c: adds what happened to the file of events; see events.h. */
#include "events.h"

#include "host.h"
#include "printable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void put_pair(FILE *to, const char *name, const char *value)
{
    printable_write_json(to, name);
    fputc(':', to);
    printable_write_json(to, value ? value : "");
}

/* One that happened to (id), a (type); (pairs) are attributes, names and values
 * in turn, NULL at the end. */
struct event {
    const char *type;
    const char *action;
    const char *id;
    const char *pairs[8];
};

static char *make_line(const struct event *event, size_t *ret_count)
{
    int64_t now = record_now_ns();
    char *line = NULL;
    FILE *to = open_memstream(&line, ret_count);

    if (!to)
        return NULL;
    fputc('{', to);
    put_pair(to, "Type", event->type);
    fputc(',', to);
    put_pair(to, "Action", event->action);
    fprintf(to, ",\"Actor\":{");
    put_pair(to, "ID", event->id);
    fprintf(to, ",\"Attributes\":{");
    for (size_t i = 0; event->pairs[i]; i += 2) {
        if (i)
            fputc(',', to);
        put_pair(to, event->pairs[i], event->pairs[i + 1]);
    }
    fprintf(to, "}},\"time\":%lld,\"timeNano\":%lld}\n",
            (long long)(now / 1000000000), (long long)now);
    if (fclose(to) == 0)
        return line;
    free(line);
    return NULL;
}

static void note(const char *home, const struct event *event)
{
    size_t count;
    char *line = make_line(event, &count);
    char path[4096];
    char old[4096 + 8];
    struct stat status;
    int fd;

    if (!line)
        return;
    snprintf(path, sizeof path, "%s/machines/events", home);
    snprintf(old, sizeof old, "%s.old", path);
    if (stat(path, &status) == 0 && status.st_size > EVENTS_FILE_MAX)
        rename(path, old);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    /* One write: lines of several processes do not mix. */
    if (fd >= 0 && write(fd, line, count) < 0)
        errno = 0;
    if (fd >= 0)
        close(fd);
    free(line);
}

void events_note(const struct record *record, const char *action,
                 const char *name, const char *value)
{
    const struct event event = {
        .type = "machine",
        .action = action,
        .id = record->id,
        .pairs = {"image", record->image, "name", record->name, name,
                  name ? (value ? value : "") : NULL},
    };

    note(record->home, &event);
}

void events_note_image(const char *action, const char *id, const char *name)
{
    const struct event event = {
        .type = "image",
        .action = action,
        .id = id,
        .pairs = {"name", name},
    };
    char home[HOME_MAX];

    /* There may have been no machine yet. */
    if (cli_home(home, NULL) == 0 && record_prepare(home, NULL) == 0)
        note(home, &event);
}
