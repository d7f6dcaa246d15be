/* test_state.c: state files: byte by byte what docs/FORMAT.md says, and what is
 * refused. */
#include "base/bytes.h"
#include "base/wire.h"
#include "snapshot/inside.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, FILE_MAX = 64 << 10, MAGIC = 8, HEADER = 24 };

static const struct gmem_range golden_range[] = {
    {0x1000, 0x2000}, {0x4000, 0x1000}, {0x100000000, 0x7000}};
static const uint8_t golden_machine[] = {1, 2, 3, 0xff};

static const struct state_content golden = {
    .label = "golden",
    .range = golden_range,
    .range_count = ARRAY_LEN(golden_range),
    .machine = golden_machine,
    .machine_count = sizeof golden_machine,
};

/* The bytes of a file of two digits each, with remarks behind '#'. */
static size_t read_hex(const char *name, uint8_t *bytes)
{
    char path[512];
    char line[256];
    size_t count = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", GOLDEN_FOLDER, name);
    file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        int taken;
        unsigned byte;

        line[strcspn(line, "#")] = '\0';
        for (const char *at = line; sscanf(at, "%2x%n", &byte, &taken) == 1;
             at += taken)
            bytes[count++] = (uint8_t)byte;
    }
    fclose(file);
    return count;
}

static struct snapshot_place place_of(const void *bytes, size_t count)
{
    struct snapshot_place place = {.fd = memfd_create("state", MFD_CLOEXEC)};

    assert_true(place.fd >= 0);
    assert_int_equal(write(place.fd, bytes, count), count);
    return place;
}

static int read_bytes(const void *bytes, size_t count, const char *label,
                      struct snapshot *ret, struct sm_error *err)
{
    struct snapshot_place place = place_of(bytes, count);
    int rc = snapshot_read(&place, label, ret, err);

    close(place.fd);
    return rc;
}

static void test_state_of_this_version_is_what_it_always_was(void **state)
{
    uint8_t bytes[FILE_MAX];
    uint8_t written[FILE_MAX];
    size_t count = read_hex("state-2.hex", bytes);
    struct snapshot_place place;
    struct snapshot snapshot;
    ssize_t got;

    (void)state;
    assert_int_equal(read_bytes(bytes, count, "golden", &snapshot, NULL), 0);
    assert_int_equal(snapshot.state_count, sizeof golden_machine);
    assert_memory_equal(snapshot.state, golden_machine, sizeof golden_machine);
    assert_int_equal(snapshot.range_count, ARRAY_LEN(golden_range));
    assert_memory_equal(snapshot.range, golden_range, sizeof golden_range);
    snapshot_done(&snapshot);
    place = place_of("", 0);
    place.at = 5;
    assert_int_equal(state_write(&place, &golden, NULL), 0);
    got = pread(place.fd, written, sizeof written, 5);
    assert_int_equal(got, count);
    assert_memory_equal(written, bytes, count);
    assert_int_equal(snapshot_read(&place, "golden", &snapshot, NULL), 0);
    snapshot_done(&snapshot);
    close(place.fd);
}

static void test_state_of_another_version_is_refused(void **state)
{
    uint8_t bytes[FILE_MAX];
    size_t count = read_hex("state-1.hex", bytes);
    struct snapshot snapshot;
    struct sm_error err;

    (void)state;
    assert_int_equal(read_bytes(bytes, count, "golden", &snapshot, &err),
                     SM_ENOTSUP);
    assert_non_null(strstr(err.message, "format 1: this version reads 2"));
    count = read_hex("state-2.hex", bytes);
    bytes[MAGIC] = 3;
    assert_int_equal(read_bytes(bytes, count, "golden", &snapshot, &err),
                     SM_ENOTSUP);
}

/* CRC-32 (IEEE 802.3), bit by bit. */
static uint32_t crc_of(const uint8_t *bytes, size_t count)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < 8 * count; i++) {
        crc ^= i % 8 ? 0 : bytes[i / 8];
        crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* A file whose checksum is right: (ranges) is what stands there for them. */
static int read_ranges(const void *ranges, size_t count, struct snapshot *ret,
                       struct sm_error *err)
{
    uint8_t header[HEADER] = "SMSTATE";
    struct buf payload;
    struct buf file;
    int rc;

    buf_init(&payload, FILE_MAX);
    buf_init(&file, FILE_MAX);
    wire_put_string(&payload, "golden");
    wire_put_blob(&payload, ranges, count);
    wire_put_blob(&payload, golden_machine, sizeof golden_machine);
    store_le32(header + 8, SNAPSHOT_VERSION);
    store_le32(header + 12, crc_of(payload.data, payload.size));
    store_le64(header + 16, payload.size);
    buf_append(&file, header, sizeof header);
    buf_append(&file, payload.data, payload.size);
    assert_false(file.failed);
    rc = read_bytes(file.data, file.size, "golden", ret, err);
    buf_done(&payload);
    buf_done(&file);
    return rc;
}

static void test_state_with_ranges_of_nonsense_is_refused(void **state)
{
    static const uint64_t top = UINT64_MAX - PAGE + 1;
    static const struct {
        uint64_t word[4];
        size_t bytes;
        int result;
    } table[] = {
        {{0}, 0, 0},
        {{0, PAGE}, 16, 0},
        {{0, PAGE, PAGE, PAGE}, 32, 0},
        {{top - PAGE, PAGE}, 16, 0},
        {{0, PAGE}, 8, SM_EIMAGE},
        {{0, PAGE}, 15, SM_EIMAGE},
        {{0, PAGE, PAGE}, 17, SM_EIMAGE},
        {{0, 0}, 16, SM_EIMAGE},
        {{0, PAGE / 2}, 16, SM_EIMAGE},
        {{PAGE / 2, PAGE}, 16, SM_EIMAGE},
        {{top, PAGE}, 16, SM_EIMAGE},
        {{PAGE, top}, 16, SM_EIMAGE},
        {{PAGE, PAGE, 0, PAGE}, 32, SM_EIMAGE},
        {{PAGE, PAGE, PAGE, PAGE}, 32, SM_EIMAGE},
        {{0, 2 * PAGE, PAGE, 2 * PAGE}, 32, SM_EIMAGE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct snapshot snapshot;
        uint8_t wire[32];

        for (unsigned w = 0; w < 4; w++)
            store_le64(wire + w * sizeof(uint64_t), table[i].word[w]);
        assert_int_equal(read_ranges(wire, table[i].bytes, &snapshot, NULL),
                         table[i].result);
        if (table[i].result)
            continue;
        assert_int_equal(snapshot.range_count, table[i].bytes / 16);
        snapshot_done(&snapshot);
    }
}

static void test_state_has_a_limit_of_ranges(void **state)
{
    enum { MOST = GMEM_RANGES_MAX };
    static uint8_t wire[16 * (MOST + 1)];
    struct snapshot snapshot;
    struct sm_error err;

    (void)state;
    for (uint64_t i = 0; i <= MOST; i++) {
        store_le64(wire + 16 * i, 2 * i * PAGE);
        store_le64(wire + 16 * i + 8, PAGE);
    }
    assert_int_equal(read_ranges(wire, 16 * MOST, &snapshot, NULL), 0);
    assert_int_equal(snapshot.range_count, MOST);
    snapshot_done(&snapshot);
    assert_int_equal(read_ranges(wire, sizeof wire, &snapshot, &err),
                     SM_ELIMIT);
    assert_non_null(strstr(err.message, "1025 ranges"));
}

/* The longest that can be written fits what the reader takes. */
static void test_state_of_the_largest_size(void **state)
{
    static struct gmem_range range[GMEM_RANGES_MAX];
    char label[SNAPSHOT_LABEL_MAX + 1];
    struct state_content content = golden;
    struct snapshot_place place = place_of("", 0);
    struct snapshot snapshot;

    (void)state;
    memset(label, 'l', sizeof label - 1);
    label[sizeof label - 1] = '\0';
    for (uint64_t i = 0; i < GMEM_RANGES_MAX; i++)
        range[i] = (struct gmem_range){3 * i * PAGE, 2 * PAGE};
    content.label = label;
    content.range = range;
    content.range_count = ARRAY_LEN(range);
    assert_int_equal(state_write(&place, &content, NULL), 0);
    assert_int_equal(snapshot_read(&place, label, &snapshot, NULL), 0);
    assert_int_equal(snapshot.range_count, ARRAY_LEN(range));
    assert_memory_equal(snapshot.range, range, sizeof range);
    snapshot_done(&snapshot);
    close(place.fd);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_of_this_version_is_what_it_always_was),
        cmocka_unit_test(test_state_of_another_version_is_refused),
        cmocka_unit_test(test_state_with_ranges_of_nonsense_is_refused),
        cmocka_unit_test(test_state_has_a_limit_of_ranges),
        cmocka_unit_test(test_state_of_the_largest_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
