/* test_worker.c: what library and worker say to each other, and what neither
 * of them takes. */
#include "base/bytes.h"
#include "failing_alloc.h"
#include "proto/worker.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

enum {
    MESSAGE_BYTES = 65536,
    ERROR_COUNT = 21 /* SM_ENOEXEC is -21 */
};

/* One of each message; a decoder that checks what it got. */
struct kind {
    const char *name;
    enum worker_type type;
    void (*put)(struct buf *to);
    int (*get)(struct wire_reader *from);
    /* The fields that were read are those that were put. */
    bool (*same)(void);
};

/* What the last decoder filled; emptied by forget(). */
static struct {
    struct worker_start start;
    struct worker_save save;
    struct worker_captured captured;
    struct worker_saved saved;
    struct worker_merged merged;
    struct worker_probed probed;
    struct worker_steps steps;
    struct worker_ended ended;
    struct worker_figures figures;
} got;

static void forget(void)
{
    worker_start_done(&got.start);
    worker_save_done(&got.save);
    worker_probed_done(&got.probed);
}

static void put_start(struct buf *to)
{
    worker_put_start(
        to, &(struct worker_start){.memory_bytes = UINT64_C(0x123456789a),
                                   .vcpus = 7,
                                   .lifetime_ms = 90000,
                                   .kernel_args = (char[]){"quiet foo=1"},
                                   .snapshot = (char[]){"template"},
                                   .state_at = UINT64_C(0x2000000000),
                                   .fds = 0x805f});
}

static int get_start(struct wire_reader *from)
{
    return worker_get_start(from, &got.start, NULL);
}

static bool same_start(void)
{
    return got.start.memory_bytes == UINT64_C(0x123456789a) &&
           got.start.vcpus == 7 && got.start.lifetime_ms == 90000 &&
           strcmp(got.start.kernel_args, "quiet foo=1") == 0 &&
           strcmp(got.start.snapshot, "template") == 0 &&
           got.start.state_at == UINT64_C(0x2000000000) &&
           got.start.fds == 0x805f;
}

static void put_save(struct buf *to)
{
    worker_put_save(to, &(struct worker_save){.snapshot = (char[]){"label"},
                                              .state_at = 1 << 20,
                                              .flags = WORKER_SAVE_DURABLE,
                                              .fds = 7});
}

static int get_save(struct wire_reader *from)
{
    return worker_get_save(from, &got.save, NULL);
}

static bool same_save(void)
{
    return strcmp(got.save.snapshot, "label") == 0 &&
           got.save.state_at == 1 << 20 &&
           got.save.flags == WORKER_SAVE_DURABLE && got.save.fds == 7;
}

static void put_captured(struct buf *to)
{
    worker_put_captured(
        to, &(struct worker_captured){.paused_ns = 99, .hypervisor = "kvm"});
}

static int get_captured(struct wire_reader *from)
{
    return worker_get_captured(from, &got.captured, NULL);
}

static bool same_captured(void)
{
    return got.captured.paused_ns == 99 &&
           strcmp(got.captured.hypervisor, "kvm") == 0;
}

static void put_saved(struct buf *to)
{
    struct worker_saved saved = {.memory_bytes = 77};

    fail_errno(&saved.error, 28, "memory");
    worker_put_saved(to, &saved);
}

static int get_saved(struct wire_reader *from)
{
    return worker_get_saved(from, &got.saved, NULL);
}

static bool same_saved(void)
{
    return got.saved.memory_bytes == 77 && got.saved.error.code == SM_ENOSPC &&
           got.saved.error.os_error == 28 &&
           strcmp(got.saved.error.message, "memory: No space left on device") ==
               0;
}

static void put_merged(struct buf *to)
{
    struct worker_merged merged = {0};

    fail_errno(&merged.error, 28, "merge");
    worker_put_merged(to, &merged);
}

static int get_merged(struct wire_reader *from)
{
    return worker_get_merged(from, &got.merged, NULL);
}

static bool same_merged(void)
{
    return got.merged.error.code == SM_ENOSPC &&
           got.merged.error.os_error == 28 &&
           strcmp(got.merged.error.message, "merge: No space left on device") ==
               0;
}

static void put_probed(struct buf *to)
{
    worker_put_probed(
        to, &(struct worker_probed){.verdict = WORKER_UNUSABLE,
                                    .loop_ns = UINT64_C(0xfedcba9876543210),
                                    .hypervisor = (char[]){"kvm"},
                                    .detail = (char[]){"too old"}});
}

static int get_probed(struct wire_reader *from)
{
    return worker_get_probed(from, &got.probed, NULL);
}

static bool same_probed(void)
{
    return got.probed.verdict == WORKER_UNUSABLE &&
           got.probed.loop_ns == UINT64_C(0xfedcba9876543210) &&
           strcmp(got.probed.hypervisor, "kvm") == 0 &&
           strcmp(got.probed.detail, "too old") == 0;
}

static void put_steps(struct buf *to)
{
    struct worker_steps steps = {0};

    worker_step_add(&steps, "worker main", 5);
    worker_step_add(&steps, "", UINT64_MAX);
    worker_put_steps(to, &steps);
}

static int get_steps(struct wire_reader *from)
{
    return worker_get_steps(from, &got.steps, NULL);
}

static bool same_steps(void)
{
    return got.steps.count == 2 &&
           strcmp(got.steps.step[0].name, "worker main") == 0 &&
           got.steps.step[0].at_ns == 5 && got.steps.step[1].name[0] == '\0' &&
           got.steps.step[1].at_ns == UINT64_MAX;
}

static void put_ended(struct buf *to)
{
    struct worker_ended ended = {.end = WORKER_END_FAILED};

    fail_errno(&ended.error, 28, "overlay");
    worker_put_ended(to, &ended);
}

static int get_ended(struct wire_reader *from)
{
    return worker_get_ended(from, &got.ended, NULL);
}

static bool same_ended(void)
{
    return got.ended.end == WORKER_END_FAILED &&
           got.ended.error.code == SM_ENOSPC &&
           got.ended.error.os_error == 28 &&
           strcmp(got.ended.error.message,
                  "overlay: No space left on device") == 0;
}

static const struct worker_figures figures = {
    1, 2, 3, 4, 5, 6, 7, UINT64_MAX, UINT64_C(0x123456789a)};

static void put_figures(struct buf *to)
{
    worker_put_figures(to, &figures);
}

static int get_figures(struct wire_reader *from)
{
    return worker_get_figures(from, &got.figures, NULL);
}

static bool same_figures(void)
{
    return memcmp(&got.figures, &figures, sizeof figures) == 0;
}

static const struct kind kinds[] = {
    {"start", WORKER_START, put_start, get_start, same_start},
    {"save", WORKER_SAVE, put_save, get_save, same_save},
    {"captured", WORKER_CAPTURED, put_captured, get_captured, same_captured},
    {"saved", WORKER_SAVED, put_saved, get_saved, same_saved},
    {"merged", WORKER_MERGED, put_merged, get_merged, same_merged},
    {"probed", WORKER_PROBED, put_probed, get_probed, same_probed},
    {"steps", WORKER_STEPS, put_steps, get_steps, same_steps},
    {"ended", WORKER_ENDED, put_ended, get_ended, same_ended},
    {"figures", WORKER_FIGURES, put_figures, get_figures, same_figures},
};

/* Type and payload of (count) bytes at (bytes), in a block of just that size,
 * so that a sanitizer sees a byte too many. */
static int decode(const struct kind *kind, const uint8_t *bytes, size_t count)
{
    uint8_t *copy = malloc(count ? count : 1);
    enum worker_type type;
    struct wire_reader from;
    int rc;

    assert_non_null(copy);
    memcpy(copy, bytes, count);
    wire_read(&from, copy, count);
    rc = worker_get_type(&from, &type, NULL);
    if (!rc)
        rc = type == kind->type ? kind->get(&from) : SM_EPROTO;
    free(copy);
    return rc;
}

static void test_worker_messages_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct buf buf;

        buf_init(&buf, MESSAGE_BYTES);
        kinds[i].put(&buf);
        assert_false(buf.failed);
        assert_int_equal(decode(&kinds[i], buf.data, buf.size), 0);
        assert_true(kinds[i].same());
        forget();
        buf_done(&buf);
    }
}

static void test_worker_descriptors_find_their_places(void **state)
{
    static const int fds[5] = {-1, 11, -1, 12, 13};
    int packed[5];
    int back[5];
    uint32_t mask;

    (void)state;
    assert_int_equal(worker_pack_fds(fds, 5, packed, &mask), 3);
    assert_int_equal(mask, 0x1a);
    assert_int_equal(worker_unpack_fds(packed, 3, mask, back, 5, NULL), 0);
    assert_memory_equal(back, fds, sizeof fds);
    for (int i = 0; i < 3; i++)
        assert_int_equal(packed[i], -1);
}

/* More descriptors than places, more places than descriptors, places that
 * there are not: refused, and nobody has a descriptor twice. */
static void test_worker_descriptors_must_fit_their_mask(void **state)
{
    static const struct {
        unsigned count;
        uint32_t mask;
    } table[] = {{0, 1}, {1, 0}, {2, 1}, {1, 3}, {1, 8}, {2, 9}, {3, 1u << 31}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        int packed[3] = {11, 12, 13};
        int back[3];

        assert_int_equal(worker_unpack_fds(packed, table[i].count,
                                           table[i].mask, back, 3, NULL),
                         SM_EPROTO);
        for (int at = 0; at < 3; at++)
            for (int other = 0; other < 3; other++)
                assert_true(back[at] < 0 || back[at] != packed[other]);
    }
}

static void test_worker_simple_message_is_its_type(void **state)
{
    struct wire_reader from;
    enum worker_type type;
    struct buf buf;

    (void)state;
    buf_init(&buf, MESSAGE_BYTES);
    worker_put_simple(&buf, WORKER_PROBE);
    wire_read(&from, buf.data, buf.size);
    assert_int_equal(worker_get_type(&from, &type, NULL), 0);
    assert_int_equal(type, WORKER_PROBE);
    assert_true(wire_end(&from));
    buf_done(&buf);
}

static void test_worker_message_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct buf buf;

        buf_init(&buf, MESSAGE_BYTES);
        kinds[i].put(&buf);
        for (size_t count = 0; count < buf.size; count++) {
            assert_int_equal(decode(&kinds[i], buf.data, count), SM_EPROTO);
            forget();
        }
        buf_done(&buf);
    }
}

static void test_worker_message_with_more_behind_it_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct buf buf;

        buf_init(&buf, MESSAGE_BYTES);
        kinds[i].put(&buf);
        wire_put_u8(&buf, 0);
        assert_int_equal(decode(&kinds[i], buf.data, buf.size), SM_EPROTO);
        forget();
        buf_done(&buf);
    }
}

static void check_ranges(void)
{
    assert_in_range(got.probed.verdict, 0, WORKER_UNUSABLE);
    assert_in_range(got.ended.end, 0, WORKER_END_EXPIRED);
    assert_in_range(-got.ended.error.code, 0, ERROR_COUNT);
    assert_true(got.ended.error.os_error >= 0);
    assert_in_range(got.steps.count, 0, WORKER_STEPS_MAX);
}

/* Each bit in turn: refused, or taken with every field in its range. */
static void test_worker_message_survives_any_bit_flip(void **state)
{
    size_t before = alloc_live();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct buf buf;

        buf_init(&buf, MESSAGE_BYTES);
        kinds[i].put(&buf);
        for (size_t bit = 0; bit < 8 * buf.size; bit++) {
            int rc;

            buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            rc = decode(&kinds[i], buf.data, buf.size);
            assert_true(rc == SM_EPROTO || (rc == 0 && !kinds[i].same()));
            check_ranges();
            forget();
            buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        buf_done(&buf);
    }
    assert_int_equal(alloc_live(), before);
}

static void test_worker_of_another_version_is_told_so(void **state)
{
    static const uint8_t bytes[] = {WORKER_VERSION + 1, 0, WORKER_PROBE, 0};
    struct wire_reader from;
    enum worker_type type;
    struct sm_error err;

    (void)state;
    wire_read(&from, bytes, sizeof bytes);
    assert_int_equal(worker_get_type(&from, &type, &err), SM_EPROTO);
    assert_non_null(strstr(err.message, "version 5"));
    assert_non_null(strstr(err.message, "install both from one release"));
}

static void test_worker_numbers_out_of_range_are_refused(void **state)
{
    static const struct {
        uint32_t end;
        uint32_t code;
        uint32_t os_error;
        int result;
    } table[] = {
        {0, 0, 0, 0},
        {WORKER_END_FAILED, ERROR_COUNT, 0x7fffffff, 0},
        {WORKER_END_EXPIRED + 1, 1, 0, SM_EPROTO},
        {UINT32_MAX, 1, 0, SM_EPROTO},
        {0, ERROR_COUNT + 1, 0, SM_EPROTO},
        {0, 0x10001, 0, SM_EPROTO},
        {0, 0x80000000, 0, SM_EPROTO},
        {0, UINT32_MAX, 0, SM_EPROTO},
        {0, 1, 0x80000000, SM_EPROTO},
        {0, 1, UINT32_MAX, SM_EPROTO},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct worker_ended ended;
        struct wire_reader from;
        struct buf buf;

        buf_init(&buf, MESSAGE_BYTES);
        wire_put_u32(&buf, table[i].end);
        wire_put_u32(&buf, table[i].code);
        wire_put_u32(&buf, table[i].os_error);
        wire_put_string(&buf, "why");
        wire_read(&from, buf.data, buf.size);
        assert_int_equal(worker_get_ended(&from, &ended, NULL),
                         table[i].result);
        if (!table[i].result) {
            assert_int_equal(ended.error.code, -(int)table[i].code);
            assert_int_equal(ended.error.os_error, (int)table[i].os_error);
        }
        buf_done(&buf);
    }
}

static void test_worker_unknown_verdict_is_refused(void **state)
{
    struct worker_probed probed = {0};
    struct wire_reader from;
    struct buf buf;

    (void)state;
    buf_init(&buf, MESSAGE_BYTES);
    wire_put_u32(&buf, WORKER_UNUSABLE + 1);
    wire_put_u64(&buf, 0);
    wire_put_string(&buf, "kvm");
    wire_put_string(&buf, "");
    wire_read(&from, buf.data, buf.size);
    assert_int_equal(worker_get_probed(&from, &probed, NULL), SM_EPROTO);
    worker_probed_done(&probed);
    buf_done(&buf);
}

/* A worker is not believed: what it says is shown to people. */
static void test_worker_last_words_become_one_line(void **state)
{
    char longest[4000];
    struct worker_ended ended;
    struct wire_reader from;
    struct buf buf;

    (void)state;
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "a\n\x1b[2Jb", 7);
    buf_init(&buf, MESSAGE_BYTES);
    wire_put_u32(&buf, WORKER_END_FAILED);
    wire_put_u32(&buf, 3);
    wire_put_u32(&buf, 0);
    wire_put_blob(&buf, longest, sizeof longest);
    wire_read(&from, buf.data, buf.size);
    assert_int_equal(worker_get_ended(&from, &ended, NULL), 0);
    assert_memory_equal(ended.error.message, "a??[2Jbxx", 9);
    assert_int_equal(strlen(ended.error.message),
                     sizeof ended.error.message - 1);
    buf_done(&buf);
}

static int steps_of(uint32_t count, const char *name, size_t name_bytes)
{
    struct wire_reader from;
    struct buf buf;
    int rc;

    buf_init(&buf, MESSAGE_BYTES);
    wire_put_u32(&buf, count);
    for (uint32_t i = 0; i < count && i <= WORKER_STEPS_MAX; i++) {
        wire_put_blob(&buf, name, name_bytes);
        wire_put_u64(&buf, i);
    }
    wire_read(&from, buf.data, buf.size);
    rc = worker_get_steps(&from, &got.steps, NULL);
    buf_done(&buf);
    return rc;
}

/* Names go into JSON as they are. */
static void test_worker_step_names_are_plain_words(void **state)
{
    static const struct {
        const char *name;
        size_t bytes;
        int result;
    } table[] = {
        {"", 0, 0},
        {"two words", 9, 0},
        {"abcdefghijklmnopqrstuvwxyz abcdefghijklm", 40, 0}, /* is cut */
        {"a\"b", 3, SM_EPROTO},
        {"a\\b", 3, SM_EPROTO},
        {"a\nb", 3, SM_EPROTO},
        {"A", 1, SM_EPROTO},
        {"\xc3\xa9", 2, SM_EPROTO},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_int_equal(steps_of(1, table[i].name, table[i].bytes),
                         table[i].result);
    assert_int_equal(steps_of(1, table[2].name, table[2].bytes), 0);
    assert_int_equal(strlen(got.steps.step[0].name), WORKER_STEP_NAME_MAX - 1);
}

static void test_worker_steps_are_limited(void **state)
{
    struct worker_steps steps = {0};

    (void)state;
    assert_int_equal(steps_of(0, "", 0), 0);
    assert_int_equal(steps_of(WORKER_STEPS_MAX, "a", 1), 0);
    assert_int_equal(got.steps.count, WORKER_STEPS_MAX);
    assert_int_equal(steps_of(WORKER_STEPS_MAX + 1, "a", 1), SM_EPROTO);
    assert_int_equal(steps_of(UINT32_MAX, "a", 1), SM_EPROTO);
    for (uint64_t i = 0; i < WORKER_STEPS_MAX + 5; i++)
        worker_step_add(&steps, "a name that is longer than it may be", i);
    assert_int_equal(steps.count, WORKER_STEPS_MAX);
    assert_int_equal(strlen(steps.step[0].name), WORKER_STEP_NAME_MAX - 1);
    assert_true(steps.step[WORKER_STEPS_MAX - 1].at_ns == WORKER_STEPS_MAX - 1);
}

static void test_worker_ends_have_texts_of_their_own(void **state)
{
    (void)state;
    for (int i = 0; i <= WORKER_END_FAILED + 1; i++) {
        assert_true(strlen(worker_end_text((enum worker_end)i)) > 0);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(worker_end_text((enum worker_end)i),
                                    worker_end_text((enum worker_end)k));
    }
}

/* Each allocation of a decoder fails in turn. */
static void test_worker_without_memory_fails_and_leaks_nothing(void **state)
{
    /* Strings that each message has. */
    static const size_t strings[ARRAY_LEN(kinds)] = {2, 1, 0, 0, 0, 2};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct wire_reader from;
        enum worker_type type;
        struct buf buf;
        size_t before;

        buf_init(&buf, MESSAGE_BYTES);
        kinds[i].put(&buf);
        before = alloc_live();
        for (size_t nth = 1; nth <= strings[i] + 1; nth++) {
            int rc;

            wire_read(&from, buf.data, buf.size);
            assert_int_equal(worker_get_type(&from, &type, NULL), 0);
            alloc_fail_at(nth);
            rc = kinds[i].get(&from);
            assert_int_equal(rc, alloc_has_failed() ? SM_ENOMEM : 0);
            assert_int_equal(alloc_has_failed(), nth <= strings[i]);
            alloc_fail_at(0);
            forget();
            assert_int_equal(alloc_live(), before);
        }
        buf_done(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker_messages_come_back),
        cmocka_unit_test(test_worker_descriptors_find_their_places),
        cmocka_unit_test(test_worker_descriptors_must_fit_their_mask),
        cmocka_unit_test(test_worker_simple_message_is_its_type),
        cmocka_unit_test(test_worker_message_cut_anywhere_is_refused),
        cmocka_unit_test(test_worker_message_with_more_behind_it_is_refused),
        cmocka_unit_test(test_worker_message_survives_any_bit_flip),
        cmocka_unit_test(test_worker_of_another_version_is_told_so),
        cmocka_unit_test(test_worker_numbers_out_of_range_are_refused),
        cmocka_unit_test(test_worker_unknown_verdict_is_refused),
        cmocka_unit_test(test_worker_last_words_become_one_line),
        cmocka_unit_test(test_worker_step_names_are_plain_words),
        cmocka_unit_test(test_worker_steps_are_limited),
        cmocka_unit_test(test_worker_ends_have_texts_of_their_own),
        cmocka_unit_test(test_worker_without_memory_fails_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
