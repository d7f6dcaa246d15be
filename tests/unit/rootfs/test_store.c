/* test_store.c: root file systems kept by content: reuse, several makers at
 * once, makers that are killed, a disk that is full. */
#include "seen.h"

#include "base/bytes.h"
#include "oci/layout.h"
#include "platform/file.h"
#include "rootfs/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct stand {
    char folder[STAND_PATH_MAX];
    char layout[STAND_PATH_MAX];
    char home[STAND_PATH_MAX];
    char rootfs[STAND_PATH_MAX];
};

/* Many entries, so that progress is told many times. */
static void make_layout(const char *layout, const char *text)
{
    struct stand_image image;
    struct buf tar;
    char name[32];

    buf_init(&tar, 16 * MIB);
    image_begin(&image, layout);
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "dir/%d", i);
        tar_add(&tar, &(struct tar_entry){.name = name, .size = 20000});
    }
    tar_add(&tar, &(struct tar_entry){.name = "text", .text = text});
    image_layer(&image, &tar);
    image_end(&image);
    buf_done(&tar);
}

static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);

    stand_folder(stand->folder);
    stand_join(stand->layout, stand->folder, "layout");
    stand_join(stand->home, stand->folder, "home");
    stand_join(stand->rootfs, stand->home, "rootfs");
    make_layout(stand->layout, "text");
    *state = stand;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *stand = *state;

    stand_remove(stand->folder);
    free(stand);
    return 0;
}

/* May be called in a child: it ends no test. */
static int prepare(const struct stand *stand, const char *home,
                   rootfs_progress_fn *progress, void *context, char **path,
                   bool *reused, struct sm_error *err)
{
    const struct oci_platform platform = {"linux", "amd64", ""};
    const struct rootfs_options options = {
        .home = home,
        .disk_bytes = 64 * MIB,
        .progress = progress,
        .context = context,
    };
    struct oci_source *source;
    struct oci_image image;
    int rc = layout_open(stand->layout, &source, err);

    if (rc)
        return rc;
    rc = oci_image_load(source, NULL, &platform, &image, err);
    if (!rc)
        rc = rootfs_prepare(source, &image, &options, path, reused, err);
    oci_image_done(&image);
    oci_source_close(source);
    return rc;
}

/* Make or find it, and look at what is there. */
static bool prepared(const struct stand *stand)
{
    struct sm_error err = {0};
    char *path = NULL;
    bool reused = false;
    ext2_filsys fs;

    if (prepare(stand, stand->home, NULL, NULL, &path, &reused, &err))
        fail_msg("%s", err.message);
    seen_clean(path);
    fs = seen_open(path);
    assert_int_equal(seen_count(fs, "dir"), 50);
    seen_close(fs);
    free(path);
    return reused;
}

/* How many files of the folder end in (suffix). */
static unsigned count_files(const char *folder, const char *suffix)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    unsigned count = 0;

    if (!dir)
        return 0;
    while ((entry = readdir(dir)) != NULL) {
        size_t length = strlen(entry->d_name);

        count += length > strlen(suffix) &&
                 strcmp(entry->d_name + length - strlen(suffix), suffix) == 0;
    }
    closedir(dir);
    return count;
}

static void assert_tidy(const struct stand *stand, unsigned images)
{
    assert_int_equal(count_files(stand->rootfs, ".ext4"), images);
    assert_int_equal(count_files(stand->rootfs, ".json"), images);
    assert_int_equal(count_files(stand->rootfs, ".tmp"), 0);
    assert_int_equal(count_files(stand->rootfs, ".lock"), 0);
}

static void test_store_makes_once_and_reuses(void **state)
{
    struct stand *stand = *state;

    assert_false(prepared(stand));
    assert_true(prepared(stand));
    assert_tidy(stand, 1);
    make_layout(stand->layout, "other text");
    assert_false(prepared(stand));
    assert_tidy(stand, 2);
}

static void test_store_many_makers_make_one(void **state)
{
    enum { MAKERS = 6 };
    struct stand *stand = *state;
    pid_t makers[MAKERS];
    int made = 0;

    for (int i = 0; i < MAKERS; i++) {
        makers[i] = fork();
        assert_true(makers[i] >= 0);
        if (makers[i] == 0) {
            char *path;
            bool reused;

            _exit(prepare(stand, stand->home, NULL, NULL, &path, &reused, NULL)
                      ? 2
                      : reused);
        }
    }
    for (int i = 0; i < MAKERS; i++) {
        int status;

        assert_int_equal(waitpid(makers[i], &status, 0), makers[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        made += WEXITSTATUS(status) == 0;
    }
    assert_int_equal(made, 1);
    assert_tidy(stand, 1);
    assert_true(prepared(stand));
}

static void die_at(void *context, const struct rootfs_progress *progress)
{
    int *left = context;

    (void)progress;
    if ((*left)-- == 0)
        raise(SIGKILL);
}

/* Killed after each of these numbers of entries; the last is the end of the
 * only layer, before the directories are written. */
static void test_store_survives_makers_that_are_killed(void **state)
{
    static const int moments[] = {0, 1, 7, 30, 50, 51};
    struct stand *stand = *state;

    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        int left = moments[i];
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            char *path;
            bool reused;

            prepare(stand, stand->home, die_at, &left, &path, &reused, NULL);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(count_files(stand->rootfs, ".ext4"), 0);
        assert_int_equal(count_files(stand->rootfs, ".tmp"), 1);
        assert_false(prepared(stand));
        assert_tidy(stand, 1);
        stand_remove(stand->home);
    }
}

static void test_store_sweeps_what_others_left(void **state)
{
    struct stand *stand = *state;
    char busy[STAND_PATH_MAX];
    int lock;

    assert_int_equal(mkdir(stand->home, 0700), 0);
    assert_int_equal(mkdir(stand->rootfs, 0700), 0);
    stand_print(stand->rootfs, "dead.tmp", "half");
    stand_print(stand->rootfs, "dead.lock", "%s", "");
    stand_print(stand->rootfs, "older.lock", "%s", "");
    stand_print(stand->rootfs, "busy.tmp", "in the making");
    stand_join(busy, stand->rootfs, "busy.lock");
    lock = open(busy, O_CREAT | O_RDWR, 0600);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_false(prepared(stand));
    assert_int_equal(count_files(stand->rootfs, ".tmp"), 1);
    assert_int_equal(count_files(stand->rootfs, ".lock"), 1);
    close(lock);
}

static void test_store_leaves_nothing_of_a_bad_image(void **state)
{
    struct stand *stand = *state;
    struct stand_image image;
    struct sm_error err = {0};
    struct buf tar;
    char *path;
    bool reused;

    buf_init(&tar, MIB);
    image_begin(&image, stand->layout);
    tar_add(&tar, &(struct tar_entry){.name = "../x", .text = "x"});
    image_layer(&image, &tar);
    image_end(&image);
    buf_done(&tar);
    assert_int_equal(
        prepare(stand, stand->home, NULL, NULL, &path, &reused, &err),
        SM_EIMAGE);
    assert_tidy(stand, 0);
}

enum { FULL_OK, FULL_NO_MOUNT = 40, FULL_WRONG, FULL_LEFT };

/* In a child with mounts of its own: a home of (kib) KiB. */
static int fill_disk(const struct stand *stand, unsigned kib)
{
    struct sm_error err = {0};
    char size[32];
    char *path;
    bool reused;

    snprintf(size, sizeof size, "size=%uk", kib);
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return FULL_NO_MOUNT;
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mkdir(stand->home, 0700) != 0 ||
        mount("none", stand->home, "tmpfs", 0, size) != 0)
        return FULL_NO_MOUNT;
    if (prepare(stand, stand->home, NULL, NULL, &path, &reused, &err) !=
            SM_ENOSPC ||
        !strstr(err.message, "SUPERMACHINE_HOME")) {
        print_message("%u KiB: %s\n", kib, err.message);
        return FULL_WRONG;
    }
    return count_files(stand->rootfs, ".ext4") ||
                   count_files(stand->rootfs, ".tmp") ||
                   count_files(stand->rootfs, ".lock")
               ? FULL_LEFT
               : FULL_OK;
}

/* The image takes about 1.3 MiB: the disk is full at its beginning, while
 * files are written, and while directories are. */
static void test_store_says_when_the_disk_is_full(void **state)
{
    static const unsigned sizes_kib[] = {16, 64, 300, 700, 1000};
    struct stand *stand = *state;

    for (size_t i = 0; i < ARRAY_LEN(sizes_kib); i++) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
            _exit(fill_disk(stand, sizes_kib[i]));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == FULL_NO_MOUNT)
            skip(); /* may not mount a small tmpfs here */
        assert_int_equal(WEXITSTATUS(status), FULL_OK);
        stand_remove(stand->home);
    }
}

/* ---- what is there ---- */

struct found {
    struct digest key;
    uint64_t disk_bytes;
    uint64_t used_bytes;
    uint64_t freed_bytes;
    unsigned count;
};

static int note_found(void *context, const struct rootfs_kept *kept,
                      struct sm_error *err)
{
    struct found *found = context;

    (void)err;
    found->key = kept->key;
    found->disk_bytes = kept->disk_bytes;
    found->used_bytes = kept->used_bytes;
    found->freed_bytes = kept->freed_bytes;
    found->count++;
    return 0;
}

static void test_store_removes_what_no_machine_runs_on(void **state)
{
    struct stand *stand = *state;
    struct found found = {0};
    char held[STAND_PATH_MAX + 8];
    char *path = NULL;
    bool reused;
    int fd;

    assert_int_equal(rootfs_walk(stand->home, note_found, &found, NULL), 0);
    assert_int_equal(found.count, 0);
    assert_int_equal(
        prepare(stand, stand->home, NULL, NULL, &path, &reused, NULL), 0);
    assert_int_equal(rootfs_walk(stand->home, note_found, &found, NULL), 0);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.disk_bytes, 64 * MIB);
    assert_in_range(found.used_bytes, MIB, 4 * MIB);
    assert_int_equal(found.freed_bytes, found.used_bytes);
    /* As a snapshot has it. */
    snprintf(held, sizeof held, "%s/held", stand->home);
    assert_int_equal(link(path, held), 0);
    assert_int_equal(rootfs_walk(stand->home, note_found, &found, NULL), 0);
    assert_in_range(found.used_bytes, MIB, 4 * MIB);
    assert_int_equal(found.freed_bytes, 0);
    assert_int_equal(unlink(held), 0);
    fd = open(path, O_RDONLY);
    assert_int_equal(file_hold(fd, NULL), 0);
    assert_true(rootfs_in_use(path));
    assert_int_equal(rootfs_remove(stand->home, &found.key, NULL), SM_EBUSY);
    assert_int_equal(access(path, F_OK), 0);
    close(fd);
    assert_false(rootfs_in_use(path));
    fd = open(path, O_RDONLY);
    assert_int_equal(rootfs_remove(stand->home, &found.key, NULL), 0);
    assert_int_equal(rootfs_remove(stand->home, &found.key, NULL), 0);
    assert_int_equal(file_hold(fd, NULL), SM_ENOENT);
    close(fd);
    assert_int_equal(rmdir(stand->rootfs), 0);
    free(path);
}

/* Killed between two of the files of one. */
static void test_store_sweeps_notes_of_nothing(void **state)
{
    struct stand *stand = *state;
    char *path = NULL;
    bool reused;

    assert_int_equal(
        prepare(stand, stand->home, NULL, NULL, &path, &reused, NULL), 0);
    rootfs_sweep(stand->home);
    assert_int_equal(count_files(stand->rootfs, ".json"), 1);
    assert_int_equal(unlink(path), 0);
    rootfs_sweep(stand->home);
    assert_int_equal(count_files(stand->rootfs, ".json"), 0);
    free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_store_makes_once_and_reuses),
        TEST(test_store_many_makers_make_one),
        TEST(test_store_survives_makers_that_are_killed),
        TEST(test_store_sweeps_what_others_left),
        TEST(test_store_leaves_nothing_of_a_bad_image),
        TEST(test_store_says_when_the_disk_is_full),
        TEST(test_store_removes_what_no_machine_runs_on),
        TEST(test_store_sweeps_notes_of_nothing),
    };

    return cmocka_run_group_tests_name("rootfs_store", tests, NULL, NULL);
}
