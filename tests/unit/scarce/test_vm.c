/* test_vm.c: disks, devices and a whole machine when memory runs out. */
#include "../vm/played.h"
#include "base/bytes.h"
#include "base/own.h"
#include "block/overlay.h"
#include "block/raw.h"
#include "failing_alloc.h"
#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

enum { DISK_BYTES = 1 << 20 };

/* A disk that is written to, over a base; both in memory. */
static int open_disk(struct block **ret, struct sm_error *err)
{
    AUTO_CLOSE int base_fd = memfd_create("base", MFD_CLOEXEC);
    AUTO_CLOSE int fd = memfd_create("overlay", MFD_CLOEXEC);
    AUTO(block_freep) struct block *base = NULL;
    int rc;

    assert_int_equal(ftruncate(base_fd, DISK_BYTES), 0);
    rc = raw_open(base_fd, true, NULL, &base, err);
    if (rc)
        return rc;
    (void)own_take_fd(&base_fd);
    rc = overlay_create(fd, base, DISK_BYTES, ret, err);
    if (rc)
        return rc;
    (void)own_take_fd(&fd);
    (void)own_take(base);
    return 0;
}

static int use_disk(void *context, struct sm_error *err)
{
    AUTO(block_freep) struct block *disk = NULL;
    char bytes[6000] = "bytes";
    struct iovec span = {.iov_base = bytes, .iov_len = sizeof bytes};
    uint64_t used;
    int rc = open_disk(&disk, err);

    (void)context;
    if (!rc)
        rc = block_write(disk, 100, &span, 1, err);
    if (!rc)
        rc = block_read(disk, 50, &span, 1, err);
    if (!rc)
        rc = block_discard(disk, 0, 8192, err);
    if (!rc)
        rc = block_write_zeroes(disk, 300, 9000, true, err);
    if (!rc)
        rc = block_flush(disk, err);
    if (!rc)
        rc = overlay_used_bytes(disk, &used, err);
    return rc ? rc : overlay_freeze(disk, err);
}

static void test_scarce_disk_says_so(void **state)
{
    (void)state;
    assert_true(alloc_each_fails(use_disk, NULL, 3));
}

/* Open (count) files of layers over a base of their own. */
static int open_layers(const int *from, unsigned count, struct block **ret,
                       struct sm_error *err)
{
    AUTO_CLOSE int base_fd = memfd_create("base", MFD_CLOEXEC);
    struct block *base;
    int fd[2];
    int rc;

    assert_int_equal(ftruncate(base_fd, DISK_BYTES), 0);
    rc = raw_open(base_fd, true, NULL, &base, err);
    if (rc)
        return rc;
    (void)own_take_fd(&base_fd);
    for (unsigned i = 0; i < count; i++)
        fd[i] = dup(from[i]);
    return overlay_open_chain(base, fd, count, ret, err);
}

/* (*disk) gets a new top, in a file whose copy is left in (*fd). */
static int split(struct block **disk, int *fd, struct sm_error *err)
{
    int own = memfd_create("layer", MFD_CLOEXEC);
    int rc = overlay_split(*disk, own, disk, err);

    if (rc)
        close(own);
    else
        *fd = dup(own);
    return rc;
}

/* A disk of two sealed layers, which become one below its top. */
static int use_layers(void *context, struct sm_error *err)
{
    AUTO(block_freep) struct block *disk = NULL;
    AUTO_CLOSE int merged = memfd_create("merged", MFD_CLOEXEC);
    AUTO_CLOSE int middle = -1;
    AUTO_CLOSE int top = -1;
    struct block *one;
    char bytes[6000] = "bytes";
    struct iovec span = {.iov_base = bytes, .iov_len = sizeof bytes};
    int rc = open_disk(&disk, err);

    (void)context;
    if (!rc)
        rc = block_write(disk, 100, &span, 1, err);
    if (!rc)
        rc = split(&disk, &middle, err);
    if (!rc)
        rc = block_write(disk, 5000, &span, 1, err);
    if (!rc)
        rc = split(&disk, &top, err);
    if (!rc)
        rc = overlay_merge(overlay_base(disk), merged, err);
    if (!rc)
        rc = open_layers(&merged, 1, &one, err);
    if (rc)
        return rc;
    rc = overlay_rebase(disk, one, err);
    if (rc)
        block_free(one);
    return rc ? rc : block_read(disk, 100, &span, 1, err);
}

static void test_scarce_layers_say_so(void **state)
{
    (void)state;
    assert_true(alloc_each_fails(use_layers, NULL, 10));
}

/* A whole machine on a loop of its own: watches are freed when it next comes
 * round. The disk is the machine's even if that cannot be made. */
static int make_machine(void *context, struct sm_error *err)
{
    struct played played = *(struct played *)context;
    int rc = loop_new(&played.loop, err);

    played.script = fake_script_new(NULL);
    if (!rc && !played.script)
        rc = fail(err, SM_ENOMEM, "script: out of memory");
    if (!rc)
        rc = open_disk(&played.disk, err);
    if (!rc)
        rc = played_make(&played, err);
    vm_free(played.vm);
    fake_script_free(played.script);
    loop_free(played.loop);
    return rc;
}

static void test_scarce_machine_is_taken_apart_again(void **state)
{
    struct played played;

    (void)state;
    played_init(&played, 2, NULL);
    fake_script_free(played.script);
    loop_free(played.loop);
    played.loop = NULL;
    assert_true(alloc_each_fails(make_machine, &played, 25));
    close(played.kernel_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scarce_disk_says_so),
        cmocka_unit_test(test_scarce_layers_say_so),
        cmocka_unit_test(test_scarce_machine_is_taken_apart_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
