/* test_snapshot.c: the public calls of snapshots, as far as no machine runs. */
#include "../shelf/stand.h"
#include "api/inside.h"
#include "base/own.h"
#include "machine/snapshots.h"
#include "platform/file.h"
#include "unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct place {
    char path[64];
    struct sm_host *host;
    char *programs; /* as origin.programs has them */
};

static int write_file(const struct place *place, const char *name,
                      const char *text)
{
    char path[128];
    int fd;

    snprintf(path, sizeof path, "%s/%s", place->path, name);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

/* A home, and a kernel and an agent of no use. */
static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    struct sm_host_config config;
    int kernel;
    int agent;

    assert_non_null(place);
    snprintf(place->path, sizeof place->path, "/tmp/snapshots-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    kernel = write_file(place, "vmlinux", "kernel");
    agent = write_file(place, "initramfs.cpio", "agent");
    assert_int_equal(snapshots_describe(kernel, agent, &place->programs, NULL),
                     0);
    close(kernel);
    close(agent);
    sm_host_config_init(&config);
    config.home = config.runtime_dir = place->path;
    assert_int_equal(sm_host_new(&config, &place->host, NULL), 0);
    *state = place;
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
    struct place *place = *state;

    sm_host_free(place->host);
    assert_int_equal(nftw(place->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(place->programs);
    free(place);
    return 0;
}

/* A snapshot that fits here, with a command that goes on in (channel). */
static void keep(const struct place *place, const char *name, uint32_t channel)
{
    struct snapshot_manifest manifest;
    struct shelf_folder *folder;
    char made[SHELF_NAME_MAX + 1];

    assert_true(stand_manifest(&manifest));
    free(manifest.origin.programs);
    manifest.origin.programs = strdup(place->programs);
    free(own_take(manifest.origin.architecture));
    assert_int_equal(
        snapshots_architecture(&manifest.origin.architecture, NULL), 0);
    manifest.program.channel = channel;
    assert_int_equal(shelf_begin(place->path, &folder, NULL), 0);
    for (unsigned file = 0; file < SNAPSHOT_FILES; file++) {
        int fd;

        if (!snapshot_has_file(&manifest, file))
            continue;
        assert_int_equal(shelf_add_new(folder, file, &fd, NULL), 0);
        assert_int_equal(file_set_size(fd, manifest.bytes[file], NULL), 0);
        close(fd);
    }
    assert_int_equal(shelf_finish(folder, &manifest,
                                  &(struct shelf_finish){.name = name}, made,
                                  NULL),
                     0);
    shelf_free(folder);
    snapshot_manifest_done(&manifest);
}

static int make(const struct place *place,
                const struct sm_machine_config *config, struct sm_error *err)
{
    struct sm_machine *machine;
    int rc = sm_machine_new(place->host, NULL, config, &machine, err);

    if (!rc)
        sm_machine_free(machine);
    return rc;
}

static void test_snapshot_config_begins_with_its_defaults(void **state)
{
    struct sm_snapshot_config config;

    (void)state;
    memset(&config, 0xff, sizeof config);
    sm_snapshot_config_init(&config);
    assert_int_equal(config.size, sizeof config);
    assert_null(config.name);
    assert_null(config.command);
    assert_int_equal(config.flags, 0);
}

static void test_snapshot_machines_have_what_theirs_had(void **state)
{
    const struct place *place = *state;
    struct sm_machine_config config;
    struct sm_machine *machine;
    struct sm_error err;
    char *text;

    keep(place, "ready", 1);
    sm_machine_config_init(&config);
    config.snapshot = "ready";
    assert_int_equal(sm_machine_new(place->host, NULL, &config, &machine, &err),
                     0);
    assert_int_equal(machine->limit_count, 2);
    assert_int_equal(machine->limits[0].soft, 1024);
    assert_string_equal(machine->defaults.workdir, "/srv");
    assert_string_equal(machine->image_name, "nginx:1.25");
    assert_string_equal(machine->parent, "ready");
    assert_int_equal(
        sm_machine_inspect(machine, SM_INSPECT_MACHINE, &text, &err), 0);
    assert_non_null(strstr(text, "\"memory_bytes\":33554432"));
    assert_non_null(strstr(text, "\"vcpus\":2"));
    assert_non_null(strstr(text, "\"processes_max\":100"));
    assert_non_null(strstr(text, "\"labels\":{}"));
    free(text);
    /* It goes on with what it has, whatever becomes of the folder. */
    assert_int_equal(
        sm_store_remove(place->host, "snapshot:ready", 0, NULL, NULL, &err), 0);
    assert_int_equal(make(place, &config, &err), SM_ENOENT);
    sm_machine_free(machine);
}

static void test_snapshot_what_contradicts_it_is_refused(void **state)
{
    const struct place *place = *state;
    const struct sm_image image = {.name = (char[]){"image"}};
    struct sm_machine_config config;
    struct sm_machine *machine;
    struct sm_error err;

    keep(place, "ready", 1);
    sm_machine_config_init(&config);
    assert_int_equal(make(place, &config, &err), SM_EINVAL);
    assert_int_equal(make(place, NULL, &err), SM_EINVAL);
    config.snapshot = "ready";
    assert_int_equal(
        sm_machine_new(place->host, &image, &config, &machine, &err),
        SM_EINVAL);
    assert_int_equal(make(place, &config, &err), 0);
    config.memory_bytes = STAND_MEMORY;
    config.vcpus = 2;
    assert_int_equal(make(place, &config, &err), 0);
    config.memory_bytes *= 2;
    assert_int_equal(make(place, &config, &err), SM_EINVAL);
    config.memory_bytes = 0;
    config.vcpus = 3;
    assert_int_equal(make(place, &config, &err), SM_EINVAL);
    config.vcpus = 0;
    config.cold = 1;
    assert_int_equal(make(place, &config, &err), SM_EINVAL);
    config.cold = 0;
    config.kernel_args = "quiet";
    assert_int_equal(make(place, &config, &err), SM_EINVAL);
    config.kernel_args = NULL;
    config.kernel = "/boot/vmlinux";
    assert_int_equal(make(place, &config, &err), SM_EINVAL);
    config.kernel = NULL;
    config.snapshot = "raedy";
    assert_int_equal(make(place, &config, &err), SM_ENOENT);
    assert_non_null(strstr(err.message, "ready"));
    config.snapshot = "../ready";
    assert_int_equal(make(place, &config, &err), SM_EINVAL);
}

static void test_snapshot_one_exec_goes_on(void **state)
{
    static const char *const argv[] = {"true", NULL};
    const struct place *place = *state;
    struct sm_machine_config config;
    struct sm_exec_config command;
    struct sm_machine *machine;
    struct sm_error err;
    struct sm_exec *exec;
    struct sm_exec *other;

    keep(place, "ready", 1);
    keep(place, "silent", 0);
    sm_machine_config_init(&config);
    sm_exec_config_init(&command);
    command.resume = 1;
    config.snapshot = "silent";
    assert_int_equal(sm_machine_new(place->host, NULL, &config, &machine, &err),
                     0);
    assert_int_equal(sm_exec_new(machine, &command, &exec, &err), SM_EINVAL);
    sm_machine_free(machine);
    config.snapshot = "ready";
    assert_int_equal(sm_machine_new(place->host, NULL, &config, &machine, &err),
                     0);
    command.argv = argv;
    assert_int_equal(sm_exec_new(machine, &command, &exec, &err), SM_EINVAL);
    command.argv = NULL;
    command.tty = 1;
    assert_int_equal(sm_exec_new(machine, &command, &exec, &err), SM_EINVAL);
    command.tty = 0;
    assert_int_equal(sm_exec_new(machine, &command, &exec, &err), 0);
    assert_int_equal(sm_exec_new(machine, &command, &other, &err), SM_ESTATE);
    command.resume = 0;
    command.argv = argv;
    assert_int_equal(sm_exec_new(machine, &command, &other, &err), 0);
    sm_exec_free(other);
    sm_exec_free(exec);
    sm_machine_free(machine);
}

/* A machine that does not run. */
static void expect_nothing_to_keep(struct sm_machine *machine,
                                   const struct sm_snapshot_config *wish)
{
    struct sm_error err;
    int rc = sm_snapshot_create(machine, wish, NULL, &err);

    assert_true(rc == SM_ESTATE || rc == SM_ENOTSUP);
}

static void test_snapshot_wishes_are_checked(void **state)
{
    const struct place *place = *state;
    struct sm_machine_config config;
    struct sm_snapshot_config wish;
    struct sm_snapshot_info info;
    struct sm_machine *machine;
    struct sm_machine *other;
    struct sm_machine *forks[1];
    struct sm_exec_config command;
    struct sm_exec *exec;
    struct sm_error err;
    int rc;

    keep(place, "ready", 1);
    sm_machine_config_init(&config);
    config.snapshot = "ready";
    assert_int_equal(sm_machine_new(place->host, NULL, &config, &machine, &err),
                     0);
    assert_int_equal(sm_machine_new(place->host, NULL, &config, &other, &err),
                     0);
    sm_exec_config_init(&command);
    command.resume = 1;
    assert_int_equal(sm_exec_new(other, &command, &exec, &err), 0);

    sm_snapshot_config_init(&wish);
    assert_int_equal(sm_snapshot_create(machine, &wish, &info, &err),
                     SM_EINVAL);
    wish.name = "a/b";
    assert_int_equal(sm_snapshot_create(machine, &wish, &info, &err),
                     SM_EINVAL);
    wish.name = "ready";
    assert_int_equal(sm_snapshot_create(machine, &wish, &info, &err),
                     SM_EEXIST);
    wish.flags = 16;
    assert_int_equal(sm_snapshot_create(machine, &wish, &info, &err),
                     SM_EINVAL);
    wish.flags = SM_SNAPSHOT_TEMPORARY;
    assert_int_equal(sm_snapshot_create(machine, &wish, &info, &err),
                     SM_EINVAL);
    wish.flags = 0;
    wish.name = "new";
    wish.command = exec;
    assert_int_equal(sm_snapshot_create(machine, &wish, &info, &err),
                     SM_EINVAL);
    wish.command = NULL;
    expect_nothing_to_keep(machine, &wish);
    wish.flags = SM_SNAPSHOT_NOWAIT;
    expect_nothing_to_keep(machine, &wish);

    assert_int_equal(sm_machine_fork(machine, NULL, 0, forks, &err), SM_EINVAL);
    assert_int_equal(sm_machine_fork(machine, NULL, 257, forks, &err),
                     SM_EINVAL);
    assert_int_equal(sm_machine_fork(machine, &config, 1, forks, &err),
                     SM_EINVAL);
    rc = sm_machine_fork(machine, NULL, 1, forks, &err);
    assert_true(rc == SM_ESTATE || rc == SM_ENOTSUP);
    sm_exec_free(exec);
    sm_machine_free(machine);
    sm_machine_free(other);
}

static void note(void *context, const struct sm_stored_snapshot *snapshot)
{
    char *names = context;
    size_t used = strlen(names);

    assert_string_equal(snapshot->image, "nginx:1.25");
    assert_string_equal(snapshot->command, "nginx ");
    assert_int_equal(snapshot->memory_bytes, STAND_MEMORY);
    assert_non_null(strstr(snapshot->json, "\"vcpus\":2"));
    snprintf(names + used, 64 - used, "%s ", snapshot->name);
}

static void test_snapshot_list_is_in_order(void **state)
{
    const struct place *place = *state;
    char names[64] = "";
    struct sm_error err;
    char *text;

    assert_int_equal(sm_snapshot_list(place->host, note, names, &err), 0);
    keep(place, "b", 1);
    keep(place, "a", 1);
    assert_int_equal(sm_snapshot_list(place->host, note, names, &err), 0);
    assert_string_equal(names, "a b ");
    assert_int_equal(sm_store_inspect(place->host, "snapshot:a", &text, &err),
                     0);
    assert_non_null(strstr(text, "\"manifest\":"));
    free(text);
    assert_int_equal(sm_store_inspect(place->host, "snapshot:c", &text, &err),
                     SM_ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot_config_begins_with_its_defaults),
        TEST(test_snapshot_machines_have_what_theirs_had),
        TEST(test_snapshot_what_contradicts_it_is_refused),
        TEST(test_snapshot_one_exec_goes_on),
        TEST(test_snapshot_wishes_are_checked),
        TEST(test_snapshot_list_is_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
