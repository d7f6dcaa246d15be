/* event_note.c: adds what happened to the file of events; see events.h. */
#include "events.h"

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

static char *make_line(const struct record *record, const char *action,
                       const char *name, const char *value, size_t *ret_count)
{
    int64_t now = record_now_ns();
    char *line = NULL;
    FILE *to = open_memstream(&line, ret_count);

    if (!to)
        return NULL;
    fprintf(to, "{\"Type\":\"machine\",");
    put_pair(to, "Action", action);
    fprintf(to, ",\"Actor\":{");
    put_pair(to, "ID", record->id);
    fprintf(to, ",\"Attributes\":{");
    put_pair(to, "image", record->image);
    fputc(',', to);
    put_pair(to, "name", record->name);
    if (name) {
        fputc(',', to);
        put_pair(to, name, value);
    }
    fprintf(to, "}},\"time\":%lld,\"timeNano\":%lld}\n",
            (long long)(now / 1000000000), (long long)now);
    if (fclose(to) == 0)
        return line;
    free(line);
    return NULL;
}

void events_note(const struct record *record, const char *action,
                 const char *name, const char *value)
{
    size_t count;
    char *line = make_line(record, action, name, value, &count);
    char path[4096];
    char old[4096 + 8];
    struct stat status;
    int fd;

    if (!line)
        return;
    snprintf(path, sizeof path, "%s/machines/events", record->home);
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
