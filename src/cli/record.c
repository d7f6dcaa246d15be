/* record.c: the folders of machines; see record.h. */
#include "record.h"

#include "names.h"
#include "record_file.h"
#include "text.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STALE_S = 60 };

static const char *const state_names[] = {"created", "running", "paused",
                                          "exited", "dead"};

const char *record_state_name(enum record_state state)
{
    return state_names[state];
}

bool record_is_live(const struct record *record)
{
    return record->state == RECORD_CREATED || record->state == RECORD_RUNNING ||
           record->state == RECORD_PAUSED;
}

int64_t record_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool record_set(char **field, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return false;
    free(*field);
    *field = copy;
    return true;
}

static void record_init(struct record *record)
{
    *record = (struct record){.folder = -1, .lock = -1};
}

void record_done(struct record *record)
{
    free(record->home);
    free(record->image);
    free(record->command);
    free(record->error);
    free(record->labels);
    free(record->config);
    if (record->folder >= 0)
        close(record->folder);
    if (record->lock >= 0)
        close(record->lock);
    record_init(record);
}

/* --------------------------------------------------------- the folders -- */

/* The folder "HOME/machines", or below it (sub). */
static int open_folder(const char *home, const char *sub, bool make)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/machines", home);

    if (length < 0 || (size_t)length + strlen(sub) + 2 > sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (make && mkdir(path, 0700) != 0 && errno != EEXIST)
        return -1;
    if (*sub) {
        snprintf(path + length, sizeof path - (size_t)length, "/%s", sub);
        if (make && mkdir(path, 0700) != 0 && errno != EEXIST)
            return -1;
    }
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* False: a keeper has it. */
static bool take_lock(struct record *record)
{
    int fd = openat(record->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return false;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return false;
    }
    record->lock = fd;
    return true;
}

static void empty_folder(int folder)
{
    static const char *const names[] = {"machine", "machine.new", "control",
                                        "log", "lock"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlinkat(folder, names[i], 0);
}

static bool is_name(const char *name)
{
    if (!isalnum((unsigned char)*name) || strlen(name) > RECORD_NAME_MAX)
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("_.-", *name))
            return false;
    return true;
}

/* Whose name it is: a link to a machine that is there. */
static bool is_taken(int machines, int names, const char *name)
{
    char id[RECORD_ID_DIGITS + 1];
    ssize_t length = readlinkat(names, name, id, sizeof id - 1);

    if (length != RECORD_ID_DIGITS)
        return false;
    id[length] = '\0';
    return faccessat(machines, id, F_OK, 0) == 0;
}

static int claim(struct record *record, const char *name, struct sm_error *err)
{
    int names = open_folder(record->home, "names", true);
    int machines = open_folder(record->home, "", true);
    int rc = 0;

    if (names < 0 || machines < 0)
        rc = text_fail_os(err, "%s/machines", record->home);
    while (!rc && symlinkat(record->id, names, name) != 0) {
        if (errno != EEXIST)
            rc = text_fail_os(err, "name %s", name);
        else if (is_taken(machines, names, name))
            rc = text_fail(err, SM_EEXIST,
                           "the name %s is taken: remove that machine "
                           "(supermachine rm %s), rename it, or take another "
                           "name",
                           name, name);
        else
            unlinkat(names, name, 0); /* of a machine that is gone */
    }
    if (!rc)
        snprintf(record->name, sizeof record->name, "%s", name);
    if (names >= 0)
        close(names);
    if (machines >= 0)
        close(machines);
    return rc;
}

static void unclaim(const struct record *record, const char *name)
{
    int names = open_folder(record->home, "names", false);
    char id[RECORD_ID_DIGITS + 1];

    if (names < 0)
        return;
    if (readlinkat(names, name, id, sizeof id) == RECORD_ID_DIGITS &&
        memcmp(id, record->id, RECORD_ID_DIGITS) == 0)
        unlinkat(names, name, 0);
    close(names);
}

static int claim_some_name(struct record *record, struct sm_error *err)
{
    char name[RECORD_NAME_MAX + 1];
    int rc = SM_EEXIST;

    for (int i = 0; rc == SM_EEXIST && i < 64; i++) {
        if (!names_make(name, sizeof name))
            return text_fail(err, SM_EIO, "no random numbers");
        rc = claim(record, name, err);
    }
    return rc;
}

static bool make_id(char *to)
{
    uint8_t bytes[RECORD_ID_DIGITS / 2];

    if (getentropy(bytes, sizeof bytes) != 0)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(to + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

/* As ".new-ID"; the caller renames it. */
static int make_folder(struct record *record, int machines,
                       struct sm_error *err)
{
    char fresh[RECORD_ID_DIGITS + 8];

    snprintf(fresh, sizeof fresh, ".new-%s", record->id);
    if (mkdirat(machines, fresh, 0700) != 0)
        return text_fail_os(err, "%s/machines", record->home);
    record->folder =
        openat(machines, fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (record->folder < 0 || !take_lock(record) ||
        renameat(machines, fresh, machines, record->id) != 0) {
        int rc = text_fail_os(err, "%s/machines", record->home);

        if (record->folder >= 0)
            empty_folder(record->folder);
        unlinkat(machines, fresh, AT_REMOVEDIR);
        return rc;
    }
    return 0;
}

int record_create(const char *home, const char *name, struct record *ret,
                  struct sm_error *err)
{
    int machines;
    int rc = 0;

    record_init(ret);
    if (name && !is_name(name))
        return text_fail(err, SM_EINVAL,
                         "the name %s: letters, digits, _ . and -, at most "
                         "%d, the first a letter or digit",
                         name, RECORD_NAME_MAX);
    if (!make_id(ret->id))
        return text_fail(err, SM_EIO, "no random numbers");
    if (!record_set(&ret->home, home))
        return text_fail(err, SM_ENOMEM, "out of memory");
    machines = open_folder(home, "", true);
    if (machines < 0)
        rc = text_fail_os(err, "%s/machines", home);
    if (!rc)
        rc = make_folder(ret, machines, err);
    if (machines >= 0)
        close(machines);
    if (!rc)
        rc = name ? claim(ret, name, err) : claim_some_name(ret, err);
    if (rc && ret->folder >= 0)
        record_remove(ret);
    if (rc)
        record_done(ret);
    return rc;
}

int record_rename(struct record *record, const char *name, struct sm_error *err)
{
    char before[RECORD_NAME_MAX + 1];
    int rc;

    if (!is_name(name))
        return text_fail(err, SM_EINVAL,
                         "the name %s: letters, digits, _ . and -, at most "
                         "%d, the first a letter or digit",
                         name, RECORD_NAME_MAX);
    memcpy(before, record->name, sizeof before);
    rc = claim(record, name, err);
    if (!rc)
        rc = record_save(record, err);
    if (!rc)
        unclaim(record, before);
    return rc;
}

void record_remove(struct record *record)
{
    int machines = open_folder(record->home, "", false);

    unclaim(record, record->name);
    if (machines < 0)
        return;
    empty_folder(record->folder);
    unlinkat(machines, record->id, AT_REMOVEDIR);
    close(machines);
}

int record_prepare(const char *home, struct sm_error *err)
{
    int machines = open_folder(home, "", true);

    if (machines < 0)
        return text_fail_os(err, "%s/machines", home);
    close(machines);
    return 0;
}

/* ------------------------------------------------------------- finding -- */

/* A machine whose keeper died says so from now on. */
static int open_record(const char *home, int machines, const char *id,
                       struct record *ret, struct sm_error *err)
{
    int rc;

    record_init(ret);
    snprintf(ret->id, sizeof ret->id, "%s", id);
    ret->folder = openat(machines, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ret->folder < 0)
        return text_fail_os(err, "machine %s", id);
    if (!record_set(&ret->home, home))
        rc = text_fail(err, SM_ENOMEM, "out of memory");
    else
        rc = record_load(ret, err);
    if (!rc && record_is_live(ret) && take_lock(ret)) {
        /* The keeper may have written its last word just before. */
        rc = record_load(ret, err);
        if (!rc && record_is_live(ret))
            ret->state = RECORD_DEAD;
        close(ret->lock);
        ret->lock = -1;
    }
    if (rc)
        record_done(ret);
    return rc;
}

/* What a process that was killed while it made a machine left behind. */
static void sweep(const char *home, int machines, const char *name)
{
    struct record record;
    struct stat status;
    time_t now = time(NULL);

    if (fstatat(machines, name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        status.st_mtime > now - STALE_S)
        return;
    record_init(&record);
    record.folder = openat(machines, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (record.folder >= 0 && record_set(&record.home, home) &&
        take_lock(&record)) {
        empty_folder(record.folder);
        unlinkat(machines, name, AT_REMOVEDIR);
    }
    record_done(&record);
}

static int newest_first(const void *a, const void *b)
{
    const struct record *left = a;
    const struct record *right = b;

    return (left->created_ns < right->created_ns) -
           (left->created_ns > right->created_ns);
}

static int read_folder(const char *home, DIR *folder, struct record **ret,
                       size_t *count, struct sm_error *err)
{
    struct dirent *entry;

    while ((entry = readdir(folder))) {
        const char *name = entry->d_name;
        struct record *more;

        if (strlen(name) != RECORD_ID_DIGITS) {
            if (strncmp(name, ".new-", 5) == 0)
                sweep(home, dirfd(folder), name);
            continue;
        }
        more = realloc(*ret, (*count + 1) * sizeof **ret);
        if (!more)
            return text_fail(err, SM_ENOMEM, "out of memory");
        *ret = more;
        /* It may be removed while we look. One that was never written has no
         * keeper any more, and is swept with the rest. */
        if (open_record(home, dirfd(folder), name, &more[*count], NULL) != 0) {
            sweep(home, dirfd(folder), name);
        } else if (more[*count].state == RECORD_DEAD && more[*count].remove) {
            /* Nobody wanted to see it again, and its keeper could not see to
             * that. */
            record_remove(&more[*count]);
            record_done(&more[*count]);
        } else {
            (*count)++;
        }
    }
    return 0;
}

int record_list(const char *home, struct record **ret, size_t *count,
                struct sm_error *err)
{
    int fd = open_folder(home, "", false);
    DIR *folder;
    int rc;

    *ret = NULL;
    *count = 0;
    if (fd < 0 && errno == ENOENT)
        return 0;
    folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        rc = text_fail_os(err, "%s/machines", home);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    rc = read_folder(home, folder, ret, count, err);
    closedir(folder);
    if (rc)
        record_list_done(*ret, *count);
    else if (*count)
        qsort(*ret, *count, sizeof **ret, newest_first);
    return rc;
}

void record_list_done(struct record *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        record_done(&list[i]);
    free(list);
}

static int not_found(const struct record *list, size_t count, const char *word,
                     struct sm_error *err)
{
    const char **names = calloc(count + 1, sizeof *names);
    const char *near = NULL;

    for (size_t i = 0; names && i < count; i++)
        names[i] = list[i].name;
    if (names)
        near = options_nearest(word, names, count);
    free(names);
    if (near)
        return text_fail(err, SM_ENOENT, "no machine %s: did you mean %s?",
                         word, near);
    return text_fail(err, SM_ENOENT, "no machine %s: see supermachine ps -a",
                     word);
}

int record_find(const char *home, const char *word, struct record *ret,
                struct sm_error *err)
{
    struct record *list;
    struct record *found = NULL;
    size_t count;
    size_t matches = 0;
    int rc = record_list(home, &list, &count, err);

    if (rc)
        return rc;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, word) == 0) {
            found = &list[i];
            matches = 1;
            break;
        }
        if (*word && strncmp(list[i].id, word, strlen(word)) == 0) {
            found = &list[i];
            matches++;
        }
    }
    if (matches > 1) {
        rc = text_fail(err, SM_EINVAL,
                       "%s is the beginning of %zu machines' IDs", word,
                       matches);
    } else if (!found) {
        rc = not_found(list, count, word, err);
    } else {
        *ret = *found;
        record_init(found);
    }
    record_list_done(list, count);
    return rc;
}
