/* test_snapshot.c: a machine saved, and made of what was saved, when memory
 * runs out. */
#include "../vm/played.h"
#include "base/bytes.h"
#include "base/own.h"
#include "failing_alloc.h"
#include "snapshot/snapshot.h"
#include "unit.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHANGED = 5 << 20 };

/* Two files: all that a snapshot is. */
struct saved {
    struct snapshot_files files;
};

static void open_files(struct saved *saved)
{
    saved->files = (struct snapshot_files){
        .state = {.fd = memfd_create("state", MFD_CLOEXEC)},
        .memory_fd = memfd_create("memory", MFD_CLOEXEC)};
}

static void close_files(struct saved *saved)
{
    close(saved->files.memory_fd);
    close(saved->files.state.fd);
}

static int save(struct vm *vm, const struct saved *to, struct sm_error *err)
{
    const struct snapshot_wanted wanted = {.label = "scarce"};
    AUTO(snapshot_capture_freep) struct snapshot_capture *capture = NULL;
    uint64_t bytes;
    int rc;

    vm_pause(vm);
    assert_int_equal(vm_freeze(vm, NULL), 0);
    rc = snapshot_capture(vm, &wanted, &capture, err);
    if (!rc) {
        /* From here on there is nothing left to run out of. */
        size_t live = alloc_live();

        rc = snapshot_store(capture, &to->files, &bytes, err);
        assert_int_equal(alloc_live(), live);
    }
    vm_thaw(vm);
    vm_resume(vm);
    return rc;
}

/* Go on from the two snapshots and save that again. */
struct path {
    struct saved base;
    struct saved differential;
    int kernel_fd;
};

static int load(struct played *played, const struct path *path,
                struct sm_error *err)
{
    struct vm_saved saved = {.memory_fd = path->base.files.memory_fd,
                             .differential_fd =
                                 path->differential.files.memory_fd};
    struct snapshot snapshot = {0};
    int rc = snapshot_read(&path->differential.files.state, "scarce", &snapshot,
                           err);

    if (rc)
        return rc;
    saved.state = snapshot.state;
    saved.count = snapshot.state_count;
    saved.range = snapshot.range;
    saved.range_count = snapshot.range_count;
    played->saved = &saved;
    rc = played_make(played, err);
    snapshot_done(&snapshot);
    return rc;
}

static int go_on_and_save(void *context, struct sm_error *err)
{
    struct path *path = context;
    struct played played = {.vcpus = 1, .kernel_fd = path->kernel_fd};
    struct saved saved;
    int rc = loop_new(&played.loop, err);

    open_files(&saved);
    played.script = fake_script_new(NULL);
    if (!rc && !played.script)
        rc = fail(err, SM_ENOMEM, "script: out of memory");
    if (!rc)
        rc = load(&played, path, err);
    if (!rc) {
        vm_run(played.vm);
        memset(fake_memory(played.script, GPA(CHANGED), 4096), 'y', 4096);
        rc = save(played.vm, &saved, err);
    }
    vm_free(played.vm);
    fake_script_free(played.script);
    loop_free(played.loop);
    close_files(&saved);
    return rc;
}

/* A machine that was booted; and room for one that comes out of it. */
static void save_first(struct path *path)
{
    struct played played;

    open_files(&path->base);
    open_files(&path->differential);
    played_init(&played, 1, NULL);
    played_start(&played);
    assert_int_equal(save(played.vm, &path->base, NULL), 0);
    played_done(&played);
}

static void test_scarce_snapshot_says_so(void **state)
{
    struct path path;
    struct path first;
    struct played played;

    (void)state;
    save_first(&path);
    played_init(&played, 1, NULL);
    path.kernel_fd = played.kernel_fd;
    first = path;
    first.differential.files.state = path.base.files.state;
    assert_int_equal(load(&played, &first, NULL), 0);
    vm_run(played.vm);
    memset(fake_memory(played.script, GPA(CHANGED), 8192), 'x', 8192);
    assert_int_equal(save(played.vm, &path.differential, NULL), 0);
    assert_true(alloc_each_fails(go_on_and_save, &path, 30));
    played_done(&played);
    close_files(&path.differential);
    close_files(&path.base);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scarce_snapshot_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
