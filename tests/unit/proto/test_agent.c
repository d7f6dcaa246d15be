/* test_agent.c: every message comes out as it went in, and nothing cut short
 * is taken for whole. */
#include "base/bytes.h"
#include "failing_alloc.h"
#include "proto/agent.h"
#include "unit.h"

#include <string.h>

/* The one frame in (buf). */
static struct frame frame_in(const struct buf *buf)
{
    struct frame frame = {
        .count = load_le32(buf->data),
        .type = load_le16(buf->data + 4),
        .flags = load_le16(buf->data + 6),
        .channel = load_le32(buf->data + 8),
        .payload = buf->data + FRAME_HEADER_BYTES,
    };

    assert_false(buf->failed);
    assert_int_equal(buf->size, FRAME_HEADER_BYTES + frame.count);
    return frame;
}

static const uint8_t entropy[AGENT_ENTROPY_MIN] = {1, 2, 3};

static const struct agent_mount mounts[] = {
    {"tag", "/mnt", "virtiofs", "dax", AGENT_MOUNT_RDONLY},
    {"/a", "/b", "", "", AGENT_MOUNT_BIND | AGENT_MOUNT_REC},
};
static const struct agent_file files[] = {
    {"/etc/hosts", 0644, 0, 0, AGENT_FILE_BIND, (const uint8_t *)"a\0b", 3},
    {"/empty", 04755, 7, 8, 0, NULL, 0},
};
static const struct agent_setup setup = {
    .wall_clock_ns = 0x1122334455667788,
    .entropy = entropy,
    .entropy_count = sizeof entropy,
    .hostname = "name",
    .machine_id = {9, 8, 7},
    .boot_id = {6, 5, 4},
    .root = {"/dev/vda", NULL, "ext4", "noload", AGENT_MOUNT_NOATIME},
    .mounts = mounts,
    .mount_count = ARRAY_LEN(mounts),
    .files = files,
    .file_count = ARRAY_LEN(files),
    .processes_max = 100,
};

static const char *const argv[] = {"sh", "-c", "", NULL};
static const char *const env[] = {"A=b", "C=", NULL};
static const struct agent_rlimit limits[] = {{7, 5, UINT64_MAX}};
static const char *const second[] = {"echo", "2", NULL};
static const char *const *const then[] = {second, argv};
static const struct agent_exec exec = {
    .argv = argv,
    .env = env,
    .cwd = "/work",
    .user = "app:wheel",
    .flags = AGENT_EXEC_TTY | AGENT_EXEC_STDIN | AGENT_EXEC_KEEP,
    .rows = 24,
    .columns = 80,
    .timeout_ms = 12345,
    .umask = 077,
    .out_window = 1000,
    .err_window = 2000,
    .rlimits = limits,
    .rlimit_count = ARRAY_LEN(limits),
    .then = then,
    .then_count = ARRAY_LEN(then),
    .files = files,
    .file_count = ARRAY_LEN(files),
};

static void test_agent_setup_survives_the_wire(void **state)
{
    struct agent_setup got;
    struct frame frame;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    agent_put_setup(&buf, &setup);
    frame = frame_in(&buf);
    assert_int_equal(agent_check_from_host(&frame, NULL), 0);
    assert_int_equal(agent_get_setup(&got, &frame, NULL), 0);
    assert_int_equal(got.wall_clock_ns, setup.wall_clock_ns);
    assert_int_equal(got.entropy_count, sizeof entropy);
    assert_memory_equal(got.entropy, entropy, sizeof entropy);
    assert_string_equal(got.hostname, "name");
    assert_memory_equal(got.machine_id, setup.machine_id, 16);
    assert_memory_equal(got.boot_id, setup.boot_id, 16);
    assert_string_equal(got.root.source, "/dev/vda");
    assert_string_equal(got.root.target, "");
    assert_int_equal(got.root.flags, AGENT_MOUNT_NOATIME);
    assert_int_equal(got.mount_count, 2);
    assert_string_equal(got.mounts[0].data, "dax");
    assert_string_equal(got.mounts[1].target, "/b");
    assert_int_equal(got.file_count, 2);
    assert_int_equal(got.files[0].count, 3);
    assert_memory_equal(got.files[0].bytes, "a\0b", 3);
    assert_int_equal(got.files[1].mode, 04755);
    assert_int_equal(got.files[1].gid, 8);
    assert_int_equal(got.processes_max, 100);
    agent_setup_done(&got);
    buf_done(&buf);
}

static void test_agent_exec_survives_the_wire(void **state)
{
    struct agent_exec got;
    struct frame frame;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    agent_put_exec(&buf, 3, &exec);
    frame = frame_in(&buf);
    assert_int_equal(frame.channel, 3);
    assert_int_equal(agent_check_from_host(&frame, NULL), 0);
    assert_int_equal(agent_get_exec(&got, &frame, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(argv) - 1; i++)
        assert_string_equal(got.argv[i], argv[i]);
    assert_null(got.argv[3]);
    assert_string_equal(got.env[1], "C=");
    assert_null(got.env[2]);
    assert_string_equal(got.cwd, "/work");
    assert_string_equal(got.user, "app:wheel");
    assert_int_equal(got.flags, exec.flags);
    assert_int_equal(got.rows, 24);
    assert_int_equal(got.columns, 80);
    assert_int_equal(got.timeout_ms, 12345);
    assert_int_equal(got.umask, 077);
    assert_int_equal(got.out_window, 1000);
    assert_int_equal(got.err_window, 2000);
    assert_int_equal(got.rlimit_count, 1);
    assert_int_equal(got.rlimits[0].hard, UINT64_MAX);
    assert_int_equal(got.then_count, 2);
    assert_string_equal(got.then[0][1], "2");
    assert_null(got.then[0][2]);
    assert_string_equal(got.then[1][0], "sh");
    assert_int_equal(got.file_count, 2);
    assert_memory_equal(got.files[0].bytes, "a\0b", 3);
    agent_exec_done(&got);
    buf_done(&buf);
}

static const struct agent_resume programs[] = {
    {.old_channel = 9, .channel = 1, .flags = AGENT_EXEC_STDIN},
    {.old_channel = 4, .channel = 3, .out_window = 5, .err_window = 6},
};
static const struct agent_clone cloned = {
    .wall_clock_ns = 0x1122334455667788,
    .entropy = entropy,
    .entropy_count = sizeof entropy,
    .hostname = "other",
    .machine_id = {9, 8, 7},
    .boot_id = {6, 5, 4},
    .generation = {3, 2, 1},
    .files = files,
    .file_count = ARRAY_LEN(files),
    .programs = programs,
    .program_count = ARRAY_LEN(programs),
};

static void test_agent_clone_survives_the_wire(void **state)
{
    struct agent_clone got;
    struct frame frame;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    agent_put_clone(&buf, &cloned);
    frame = frame_in(&buf);
    assert_int_equal(agent_check_from_host(&frame, NULL), 0);
    assert_int_equal(agent_get_clone(&got, &frame, NULL), 0);
    assert_int_equal(got.wall_clock_ns, cloned.wall_clock_ns);
    assert_int_equal(got.entropy_count, sizeof entropy);
    assert_memory_equal(got.entropy, entropy, sizeof entropy);
    assert_string_equal(got.hostname, "other");
    assert_memory_equal(got.machine_id, cloned.machine_id, 16);
    assert_memory_equal(got.boot_id, cloned.boot_id, 16);
    assert_memory_equal(got.generation, cloned.generation, 16);
    assert_int_equal(got.file_count, 2);
    assert_memory_equal(got.files[0].bytes, "a\0b", 3);
    assert_int_equal(got.program_count, 2);
    assert_memory_equal(got.programs, programs, sizeof programs);
    agent_clone_done(&got);
    buf_done(&buf);
}

static void test_agent_held_survives_the_wire(void **state)
{
    const struct agent_held held = {AGENT_HOLD_BUSY, "busy\x1b[2J"};
    struct agent_held got;
    struct frame frame;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    agent_put_held(&buf, &held);
    frame = frame_in(&buf);
    assert_int_equal(agent_check_from_guest(&frame, NULL), 0);
    assert_int_equal(agent_get_held(&got, &frame, NULL), 0);
    assert_int_equal(got.reason, AGENT_HOLD_BUSY);
    assert_string_equal(got.message, "busy?[2J");
    frame.count--;
    assert_int_equal(agent_get_held(&got, &frame, NULL), SM_EPROTO);
    store_le32(buf.data + FRAME_HEADER_BYTES, ~0u);
    frame.count++;
    assert_int_equal(agent_get_held(&got, &frame, NULL), SM_EPROTO);
    buf_done(&buf);
}

static void test_agent_clone_out_of_range_is_refused(void **state)
{
    static const struct agent_resume bad[][2] = {
        {{.old_channel = 1, .channel = 2}, {.old_channel = 2, .channel = 2}},
        {{.old_channel = 1, .channel = 2}, {.old_channel = 2, .channel = 1}},
        {{.old_channel = 0, .channel = 1}, {.old_channel = 2, .channel = 2}},
        {{.old_channel = 1, .channel = 0}, {.old_channel = 2, .channel = 2}},
        {{1, 1, AGENT_EXEC_STDOUT, 0, 0}, {2, 2, 0, 0, 0}},
        {{1, 1, 0, AGENT_WINDOW_MAX + 1, 0}, {2, 2, 0, 0, 0}},
        {{1, 1, 0, 0, AGENT_WINDOW_MAX + 1}, {2, 2, 0, 0, 0}},
    };
    static struct agent_resume many[AGENT_CHANNELS_MAX + 1];
    struct agent_clone clone = cloned;

    (void)state;
    assert_true(agent_clone_is_valid(&clone));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        clone.programs = bad[i];
        assert_false(agent_clone_is_valid(&clone));
    }
    for (uint32_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = (struct agent_resume){.old_channel = 1, .channel = i + 1};
    clone.programs = many;
    clone.program_count = AGENT_CHANNELS_MAX;
    assert_true(agent_clone_is_valid(&clone));
    clone.program_count++;
    assert_false(agent_clone_is_valid(&clone));
    clone = cloned;
    memset(clone.generation, 0, sizeof clone.generation);
    assert_false(agent_clone_is_valid(&clone));
    clone = cloned;
    clone.entropy_count = AGENT_ENTROPY_MAX + 1;
    assert_false(agent_clone_is_valid(&clone));
}

/* A reader of this version meets a writer of the next. */
static void test_agent_fields_behind_the_known_are_ignored(void **state)
{
    struct agent_exec got;
    struct frame frame;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    agent_put_exec(&buf, 3, &exec);
    buf_append(&buf, "more", 4);
    store_le32(buf.data, load_le32(buf.data) + 4);
    frame = frame_in(&buf);
    assert_int_equal(agent_get_exec(&got, &frame, NULL), 0);
    agent_exec_done(&got);
    buf_done(&buf);
}

static void test_agent_requests_cut_short_are_refused(void **state)
{
    struct agent_setup got_setup;
    struct agent_exec got_exec;
    struct agent_clone got_clone;
    struct frame frame;
    struct buf buf;
    uint32_t whole;

    (void)state;
    buf_init(&buf, 1 << 20);
    agent_put_setup(&buf, &setup);
    frame = frame_in(&buf);
    whole = frame.count;
    for (frame.count = 0; frame.count < whole; frame.count++) {
        assert_int_equal(agent_get_setup(&got_setup, &frame, NULL), SM_EPROTO);
        agent_setup_done(&got_setup);
    }
    buf_clear(&buf);
    agent_put_exec(&buf, 1, &exec);
    frame = frame_in(&buf);
    whole = frame.count;
    for (frame.count = 0; frame.count < whole; frame.count++) {
        assert_int_equal(agent_get_exec(&got_exec, &frame, NULL), SM_EPROTO);
        agent_exec_done(&got_exec);
    }
    buf_clear(&buf);
    agent_put_clone(&buf, &cloned);
    frame = frame_in(&buf);
    whole = frame.count;
    for (frame.count = 0; frame.count < whole; frame.count++) {
        assert_int_equal(agent_get_clone(&got_clone, &frame, NULL), SM_EPROTO);
        agent_clone_done(&got_clone);
    }
    buf_done(&buf);
}

static void test_agent_requests_out_of_range_are_refused(void **state)
{
    struct agent_setup bad = setup;
    struct agent_exec worse = exec;
    struct agent_file file = files[0];
    char long_name[AGENT_HOSTNAME_MAX + 2];

    (void)state;
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    assert_true(agent_setup_is_valid(&setup));
    bad.entropy_count = AGENT_ENTROPY_MIN - 1;
    assert_false(agent_setup_is_valid(&bad));
    bad = setup;
    bad.hostname = long_name;
    assert_false(agent_setup_is_valid(&bad));
    bad = setup;
    bad.root.flags = 1u << 30;
    assert_false(agent_setup_is_valid(&bad));
    bad = setup;
    bad.files = &file;
    bad.file_count = 1;
    file.path = "etc/hosts";
    assert_false(agent_setup_is_valid(&bad));
    assert_true(agent_exec_is_valid(&exec));
    worse.umask = 01000;
    assert_false(agent_exec_is_valid(&worse));
    worse = exec;
    worse.argv = &argv[3];
    assert_false(agent_exec_is_valid(&worse));
    worse.argv = &argv[2];
    assert_false(agent_exec_is_valid(&worse));
    worse = exec;
    worse.flags |= AGENT_EXEC_STDERR;
    assert_false(agent_exec_is_valid(&worse));
    worse = exec;
    worse.out_window = AGENT_WINDOW_MAX + 1;
    assert_false(agent_exec_is_valid(&worse));
}

static void test_agent_string_with_a_nul_is_refused(void **state)
{
    struct agent_exec got;
    struct frame frame;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    agent_put_exec(&buf, 1, &exec);
    frame = frame_in(&buf);
    for (uint32_t i = 0; i + 4 <= frame.count; i++)
        if (memcmp(frame.payload + i, "work", 4) == 0)
            buf.data[FRAME_HEADER_BYTES + i] = '\0';
    assert_int_equal(agent_get_exec(&got, &frame, NULL), SM_EPROTO);
    agent_exec_done(&got);
    buf_done(&buf);
}

/* The densest lists that fit: the room for them follows from the bytes. */
static void test_agent_list_of_empty_strings_fits(void **state)
{
    enum { COUNT = 100000 };
    static const char *many[COUNT + 1];
    struct agent_exec dense = exec;
    struct agent_exec got;
    struct frame frame;
    struct buf buf;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++)
        many[i] = "";
    many[0] = "x";
    dense.argv = many;
    dense.env = many;
    buf_init(&buf, AGENT_REQUEST_MAX);
    agent_put_exec(&buf, 1, &dense);
    frame = frame_in(&buf);
    assert_int_equal(agent_get_exec(&got, &frame, NULL), 0);
    assert_string_equal(got.argv[COUNT - 1], "");
    assert_null(got.argv[COUNT]);
    agent_exec_done(&got);
    buf_done(&buf);
}

static void test_agent_requests_without_memory(void **state)
{
    struct agent_exec got;
    struct frame frame;
    struct buf buf;
    size_t before;

    (void)state;
    buf_init(&buf, 1 << 20);
    agent_put_exec(&buf, 1, &exec);
    frame = frame_in(&buf);
    before = alloc_live();
    alloc_fail_at(1);
    assert_int_equal(agent_get_exec(&got, &frame, NULL), SM_ENOMEM);
    alloc_fail_at(0);
    agent_exec_done(&got);
    assert_int_equal(alloc_live(), before);
    buf_done(&buf);
}

static void test_agent_short_messages_survive_the_wire(void **state)
{
    const struct agent_exit exited = {true, 9, AGENT_EXIT_TIMEOUT, 1, 2, 3, 4};
    const struct agent_failure failure = {AGENT_NOT_EXECUTABLE, 13, "no"};
    const struct agent_shutdown shutdown = {AGENT_REBOOT, 77};
    const struct agent_figures figures = {1, 2, 3, UINT64_MAX, 5, 6};
    const struct agent_oom oom = {77, "x\033y"};
    struct agent_figures got_figures;
    struct agent_oom got_oom;
    enum agent_report report;
    struct agent_shutdown got_shutdown;
    struct agent_failure got_failure;
    struct agent_exit got_exit;
    enum agent_stream stream;
    enum agent_target target;
    uint16_t rows, columns;
    struct frame frame;
    uint64_t number;
    uint32_t value;
    struct buf buf;

    (void)state;
    buf_init(&buf, 4096);
#define CARRIED(put, get, side)                                                \
    do {                                                                       \
        buf_clear(&buf);                                                       \
        put;                                                                   \
        frame = frame_in(&buf);                                                \
        assert_int_equal(agent_check_from_##side(&frame, NULL), 0);            \
        assert_int_equal(get, 0);                                              \
    } while (0)
    CARRIED(agent_put_exited(&buf, 1, &exited),
            agent_get_exited(&got_exit, &frame, NULL), guest);
    assert_memory_equal(&got_exit.user_ns, &exited.user_ns, 32);
    assert_true(got_exit.signaled && got_exit.value == 9);
    CARRIED(agent_put_exec_failed(&buf, 1, &failure),
            agent_get_exec_failed(&got_failure, &frame, NULL), guest);
    assert_int_equal(got_failure.reason, AGENT_NOT_EXECUTABLE);
    assert_string_equal(got_failure.message, "no");
    CARRIED(agent_put_exec_started(&buf, 1, 42),
            agent_get_exec_started(&value, &frame, NULL), guest);
    assert_int_equal(value, 42);
    CARRIED(agent_put_shutdown(&buf, &shutdown),
            agent_get_shutdown(&got_shutdown, &frame, NULL), host);
    assert_int_equal(got_shutdown.end, AGENT_REBOOT);
    assert_int_equal(got_shutdown.grace_ms, 77);
    CARRIED(agent_put_signal(&buf, 1, 15, AGENT_TREE),
            agent_get_signal(&value, &target, &frame, NULL), host);
    assert_true(value == 15 && target == AGENT_TREE);
    CARRIED(agent_put_resize(&buf, 1, 50, 132),
            agent_get_resize(&rows, &columns, &frame, NULL), host);
    assert_true(rows == 50 && columns == 132);
    CARRIED(agent_put_window(&buf, 1, AGENT_ERR, 5),
            agent_get_window(&stream, &value, &frame, NULL), host);
    assert_true(stream == AGENT_ERR && value == 5);
    CARRIED(agent_put_close(&buf, 1, AGENT_IN),
            agent_get_close(&stream, &frame, NULL), guest);
    assert_int_equal(stream, AGENT_IN);
    CARRIED(agent_put_ping(&buf, AGENT_PING, 6),
            agent_get_ping(&number, &frame, NULL), host);
    assert_int_equal(number, 6);
    CARRIED(agent_put_report(&buf, AGENT_REPORT_PROCESSES),
            agent_get_report(&report, &frame, NULL), host);
    assert_int_equal(report, AGENT_REPORT_PROCESSES);
    CARRIED(agent_put_figures(&buf, &figures),
            agent_get_figures(&got_figures, &frame, NULL), guest);
    assert_memory_equal(&got_figures, &figures, sizeof figures);
    CARRIED(agent_put_oom(&buf, &oom), agent_get_oom(&got_oom, &frame, NULL),
            guest);
    assert_int_equal(got_oom.pid, 77);
    assert_string_equal(got_oom.name, "x?y");
#undef CARRIED
    buf_done(&buf);
}

static void test_agent_processes_survive_the_wire(void **state)
{
    static char longest[AGENT_COMMAND_MAX + 10];
    const struct agent_process process = {
        .pid = 5,
        .parent = 1,
        .uid = 1000,
        .threads = 3,
        .state = 'S',
        .rss_bytes = 4096,
        .cpu_ns = UINT64_MAX,
        .started_ns = 7,
        .command = longest,
        .command_count = sizeof longest,
    };
    struct agent_process got;
    struct wire_reader from;
    struct buf buf;

    (void)state;
    memset(longest, 'x', sizeof longest);
    buf_init(&buf, 1 << 16);
    agent_put_process(&buf, &process);
    agent_put_process(&buf, &process);
    wire_read(&from, buf.data, buf.size);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(agent_get_process(&got, &from, NULL), 0);
        assert_memory_equal(&got, &process,
                            offsetof(struct agent_process, state));
        assert_int_equal(got.cpu_ns, UINT64_MAX);
        assert_int_equal(got.command_count, AGENT_COMMAND_MAX);
    }
    assert_true(wire_end(&from));
    for (size_t count = 0; count < buf.size / 2; count++) {
        wire_read(&from, buf.data, count);
        assert_int_equal(agent_get_process(&got, &from, NULL), SM_EPROTO);
    }
    buf_done(&buf);
}

static void test_agent_long_words_of_the_guest_are_cut(void **state)
{
    static char words[5000];
    struct sm_error err;
    struct frame frame;
    struct buf buf;

    (void)state;
    memset(words, 'w', sizeof words - 1);
    buf_init(&buf, 1 << 20);
    agent_put_error(&buf, words);
    frame = frame_in(&buf);
    assert_int_equal(agent_check_from_guest(&frame, NULL), 0);
    assert_int_equal(agent_get_error(&frame, &err), SM_EGUEST);
    assert_int_equal(strlen(err.message), 511);
    buf_done(&buf);
}

static void test_agent_every_type_has_one_direction(void **state)
{
    (void)state;
    for (uint16_t type = 0; type < 200; type++) {
        struct frame frame = {.type = type, .count = 8, .channel = 1};
        const char *name = agent_type_name(type);
        bool both = type == AGENT_WINDOW || type == AGENT_CLOSE;
        unsigned accepted = 0;

        /* The length and channel that suit each type are found by trying. */
        for (frame.count = 0; frame.count < 64; frame.count++) {
            for (frame.channel = 0; frame.channel < 2; frame.channel++) {
                bool host = agent_check_from_host(&frame, NULL) == 0;
                bool guest = agent_check_from_guest(&frame, NULL) == 0;

                assert_true(both ? host == guest : !(host && guest));
                accepted += host || guest;
            }
        }
        assert_int_equal(accepted > 0, strcmp(name, "?") != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agent_setup_survives_the_wire),
        cmocka_unit_test(test_agent_exec_survives_the_wire),
        cmocka_unit_test(test_agent_clone_survives_the_wire),
        cmocka_unit_test(test_agent_held_survives_the_wire),
        cmocka_unit_test(test_agent_clone_out_of_range_is_refused),
        cmocka_unit_test(test_agent_fields_behind_the_known_are_ignored),
        cmocka_unit_test(test_agent_requests_cut_short_are_refused),
        cmocka_unit_test(test_agent_requests_out_of_range_are_refused),
        cmocka_unit_test(test_agent_string_with_a_nul_is_refused),
        cmocka_unit_test(test_agent_list_of_empty_strings_fits),
        cmocka_unit_test(test_agent_requests_without_memory),
        cmocka_unit_test(test_agent_short_messages_survive_the_wire),
        cmocka_unit_test(test_agent_processes_survive_the_wire),
        cmocka_unit_test(test_agent_long_words_of_the_guest_are_cut),
        cmocka_unit_test(test_agent_every_type_has_one_direction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
