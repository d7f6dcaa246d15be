/* test_identity.c: files and numbers that are the machine's own, and those of
 * the clone that it becomes. In a root of its own, which needs privileges.
 */
#include "identity.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the two above. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static struct identity identity;
static bool ready;

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void expect_text(const char *path, const char *text)
{
    char got[128] = "";
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    got[fread(got, 1, sizeof got - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(got, text);
}

/* An empty root, an image's files in it, and the kernel's. */
static int enter_root(void **state)
{
    (void)state;
    if (unshare(CLONE_NEWNS) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return 0;
    assert_int_equal(mount("root", "/tmp", "tmpfs", 0, NULL), 0);
    assert_int_equal(mkdir("/tmp/etc", 0755), 0);
    assert_int_equal(mkdir("/tmp/proc", 0755), 0);
    assert_int_equal(mount("/proc", "/tmp/proc", NULL, MS_BIND | MS_REC, NULL),
                     0);
    assert_int_equal(chroot("/tmp"), 0);
    assert_int_equal(chdir("/"), 0);
    identity = IDENTITY_NONE;
    assert_int_equal(identity_open(&identity, NULL), 0);
    ready = true;
    return 0;
}

static void test_identity_ids_are_replaced_in_place(void **state)
{
    static const uint8_t none[16];
    static const uint8_t first[16] = {1, 2, 0xab};
    static const uint8_t second[16] = {3, 4, 0xcd};
    int kept;
    char text[64] = "";

    (void)state;
    if (!ready)
        skip();
    write_text("/etc/machine-id", "the image's\n");
    assert_int_equal(identity_place_ids(&identity, first, first, NULL), 0);
    expect_text("/etc/machine-id", "0102ab00000000000000000000000000\n");
    expect_text(BOOT_ID, "0102ab00-0000-0000-0000-000000000000\n");
    kept = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    assert_int_equal(identity_place_ids(&identity, second, second, NULL), 0);
    expect_text("/etc/machine-id", "0304cd00000000000000000000000000\n");
    expect_text(BOOT_ID, "0304cd00-0000-0000-0000-000000000000\n");
    assert_int_equal(read(kept, text, sizeof text), 33);
    assert_memory_equal(text, "0304cd", 6);
    close(kept);
    assert_int_equal(identity_place_ids(&identity, none, none, NULL), 0);
    expect_text("/etc/machine-id", "0304cd00000000000000000000000000\n");
    /* One mount each, however often. */
    assert_int_equal(umount("/etc/machine-id"), 0);
    expect_text("/etc/machine-id", "the image's\n");
    assert_int_equal(umount(BOOT_ID), 0);
}

static void test_identity_files_are_replaced_in_place(void **state)
{
    const struct agent_file first = {.path = "/etc/hostname",
                                     .mode = 0640,
                                     .flags = AGENT_FILE_BIND,
                                     .bytes = (const uint8_t *)"a long name\n",
                                     .count = 12};
    const struct agent_file second[] = {
        {.path = "/etc/hostname",
         .mode = 0644,
         .flags = AGENT_FILE_BIND,
         .bytes = (const uint8_t *)"other\n",
         .count = 6},
        /* This one was not there before. */
        {.path = "/etc/far/hosts",
         .mode = 0600,
         .flags = AGENT_FILE_BIND,
         .bytes = (const uint8_t *)"new\n",
         .count = 4},
        {.path = "/var/plain",
         .mode = 04755,
         .bytes = (const uint8_t *)"disk\n",
         .count = 5},
    };
    struct stat st;

    (void)state;
    if (!ready)
        skip();
    assert_int_equal(identity_place_files(&identity, &first, 1, NULL), 0);
    expect_text("/etc/hostname", "a long name\n");
    assert_int_equal(
        identity_place_files(&identity, second, ARRAY_LEN(second), NULL), 0);
    expect_text("/etc/hostname", "other\n");
    assert_int_equal(stat("/etc/hostname", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    expect_text("/etc/far/hosts", "new\n");
    expect_text("/var/plain", "disk\n");
    assert_int_equal(umount("/etc/hostname"), 0);
    expect_text("/etc/hostname", "");
}

static void test_identity_tells_programs(void **state)
{
    static const uint8_t generation[16] = {0xfe, 0xdc};
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    char events[256];
    char before[34];
    const char *page;
    struct stat st;
    int fd;

    (void)state;
    if (!ready)
        skip();
    assert_int_equal(identity_tell(&identity, NULL, NULL), 0);
    assert_int_equal(stat(IDENTITY_NOTICE, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0444);
    assert_int_equal(st.st_size, 33);
    fd = open(IDENTITY_NOTICE, O_RDONLY | O_CLOEXEC);
    page = mmap(NULL, 33, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    memcpy(before, page, 33);
    assert_true(inotify_add_watch(watch, IDENTITY_NOTICE, IN_MODIFY) >= 0);
    assert_int_equal(identity_tell(&identity, generation, NULL), 0);
    assert_memory_not_equal(page, before, 33);
    assert_memory_equal(page, "fedc0000000000000000000000000000\n", 33);
    assert_true(read(watch, events, sizeof events) > 0);
    munmap((void *)(uintptr_t)page, 33);
    close(fd);
    close(watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity_ids_are_replaced_in_place),
        cmocka_unit_test(test_identity_files_are_replaced_in_place),
        cmocka_unit_test(test_identity_tells_programs),
    };

    return cmocka_run_group_tests(tests, enter_root, NULL);
}
