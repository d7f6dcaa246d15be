/* test_folder.c: the folders of snapshots: made, found, replaced and removed,
 * by many, and by processes that end in the middle of it. */
#include "base/own.h"
#include "failing_alloc.h"
#include "platform/file.h"
#include "stand.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

/* ---- a process that ends at a step ---- */

static unsigned steps;
static unsigned last_step; /* 0: none is */

/* As SIGKILL would: nothing is cleaned up. */
static void step(void)
{
    if (++steps == last_step)
        _exit(9);
}

int __real_linkat(int, const char *, int, const char *, int);
int __wrap_linkat(int, const char *, int, const char *, int);
int __wrap_linkat(int from, const char *a, int to, const char *b, int flags)
{
    step();
    return __real_linkat(from, a, to, b, flags);
}

int __real_mkdirat(int, const char *, mode_t);
int __wrap_mkdirat(int, const char *, mode_t);
int __wrap_mkdirat(int folder, const char *name, mode_t mode)
{
    step();
    return __real_mkdirat(folder, name, mode);
}

/* What openat() and pwrite() are called where offsets have 64 bits. */
int __real_openat64(int, const char *, int, mode_t);
int __wrap_openat64(int, const char *, int, mode_t);
int __wrap_openat64(int folder, const char *name, int flags, mode_t mode)
{
    step();
    return __real_openat64(folder, name, flags, mode);
}

ssize_t __real_pwrite64(int, const void *, size_t, off_t);
ssize_t __wrap_pwrite64(int, const void *, size_t, off_t);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t count, off_t at)
{
    step();
    return __real_pwrite64(fd, from, count, at);
}

int __real_renameat(int, const char *, int, const char *);
int __wrap_renameat(int, const char *, int, const char *);
int __wrap_renameat(int from, const char *a, int to, const char *b)
{
    step();
    return __real_renameat(from, a, to, b);
}

static bool no_exchange; /* the file system has none */

int __real_renameat2(int, const char *, int, const char *, unsigned);
int __wrap_renameat2(int, const char *, int, const char *, unsigned);
int __wrap_renameat2(int from, const char *a, int to, const char *b,
                     unsigned flags)
{
    step();
    errno = EINVAL;
    return no_exchange ? -1 : __real_renameat2(from, a, to, b, flags);
}

int __real_unlinkat(int, const char *, int);
int __wrap_unlinkat(int, const char *, int);
int __wrap_unlinkat(int folder, const char *name, int flags)
{
    step();
    return __real_unlinkat(folder, name, flags);
}

int __real_fsync(int);
int __wrap_fsync(int);
int __wrap_fsync(int fd)
{
    step();
    return __real_fsync(fd);
}

/* ---- a home ---- */

struct home {
    char path[64];
    int files[SNAPSHOT_FILES]; /* what snapshots are made of */
};

static int make_file(const char *folder, uint64_t bytes, char letter)
{
    int fd;

    assert_int_equal(file_unnamed(folder, &fd, NULL), 0);
    assert_int_equal(file_set_size(fd, bytes, NULL), 0);
    assert_int_equal(file_write_at(fd, &letter, 1, bytes / 2, NULL), 0);
    return fd;
}

static int set_up(void **state)
{
    struct home *home = calloc(1, sizeof *home);

    assert_non_null(home);
    snprintf(home->path, sizeof home->path, "/tmp/shelf-XXXXXX");
    assert_non_null(mkdtemp(home->path));
    for (unsigned file = 0; file < SNAPSHOT_FILES; file++)
        home->files[file] = -1;
    home->files[SNAPSHOT_STATE] = make_file(home->path, STAND_STATE, 's');
    home->files[SNAPSHOT_MEMORY] = make_file(home->path, STAND_MEMORY, 'm');
    home->files[SNAPSHOT_DIFFERENTIAL] =
        make_file(home->path, STAND_MEMORY, 'd');
    home->files[SNAPSHOT_ROOTFS] = make_file(home->path, STAND_DISK, 'r');
    home->files[SNAPSHOT_DISK] = make_file(home->path, STAND_LAYER, '0');
    home->files[SNAPSHOT_DISK + 1] = make_file(home->path, STAND_LAYER, '1');
    *state = home;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static int tear_down(void **state)
{
    struct home *home = *state;

    for (unsigned file = 0; file < SNAPSHOT_FILES; file++)
        if (home->files[file] >= 0)
            close(home->files[file]);
    assert_int_equal(nftw(home->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(home);
    return 0;
}

static int make(const struct home *home, const char *name, bool replace,
                uint32_t vcpus, char *ret_name, struct sm_error *err)
{
    const struct shelf_finish finish = {.name = name, .replace = replace};
    char made[SHELF_NAME_MAX + 1] = "";
    struct snapshot_manifest manifest;
    struct shelf_folder *folder = NULL;
    int rc = stand_manifest(&manifest) ? 0 : fail(err, SM_ENOMEM, "stand");

    if (rc)
        return rc;
    manifest.vcpus = vcpus;
    rc = shelf_begin(home->path, &folder, err);
    for (unsigned file = 0; file < SNAPSHOT_FILES && !rc; file++)
        if (home->files[file] >= 0)
            rc = shelf_add(folder, file, home->files[file], err);
    if (!rc)
        rc = shelf_finish(folder, &manifest, &finish, made, err);
    if (!rc && ret_name)
        memcpy(ret_name, made, sizeof made);
    shelf_free(folder);
    snapshot_manifest_done(&manifest);
    return rc;
}

static int keep(void *context, const struct shelf_item *item,
                struct sm_error *err)
{
    char *names = context;
    size_t used = strlen(names);

    (void)err;
    snprintf(names + used, 256 - used, "%s:%u ", item->name,
             item->manifest->vcpus);
    return 0;
}

/* "NAME:VCPUS " of each that is listed. */
static const char *list(const struct home *home)
{
    static char names[256];

    names[0] = '\0';
    assert_int_equal(shelf_walk(home->path, keep, names, NULL), 0);
    return names;
}

/* Of all names below HOME/snapshots, hidden ones too. */
static unsigned count_folders(const struct home *home)
{
    char path[96];
    unsigned count = 0;
    DIR *folder;

    snprintf(path, sizeof path, "%s/snapshots", home->path);
    folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(folder);
    return count;
}

static unsigned count_listed(const struct home *home)
{
    unsigned count = 0;

    for (const char *at = list(home); *at; at++)
        count += *at == ':';
    return count;
}

/* ---- tests ---- */

static void test_shelf_what_is_made_is_found(void **state)
{
    const struct home *home = *state;
    struct shelf_snapshot snapshot;
    struct sm_error err;
    struct stat st;
    char letter;

    assert_int_equal(make(home, "b", false, 2, NULL, &err), 0);
    assert_int_equal(make(home, "a", false, 1, NULL, &err), 0);
    assert_string_equal(list(home), "a:1 b:2 ");
    assert_int_equal(shelf_open(home->path, "a", &snapshot, &err), 0);
    assert_int_equal(snapshot.manifest.vcpus, 1);
    assert_int_equal(file_read_at(snapshot.fds[SNAPSHOT_DIFFERENTIAL], &letter,
                                  1, STAND_MEMORY / 2, &err),
                     0);
    assert_int_equal(letter, 'd');
    /* One file, in both of them. */
    assert_int_equal(fstat(snapshot.fds[SNAPSHOT_MEMORY], &st), 0);
    assert_int_equal(st.st_nlink, 2);
    assert_true(snapshot.fds[SNAPSHOT_DISK + 1] >= 0);
    assert_int_equal(snapshot.fds[SNAPSHOT_DISK + 2], -1);
    shelf_snapshot_done(&snapshot);
}

static void test_shelf_names_are_taken_once(void **state)
{
    const struct home *home = *state;
    struct sm_error err;

    assert_int_equal(make(home, "a", false, 1, NULL, &err), 0);
    assert_int_equal(make(home, "a", false, 2, NULL, &err), SM_EEXIST);
    assert_string_equal(list(home), "a:1 ");
    assert_int_equal(make(home, "a", true, 2, NULL, &err), 0);
    assert_string_equal(list(home), "a:2 ");
    assert_int_equal(make(home, "new", true, 3, NULL, &err), 0);
    no_exchange = true;
    assert_int_equal(make(home, "a", true, 4, NULL, &err), 0);
    assert_int_equal(make(home, "newer", true, 5, NULL, &err), 0);
    no_exchange = false;
    assert_string_equal(list(home), "a:4 new:3 newer:5 ");
    assert_int_equal(count_folders(home), 3);
}

static void test_shelf_refuses_names_that_are_none(void **state)
{
    static const char *const names[] = {
        "",
        ".",
        "..",
        ".tmp-0123456789abcdef",
        "a/b",
        "../a",
        "-a",
        "a b",
        "_a",
        "\xc3\xa4",
        "01234567890123456789012345678901234567890123456789012345678901234"};
    const struct home *home = *state;
    struct shelf_snapshot snapshot;
    uint64_t bytes;

    assert_int_equal(make(home, "a", false, 1, NULL, NULL), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(make(home, names[i], false, 1, NULL, NULL), SM_EINVAL);
        assert_int_not_equal(shelf_open(home->path, names[i], &snapshot, NULL),
                             0);
        assert_int_not_equal(shelf_remove(home->path, names[i], &bytes, NULL),
                             0);
    }
    assert_int_equal(make(home, "A9_.-", false, 1, NULL, NULL), 0);
    assert_string_equal(list(home), "A9_.-:1 a:1 ");
}

static void test_shelf_near_names_are_told(void **state)
{
    const struct home *home = *state;
    struct shelf_snapshot snapshot;
    struct sm_error err;
    uint64_t bytes;

    assert_int_equal(shelf_open(home->path, "a", &snapshot, &err), SM_ENOENT);
    assert_int_equal(shelf_remove(home->path, "a", &bytes, &err), SM_ENOENT);
    assert_string_equal(list(home), "");
    assert_int_equal(make(home, "ready", false, 1, NULL, NULL), 0);
    assert_int_equal(shelf_open(home->path, "raedy", &snapshot, &err),
                     SM_ENOENT);
    assert_non_null(strstr(err.message, "ready"));
    assert_int_equal(shelf_remove(home->path, "raedy", &bytes, &err),
                     SM_ENOENT);
    assert_non_null(strstr(err.message, "ready"));
}

static int sizes(void *context, const struct shelf_item *item,
                 struct sm_error *err)
{
    (void)err;
    *(struct shelf_item *)context = *item;
    return 0;
}

static void test_shelf_sizes_are_what_the_disk_has(void **state)
{
    const struct home *home = *state;
    struct shelf_item item;
    uint64_t alone;
    uint64_t freed;

    assert_int_equal(make(home, "a", false, 1, NULL, NULL), 0);
    assert_int_equal(shelf_look(home->path, "a", sizes, &item, NULL), 0);
    assert_int_equal(item.shared_bytes, 0);
    /* Most of the memory is a hole. */
    assert_true(item.own_bytes > 0 && item.own_bytes < 1 << 20);
    alone = item.own_bytes;
    assert_int_equal(make(home, "b", false, 1, NULL, NULL), 0);
    assert_int_equal(shelf_look(home->path, "a", sizes, &item, NULL), 0);
    assert_int_equal(item.own_bytes + item.shared_bytes, alone);
    assert_true(item.own_bytes < alone);
    assert_int_equal(shelf_remove(home->path, "b", &freed, NULL), 0);
    assert_int_equal(freed, item.own_bytes);
    assert_int_equal(shelf_remove(home->path, "a", &freed, NULL), 0);
    assert_int_equal(freed, alone);
    assert_int_equal(count_folders(home), 0);
}

/* What has lost its last name cannot get another: it is copied. */
static void test_shelf_takes_files_whose_names_are_gone(void **state)
{
    struct home *home = *state;
    struct shelf_snapshot snapshot;
    struct shelf_snapshot before;
    struct stat st;
    uint64_t bytes;
    char letter;

    assert_int_equal(make(home, "a", false, 1, NULL, NULL), 0);
    assert_int_equal(shelf_open(home->path, "a", &before, NULL), 0);
    assert_int_equal(shelf_remove(home->path, "a", &bytes, NULL), 0);
    /* Those who have it go on. */
    assert_int_equal(file_read_at(before.fds[SNAPSHOT_MEMORY], &letter, 1,
                                  STAND_MEMORY / 2, NULL),
                     0);
    for (unsigned file = 0; file < SNAPSHOT_FILES; file++)
        if (before.fds[file] >= 0) {
            close(home->files[file]);
            home->files[file] = own_take_fd(&before.fds[file]);
        }
    shelf_snapshot_done(&before);
    assert_int_equal(make(home, "b", false, 1, NULL, NULL), 0);
    assert_int_equal(shelf_open(home->path, "b", &snapshot, NULL), 0);
    assert_int_equal(fstat(snapshot.fds[SNAPSHOT_MEMORY], &st), 0);
    assert_int_equal(st.st_size, STAND_MEMORY);
    assert_true(st.st_blocks * 512 < 1 << 20);
    assert_int_equal(file_read_at(snapshot.fds[SNAPSHOT_MEMORY], &letter, 1,
                                  STAND_MEMORY / 2, NULL),
                     0);
    assert_int_equal(letter, 'm');
    shelf_snapshot_done(&snapshot);
}

static void set_age(const struct home *home, const char *name, time_t seconds)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - seconds},
                                {.tv_sec = time(NULL) - seconds}};
    char path[160];

    snprintf(path, sizeof path, "%s/snapshots/%s", home->path, name);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void note(void *context, const char *name, uint64_t bytes)
{
    assert_true(bytes > 0);
    snprintf(context, 256, "%s", name);
}

static void test_shelf_temporary_ones_are_used_and_go(void **state)
{
    const struct home *home = *state;
    char first[SHELF_NAME_MAX + 1];
    char second[SHELF_NAME_MAX + 1];
    struct shelf_snapshot snapshot;
    char told[256] = "";
    uint64_t bytes;

    assert_int_equal(make(home, NULL, false, 1, first, NULL), 0);
    assert_int_equal(make(home, NULL, false, 1, second, NULL), 0);
    assert_string_equal(list(home), "");
    assert_int_equal(shelf_open(home->path, first, &snapshot, NULL), 0);
    shelf_snapshot_done(&snapshot);
    assert_int_equal(shelf_remove(home->path, first, &bytes, NULL), 0);
    shelf_sweep(home->path, note, told);
    assert_string_equal(told, "");
    set_age(home, second, SHELF_TEMPORARY_MAX_S + 10);
    shelf_sweep(home->path, note, told);
    assert_string_equal(told, second);
    assert_int_equal(count_folders(home), 0);
}

static void test_shelf_a_makers_folder_is_not_swept(void **state)
{
    const struct home *home = *state;
    struct shelf_folder *folder;

    assert_int_equal(shelf_begin(home->path, &folder, NULL), 0);
    shelf_sweep(home->path, NULL, NULL);
    assert_int_equal(count_folders(home), 1);
    assert_int_equal(make(home, "a", false, 1, NULL, NULL), 0);
    assert_int_equal(count_folders(home), 2);
    shelf_free(folder);
    assert_int_equal(count_folders(home), 1);
}

static void write_over(const struct home *home, const char *name,
                       const char *file, const char *text)
{
    char path[160];
    FILE *to;

    snprintf(path, sizeof path, "%s/snapshots/%s/%s", home->path, name, file);
    unlink(path);
    to = fopen(path, "w");
    assert_non_null(to);
    fputs(text, to);
    fclose(to);
}

static void test_shelf_damaged_ones_are_not_opened(void **state)
{
    static const char *const files[] = {"manifest.json", "state",  "memory",
                                        "differential",  "rootfs", "disk.1"};
    const struct home *home = *state;
    struct shelf_snapshot snapshot;
    char path[160];
    struct sm_error err;
    uint64_t bytes;

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_int_equal(make(home, "a", true, 1, NULL, &err), 0);
        write_over(home, "a", files[i], "short");
        assert_int_equal(shelf_open(home->path, "a", &snapshot, &err),
                         SM_EIMAGE);
        assert_non_null(strstr(err.message, files[i]));
        snprintf(path, sizeof path, "%s/snapshots/a/%s", home->path, files[i]);
        unlink(path);
        assert_int_equal(shelf_open(home->path, "a", &snapshot, &err),
                         SM_EIMAGE);
        assert_int_equal(symlink("/etc/passwd", path), 0);
        assert_int_equal(shelf_open(home->path, "a", &snapshot, &err),
                         SM_EIMAGE);
        unlink(path);
        assert_int_equal(mkfifo(path, 0600), 0);
        assert_int_equal(shelf_open(home->path, "a", &snapshot, &err),
                         SM_EIMAGE);
        assert_int_equal(shelf_remove(home->path, "a", &bytes, &err), 0);
    }
    assert_int_equal(count_folders(home), 0);
}

static void test_shelf_notes_where_its_programs_are(void **state)
{
    const struct home *home = *state;
    struct shelf_snapshot snapshot;
    struct shelf_snapshot other;

    assert_int_equal(make(home, "a", false, 1, NULL, NULL), 0);
    assert_int_equal(shelf_open(home->path, "a", &snapshot, NULL), 0);
    free(snapshot.manifest.origin.programs);
    snapshot.manifest.origin.programs = strdup("here");
    shelf_note_programs(home->path, "a", &snapshot);
    assert_int_equal(shelf_open(home->path, "a", &other, NULL), 0);
    assert_string_equal(other.manifest.origin.programs, "here");
    shelf_snapshot_done(&other);
    /* What has the name now is not told of what had it. */
    assert_int_equal(ftruncate(snapshot.fds[SNAPSHOT_STATE], 0), -1);
    close(((struct home *)*state)->files[SNAPSHOT_STATE]);
    ((struct home *)*state)->files[SNAPSHOT_STATE] =
        make_file(home->path, STAND_STATE, 't');
    assert_int_equal(make(home, "a", true, 2, NULL, NULL), 0);
    shelf_note_programs(home->path, "a", &snapshot);
    assert_string_equal(list(home), "a:2 ");
    shelf_snapshot_done(&snapshot);
}

/* ---- ends ---- */

typedef void work_fn(const struct home *home);

static void work_make(const struct home *home)
{
    if (make(home, "new", false, 3, NULL, NULL) != 0)
        _exit(1);
}

static void work_replace(const struct home *home)
{
    if (make(home, "old", true, 3, NULL, NULL) != 0)
        _exit(1);
}

static void work_replace_in_two(const struct home *home)
{
    no_exchange = true;
    work_replace(home);
}

static void work_remove(const struct home *home)
{
    uint64_t bytes;

    if (shelf_remove(home->path, "old", &bytes, NULL) != 0)
        _exit(1);
}

static void work_temporary(const struct home *home)
{
    if (make(home, NULL, false, 3, NULL, NULL) != 0)
        _exit(1);
}

/* Returns true if the work was done before step (number). */
static bool end_at(const struct home *home, work_fn *work, unsigned number)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        steps = 0;
        last_step = number;
        work(home);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0);
    return WEXITSTATUS(status) == 0;
}

static void test_shelf_survives_ends_at_any_step(void **state)
{
    static const struct {
        work_fn *work;
        const char *before;
        const char *after;
        const char *between; /* NULL: nothing */
        unsigned steps;      /* at least */
    } works[] = {
        {work_make, "old:1 ", "new:3 old:1 ", NULL, 20},
        {work_replace, "old:1 ", "old:3 ", NULL, 20},
        {work_replace_in_two, "old:1 ", "old:3 ", "", 20},
        {work_remove, "old:1 ", "", NULL, 5},
        {work_temporary, "old:1 ", "old:1 ", NULL, 10},
    };
    const struct home *home = *state;
    struct shelf_snapshot snapshot;
    char name[SHELF_NAME_MAX + 1];
    uint64_t bytes;

    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        unsigned number = 0;
        bool done = false;

        while (!done) {
            const char *seen;

            shelf_remove(home->path, "new", &bytes, NULL);
            assert_int_equal(make(home, "old", true, 1, NULL, NULL), 0);
            done = end_at(home, works[i].work, ++number);
            /* It is as it was, or as it was to be. */
            seen = list(home);
            assert_true(
                strcmp(seen, works[i].before) == 0 ||
                strcmp(seen, works[i].after) == 0 ||
                (works[i].between && strcmp(seen, works[i].between) == 0));
            if (strstr(seen, "old")) {
                assert_int_equal(shelf_open(home->path, "old", &snapshot, NULL),
                                 0);
                shelf_snapshot_done(&snapshot);
            }
            /* The next one works, and leaves nothing of this one. */
            assert_int_equal(make(home, "next", true, 1, name, NULL), 0);
            assert_int_equal(shelf_remove(home->path, "next", &bytes, NULL), 0);
            /* Of temporary ones that came to be, one is there. */
            assert_int_equal(count_folders(home),
                             count_listed(home) + (i == 4 && done));
        }
        print_message("%zu: ended at each of %u steps\n", i, number);
        assert_true(number > works[i].steps);
    }
    shelf_remove(home->path, "new", &bytes, NULL);
    shelf_remove(home->path, "old", &bytes, NULL);
}

/* ---- no memory ---- */

static int try_make(void *context, struct sm_error *err)
{
    return make(context, NULL, false, 1, NULL, err);
}

static int try_open(void *context, struct sm_error *err)
{
    const struct home *home = context;
    struct shelf_snapshot snapshot;
    struct shelf_snapshot copy;
    int rc = shelf_open(home->path, "a", &snapshot, err);

    if (rc)
        return rc;
    rc = shelf_snapshot_copy(&copy, &snapshot, err);
    shelf_snapshot_done(&snapshot);
    if (!rc)
        shelf_snapshot_done(&copy);
    return rc;
}

static int try_walk(void *context, struct sm_error *err)
{
    char names[256] = "";

    return shelf_walk(((const struct home *)context)->path, keep, names, err);
}

static void test_shelf_without_memory_is_an_error(void **state)
{
    struct home *home = *state;

    assert_int_equal(make(home, "a", false, 1, NULL, NULL), 0);
    assert_true(alloc_each_is_survived(try_make, home, 40));
    assert_true(alloc_each_fails(try_open, home, 40));
    assert_true(alloc_each_fails(try_walk, home, 20));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_shelf_what_is_made_is_found),
        TEST(test_shelf_names_are_taken_once),
        TEST(test_shelf_refuses_names_that_are_none),
        TEST(test_shelf_near_names_are_told),
        TEST(test_shelf_sizes_are_what_the_disk_has),
        TEST(test_shelf_takes_files_whose_names_are_gone),
        TEST(test_shelf_temporary_ones_are_used_and_go),
        TEST(test_shelf_a_makers_folder_is_not_swept),
        TEST(test_shelf_damaged_ones_are_not_opened),
        TEST(test_shelf_notes_where_its_programs_are),
        TEST(test_shelf_survives_ends_at_any_step),
        TEST(test_shelf_without_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
