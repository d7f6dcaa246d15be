/* test_snapshot.c: a machine that was saved goes on, as often as one likes; a
 * snapshot that is not whole does not. */
#include "arch/arch.h"
#include "base/bytes.h"
#include "played.h"
#include "snapshot/snapshot.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SERIAL = 0x3f8,
    SCRATCH = SERIAL + 7, /* a byte that the port keeps for its driver */
    LOW = 0x5000,         /* guest memory with something in it         */
    HIGH = 32 << 20,
    MEMORY = 64 << 20,
    STATE_MAX = 1 << 20,
    HEADER = 24,
    VECTOR = 0x41,   /* of an interrupt, whose pin is open */
    MASKED = 1 << 16 /* a pin that is not                  */
};

static const char label[] = "test 1";

/* One file with both parts, as templates have it. */
struct saved {
    int fd;
    struct snapshot_place place;
    uint64_t memory_bytes;
};

static void save(struct played *played, struct saved *to)
{
    const struct snapshot_wanted wanted = {.label = label, .full = true};
    struct snapshot_capture *capture = NULL;
    struct snapshot_files files;
    struct sm_error err;

    to->fd = memfd_create("snapshot", MFD_CLOEXEC);
    to->place = (struct snapshot_place){.fd = to->fd, .at = MEMORY};
    vm_pause(played->vm);
    assert_int_equal(vm_freeze(played->vm, &err), 0);
    files = (struct snapshot_files){.state = to->place, .memory_fd = to->fd};
    assert_int_equal(snapshot_capture(played->vm, &wanted, &capture, &err), 0);
    assert_true(snapshot_is_full(capture));
    assert_int_equal(snapshot_store(capture, &files, &to->memory_bytes, &err),
                     0);
    snapshot_capture_free(capture);
    vm_thaw(played->vm);
    vm_resume(played->vm);
}

/* A machine of two vcpus that has done something, saved. */
static void save_one(struct saved *to)
{
    struct played played;

    played_init(&played, 2, NULL);
    played_add(&played, 0, FAKE_PIO_WRITE(SCRATCH, 1, 'k'));
    played_start(&played);
    played_wait(&played, 0, 1);
    memcpy(fake_memory(played.script, GPA(LOW), 5), "hello", 5);
    memcpy(fake_memory(played.script, GPA(HIGH), 5), "world", 5);
    save(&played, to);
    /* It goes on after that, and what it does is its own. */
    played_add(&played, 0, FAKE_PIO_WRITE(SCRATCH, 1, 'x'));
    played_wait(&played, 0, 2);
    memcpy(fake_memory(played.script, GPA(LOW), 5), "later", 5);
    played_done(&played);
}

/* Make a machine of (saved), as it is or with other bytes. */
static int load(struct played *played, const struct saved *from,
                struct sm_error *err)
{
    struct snapshot snapshot = {0};
    struct vm_saved saved = {.memory_fd = from->fd};
    int rc = snapshot_read(&from->place, label, &snapshot, err);

    if (rc)
        return rc;
    saved.state = snapshot.state;
    saved.count = snapshot.state_count;
    played->saved = &saved;
    rc = played_make(played, err);
    played->saved = NULL;
    snapshot_done(&snapshot);
    return rc;
}

static void test_snapshot_goes_on_twice(void **state)
{
    struct hv_reg rip = {.group = HV_X86_GENERAL, .number = HV_X86_RIP};
    struct saved saved;
    struct stat st;

    (void)state;
    save_one(&saved);
    assert_in_range(saved.memory_bytes, 2 * 4096, 2 << 20);
    assert_int_equal(fstat(saved.fd, &st), 0);
    assert_in_range(st.st_size, MEMORY + HEADER, MEMORY + STATE_MAX);
    assert_true(st.st_blocks * 512 < 4 << 20);
    for (unsigned i = 0; i < 2; i++) {
        struct played played;
        struct sm_error err;

        played_init(&played, 2, NULL);
        assert_int_equal(load(&played, &saved, &err), 0);
        assert_true(fake_reg(played.script, 0, &rip));
        assert_int_equal(rip.value, PLAYED_ENTRY);
        assert_memory_equal(fake_memory(played.script, GPA(LOW), 5), "hello",
                            5);
        assert_memory_equal(fake_memory(played.script, GPA(HIGH), 5), "world",
                            5);
        played_add(&played, 0, FAKE_PIO_READ(SCRATCH, 1));
        vm_run(played.vm);
        played_wait(&played, 0, 1);
        assert_int_equal(played_read(&played, 0), 'k');
        /* A clone's writes are nobody else's. */
        memset(fake_memory(played.script, GPA(LOW), 5), 0, 5);
        played_done(&played);
    }
    close(saved.fd);
}

static void test_snapshot_of_a_machine_under_way(void **state)
{
    struct played played;
    struct saved saved;
    struct saved idle;

    (void)state;
    played_init(&played, 2, NULL);
    for (unsigned i = 0; i < 40; i++)
        played_add(&played, 0, FAKE_PIO_WRITE(SCRATCH, 1, i));
    played_start(&played);
    save(&played, &saved);
    played_wait(&played, 0, 40);
    save(&played, &idle);
    close(idle.fd);
    played_done(&played);
    played_init(&played, 2, NULL);
    assert_int_equal(load(&played, &saved, NULL), 0);
    played_add(&played, 0, FAKE_PIO_READ(SCRATCH, 1));
    vm_run(played.vm);
    played_wait(&played, 0, 1);
    assert_in_range(played_read(&played, 0), 0, 39);
    played_done(&played);
    close(saved.fd);
}

static void test_snapshot_is_of_what_it_says(void **state)
{
    struct snapshot snapshot;
    struct played played;
    struct sm_error err;
    struct saved saved;

    (void)state;
    save_one(&saved);
    assert_int_equal(snapshot_read(&saved.place, "test 2", &snapshot, &err),
                     SM_ENOENT);
    assert_int_equal(snapshot_read(&saved.place, "test", &snapshot, &err),
                     SM_ENOENT);
    played_init(&played, 1, NULL);
    assert_int_equal(load(&played, &saved, &err), SM_EINVAL);
    assert_non_null(strstr(err.message, "2 vcpus"));
    played_done(&played);
    close(saved.fd);
}

/* The state as a whole, to be damaged. */
static size_t read_state(const struct saved *saved, uint8_t *to)
{
    ssize_t count = pread(saved->fd, to, STATE_MAX, MEMORY);

    assert_in_range(count, HEADER, STATE_MAX);
    return (size_t)count;
}

static void test_snapshot_that_is_not_whole_is_refused(void **state)
{
    static uint8_t bytes[STATE_MAX];
    struct snapshot snapshot;
    struct saved saved;
    size_t count;

    (void)state;
    save_one(&saved);
    count = read_state(&saved, bytes);
    /* Any byte of it. The version is told apart: it may be a newer one. */
    for (size_t i = 0; i < count; i++) {
        uint8_t other = bytes[i] ^ 0x10;
        int expected = i >= 8 && i < 12 ? SM_ENOTSUP : SM_EIMAGE;

        assert_int_equal(pwrite(saved.fd, &other, 1, (off_t)(MEMORY + i)), 1);
        assert_int_equal(snapshot_read(&saved.place, label, &snapshot, NULL),
                         expected);
        assert_int_equal(pwrite(saved.fd, &bytes[i], 1, (off_t)(MEMORY + i)),
                         1);
    }
    for (size_t left = 0; left < count; left += 97) {
        assert_int_equal(ftruncate(saved.fd, (off_t)(MEMORY + left)), 0);
        assert_int_equal(snapshot_read(&saved.place, label, &snapshot, NULL),
                         SM_EIMAGE);
    }
    saved.place.at = UINT64_MAX;
    assert_int_equal(snapshot_read(&saved.place, label, &snapshot, NULL),
                     SM_EIMAGE);
    close(saved.fd);
}

static void test_snapshot_without_all_of_its_memory_is_refused(void **state)
{
    static uint8_t bytes[STATE_MAX];
    struct played played;
    struct sm_error err;
    struct saved saved;
    struct saved cut;
    size_t count;

    (void)state;
    save_one(&saved);
    count = read_state(&saved, bytes);
    cut = saved;
    cut.fd = memfd_create("memory", MFD_CLOEXEC);
    assert_int_equal(ftruncate(cut.fd, MEMORY - 4096), 0);
    played_init(&played, 2, NULL);
    assert_int_equal(load(&played, &cut, &err), SM_EIMAGE);
    played_done(&played);
    assert_true(count > 0);
    close(cut.fd);
    close(saved.fd);
}

/* Records that the checksum does not protect: whoever can write a snapshot can
 * count its checksum as well. Nothing may crash; what is taken, runs. */
static void test_snapshot_state_of_nonsense(void **state)
{
    enum { ROUNDS = 400 };
    static uint8_t bytes[STATE_MAX];
    struct snapshot snapshot;
    struct saved saved;
    unsigned seed = 1;

    (void)state;
    save_one(&saved);
    assert_int_equal(snapshot_read(&saved.place, label, &snapshot, NULL), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct vm_saved broken = {.state = bytes,
                                  .count = snapshot.state_count,
                                  .memory_fd = saved.fd};
        struct played played;
        int rc;

        memcpy(bytes, snapshot.state, snapshot.state_count);
        for (unsigned i = 0; i < 1 + round % 4; i++) {
            seed = seed * 1103515245 + 12345;
            bytes[seed / 7 % snapshot.state_count] = (uint8_t)(seed >> 20);
        }
        if (round % 5 == 0)
            broken.count = seed / 3 % snapshot.state_count;
        played_init(&played, 2, NULL);
        played.saved = &broken;
        rc = played_make(&played, NULL);
        assert_true(rc == 0 || rc == SM_EIMAGE || rc == SM_ENOTSUP ||
                    rc == SM_EINVAL);
        played.saved = NULL;
        played_done(&played);
    }
    snapshot_done(&snapshot);
    close(saved.fd);
}

/* A machine whose guest listens to its generation's pin, or not, saved; its id
 * is left in (id). */
static void save_listener(struct saved *to, bool listens, uint8_t id[])
{
    struct arch_place generation = arch_place(ARCH_GENERATION);
    uint64_t ioapic = arch_place(ARCH_IOAPIC).at;
    struct played played;

    played_init(&played, 1, NULL);
    played_add(&played, 0,
               FAKE_MMIO_WRITE(ioapic, 4, 0x10 + 2 * generation.gsi));
    played_add(&played, 0,
               FAKE_MMIO_WRITE(ioapic + 0x10, 4, listens ? VECTOR : MASKED));
    played_start(&played);
    played_wait(&played, 0, 2);
    assert_int_equal(fake_msis(played.script, NULL, 0), 0);
    memcpy(id, fake_memory(played.script, GPA(generation.at), 16), 16);
    save(&played, to);
    played_done(&played);
}

static void test_snapshot_goes_on_as_another_generation(void **state)
{
    uint64_t at = arch_place(ARCH_GENERATION).at;
    uint8_t id[3][16];

    (void)state;
    for (unsigned listens = 0; listens < 2; listens++) {
        struct saved saved;

        save_listener(&saved, listens, id[0]);
        for (unsigned i = 1; i < 3; i++) {
            struct played played;
            struct hv_msi msi;

            played_init(&played, 1, NULL);
            assert_int_equal(load(&played, &saved, NULL), 0);
            memcpy(id[i], fake_memory(played.script, GPA(at), 16), 16);
            assert_int_equal(fake_msis(played.script, &msi, 1), listens);
            if (listens)
                assert_int_equal(msi.data, VECTOR);
            played_done(&played);
        }
        assert_memory_not_equal(id[0], id[1], 16);
        assert_memory_not_equal(id[0], id[2], 16);
        assert_memory_not_equal(id[1], id[2], 16);
        close(saved.fd);
    }
}

static void test_snapshot_of_another_hypervisor_is_refused(void **state)
{
    const char *name = hv_fake.name;
    struct snapshot snapshot;
    struct played played;
    struct sm_error err;
    struct saved saved;
    struct vm_saved other;
    uint8_t *found;

    (void)state;
    save_one(&saved);
    assert_int_equal(snapshot_read(&saved.place, label, &snapshot, NULL), 0);
    found = memmem(snapshot.state, snapshot.state_count, name, strlen(name));
    assert_non_null(found);
    found[0] = 'x';
    other = (struct vm_saved){.state = snapshot.state,
                              .count = snapshot.state_count,
                              .memory_fd = saved.fd};
    played_init(&played, 2, NULL);
    played.saved = &other;
    assert_int_equal(played_make(&played, &err), SM_ENOTSUP);
    assert_non_null(strstr(err.message, name));
    played.saved = NULL;
    played_done(&played);
    snapshot_done(&snapshot);
    close(saved.fd);
}

static void test_snapshot_hot_pages(void **state)
{
    struct vm_range *hot = NULL;
    struct played played;
    struct sm_error err;
    struct saved saved;
    size_t count;
    int fd = memfd_create("hot", MFD_CLOEXEC);
    int other = memfd_create("other", MFD_CLOEXEC);

    (void)state;
    save_one(&saved);
    played_init(&played, 2, NULL);
    assert_int_equal(load(&played, &saved, &err), 0);
    memset(fake_memory(played.script, GPA(HIGH), 8192), 1, 8192);
    memset(fake_memory(played.script, GPA(HIGH + 5 * 4096), 1), 1, 1);
    assert_int_equal(snapshot_write_hot(vm_memory(played.vm), fd, &err), 0);
    memset(fake_memory(played.script, GPA(HIGH), 5 << 20), 1, 5 << 20);
    assert_int_equal(snapshot_write_hot(vm_memory(played.vm), other, &err),
                     SM_ELIMIT);
    played_done(&played);
    assert_int_equal(snapshot_read_hot(fd, &hot, &count, &err), 0);
    assert_int_equal(count, 3);
    assert_int_equal(hot[0].at, arch_place(ARCH_GENERATION).at);
    assert_int_equal(hot[0].bytes, 4096);
    assert_int_equal(hot[1].at, HIGH);
    assert_int_equal(hot[1].bytes, 8192);
    assert_int_equal(hot[2].at, HIGH + 5 * 4096);
    assert_int_equal(hot[2].bytes, 4096);
    free(hot);
    assert_int_equal(ftruncate(fd, 39), 0);
    assert_int_equal(snapshot_read_hot(fd, &hot, &count, &err), SM_EIMAGE);
    assert_int_equal(snapshot_read_hot(other, &hot, &count, &err), SM_EIMAGE);
    assert_int_equal(ftruncate(other, 24), 0);
    assert_int_equal(snapshot_read_hot(other, &hot, &count, &err), SM_EIMAGE);
    assert_int_equal(ftruncate(fd, 8 + 16 * (SNAPSHOT_HOT_MAX + 1)), 0);
    assert_int_equal(snapshot_read_hot(fd, &hot, &count, &err), SM_ELIMIT);
    close(fd);
    close(other);
    close(saved.fd);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot_goes_on_twice),
        cmocka_unit_test(test_snapshot_of_a_machine_under_way),
        cmocka_unit_test(test_snapshot_is_of_what_it_says),
        cmocka_unit_test(test_snapshot_that_is_not_whole_is_refused),
        cmocka_unit_test(test_snapshot_without_all_of_its_memory_is_refused),
        cmocka_unit_test(test_snapshot_state_of_nonsense),
        cmocka_unit_test(test_snapshot_goes_on_as_another_generation),
        cmocka_unit_test(test_snapshot_of_another_hypervisor_is_refused),
        cmocka_unit_test(test_snapshot_hot_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
