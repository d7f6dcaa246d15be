/* record_file.c: the file in which a machine's record is kept; see record.h. */
#include "record_file.h"

#include "text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 4 << 20 };

/* One row per line of the file `machine`. */
enum field_kind { FIELD_TEXT, FIELD_NAME, FIELD_U32, FIELD_64, FIELD_BOOL };

struct field {
    const char *key;
    enum field_kind kind;
    size_t offset;
};

#define ROW(kind, member)                                                      \
    {                                                                          \
#member, kind, offsetof(struct record, member)                         \
    }

static const struct field fields[] = {
    ROW(FIELD_NAME, name),      ROW(FIELD_TEXT, image),
    ROW(FIELD_TEXT, command),   ROW(FIELD_TEXT, error),
    ROW(FIELD_TEXT, labels),    ROW(FIELD_U32, state),
    ROW(FIELD_64, created_ns),  ROW(FIELD_64, started_ns),
    ROW(FIELD_64, finished_ns), ROW(FIELD_64, memory_bytes),
    ROW(FIELD_U32, cpus),       ROW(FIELD_U32, pid),
    ROW(FIELD_U32, exit_code),  ROW(FIELD_U32, stop_signal),
    ROW(FIELD_BOOL, detached),  ROW(FIELD_BOOL, remove),
    ROW(FIELD_BOOL, logged),    ROW(FIELD_BOOL, oom_killed),
    ROW(FIELD_BOOL, tty),       ROW(FIELD_BOOL, open_stdin),
    ROW(FIELD_TEXT, config),    ROW(FIELD_U32, stop_timeout_ms),
};

enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

static void put_escaped(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", to);
        else if (*text == '\\')
            fputs("\\\\", to);
        else
            fputc(*text, to);
    }
}

static void unescape(char *text)
{
    char *to = text;

    for (; *text; text++) {
        if (*text == '\\' && text[1])
            *to++ = *++text == 'n' ? '\n' : *text;
        else
            *to++ = *text;
    }
    *to = '\0';
}

static void put_field(FILE *to, const struct record *record,
                      const struct field *field)
{
    const void *at = (const char *)record + field->offset;

    fprintf(to, "%s=", field->key);
    switch (field->kind) {
    case FIELD_TEXT:
        put_escaped(to, *(char *const *)at ? *(char *const *)at : "");
        break;
    case FIELD_NAME:
        fputs(at, to);
        break;
    case FIELD_U32:
        fprintf(to, "%u", *(const uint32_t *)at);
        break;
    case FIELD_64:
        fprintf(to, "%lld", (long long)*(const int64_t *)at);
        break;
    case FIELD_BOOL:
        fputc(*(const bool *)at ? '1' : '0', to);
        break;
    }
    fputc('\n', to);
}

/* Unknown keys are those of a later version: skipped. */
static bool take_line(struct record *record, char *line)
{
    char *value = strchr(line, '=');

    if (!value)
        return false;
    *value++ = '\0';
    for (int i = 0; i < FIELD_COUNT; i++) {
        void *at = (char *)record + fields[i].offset;

        if (strcmp(fields[i].key, line) != 0)
            continue;
        if (fields[i].kind == FIELD_TEXT) {
            unescape(value);
            return record_set(at, value);
        }
        if (fields[i].kind == FIELD_NAME)
            snprintf(at, RECORD_NAME_MAX + 1, "%s", value);
        else if (fields[i].kind == FIELD_U32)
            *(uint32_t *)at = (uint32_t)strtoul(value, NULL, 10);
        else if (fields[i].kind == FIELD_64)
            *(int64_t *)at = strtoll(value, NULL, 10);
        else
            *(bool *)at = *value == '1';
    }
    return true;
}

int record_save(struct record *record, struct sm_error *err)
{
    int fd = openat(record->folder, "machine.new",
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
    bool fine = to;

    if (!to) {
        if (fd >= 0)
            close(fd);
        return text_fail_os(err, "machine %s: its record", record->id);
    }
    for (int i = 0; i < FIELD_COUNT; i++)
        put_field(to, record, &fields[i]);
    fine = !ferror(to);
    if (fclose(to) != 0 || !fine ||
        renameat(record->folder, "machine.new", record->folder, "machine"))
        return text_fail_os(err, "machine %s: its record", record->id);
    return 0;
}

int record_load(struct record *record, struct sm_error *err)
{
    int fd = openat(record->folder, "machine", O_RDONLY | O_CLOEXEC);
    FILE *from = fd < 0 ? NULL : fdopen(fd, "r");
    size_t capacity = 0;
    char *line = NULL;
    bool fine = true;
    ssize_t length;

    if (!from) {
        if (fd >= 0)
            close(fd);
        return text_fail_os(err, "machine %s: its record", record->id);
    }
    while (fine && (length = getline(&line, &capacity, from)) > 0) {
        if (line[length - 1] == '\n')
            line[length - 1] = '\0';
        fine = length < FILE_MAX && take_line(record, line);
    }
    free(line);
    fclose(from);
    if (!fine || record->state > RECORD_DEAD || !record->image)
        return text_fail(err, SM_EIO, "machine %s: its record is damaged",
                         record->id);
    return 0;
}
