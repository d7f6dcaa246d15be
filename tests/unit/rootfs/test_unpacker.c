/* test_unpacker.c: unpacking ahead of the reader: all of it, a part of it,
 * nothing, and what is damaged. */
#include "../oci/stand.h"

#include "base/bytes.h"
#include "oci/digest.h"
#include "platform/file.h"
#include "rootfs/unpacker.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

enum { MUCH = 24 << 20 }; /* several times the ring */

/* Bytes that tell where they stand. */
static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 2654435761U >> 13 ^ at >> 20);
}

/* MUCH of them, as gzip has them; the caller frees. */
static uint8_t *make_gzip(size_t *count)
{
    uint8_t *plain = malloc(MUCH);
    uint8_t *packed = malloc(2 * MUCH);
    struct archive *archive = archive_write_new();
    struct archive_entry *entry = archive_entry_new();

    for (size_t i = 0; i < MUCH; i++)
        plain[i] = byte_at(i);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_pathname(entry, "data");
    assert_int_equal(archive_write_set_format_raw(archive), ARCHIVE_OK);
    assert_int_equal(archive_write_add_filter_gzip(archive), ARCHIVE_OK);
    assert_int_equal(archive_write_set_options(archive, "compression-level=1"),
                     ARCHIVE_OK);
    assert_int_equal(
        archive_write_open_memory(archive, packed, 2 * (size_t)MUCH, count),
        ARCHIVE_OK);
    assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(archive, plain, MUCH), MUCH);
    assert_int_equal(archive_write_free(archive), ARCHIVE_OK);
    archive_entry_free(entry);
    free(plain);
    return packed;
}

/* A blob of these bytes, whose digest is right, or not. */
static struct blob *make_blob(const void *bytes, size_t count, bool right)
{
    struct hasher hasher = {0};
    struct digest digest;
    struct blob *blob;
    int fd;

    assert_int_equal(file_in_memory("blob", &fd, NULL), 0);
    assert_int_equal(file_write_at(fd, bytes, count, 0, NULL), 0);
    assert_int_equal(hasher_init(&hasher, DIGEST_SHA256, NULL), 0);
    hasher_add(&hasher, bytes, count);
    hasher_end(&hasher, &digest);
    hasher_done(&hasher);
    digest.bytes[0] ^= !right;
    assert_int_equal(blob_open(fd, 0, count, &digest, &blob, NULL), 0);
    return blob;
}

static struct unpacker *start(const void *bytes, size_t count, bool right)
{
    struct unpacker *unpacker = NULL;

    assert_int_equal(
        unpacker_open(make_blob(bytes, count, right), &unpacker, NULL), 0);
    return unpacker;
}

static void test_unpacker_gives_all_in_order(void **state)
{
    size_t packed_count;
    uint8_t *packed = make_gzip(&packed_count);
    struct unpacker *unpacker = start(packed, packed_count, true);
    const void *bytes;
    uint64_t done = 0;
    size_t count;
    size_t at = 0;

    (void)state;
    for (;;) {
        assert_int_equal(unpacker_read(unpacker, &bytes, &count, NULL), 0);
        if (!count)
            break;
        for (size_t i = 0; i < count; i++, at++)
            if (((const uint8_t *)bytes)[i] != byte_at(at))
                fail_msg("byte %zu differs", at);
        assert_true(unpacker_done_bytes(unpacker) >= done);
        done = unpacker_done_bytes(unpacker);
    }
    assert_int_equal(at, MUCH);
    assert_int_equal(done, packed_count);
    assert_int_equal(unpacker_read(unpacker, &bytes, &count, NULL), 0);
    assert_int_equal(count, 0);
    unpacker_close(unpacker);
    free(packed);
}

/* The thread waits for room, or has not begun, or is in between. */
static void test_unpacker_ends_when_nobody_reads_on(void **state)
{
    size_t packed_count;
    uint8_t *packed = make_gzip(&packed_count);

    (void)state;
    for (size_t pieces = 0; pieces < 12; pieces++) {
        struct unpacker *unpacker = start(packed, packed_count, true);
        const void *bytes;
        size_t count;

        for (size_t i = 0; i < pieces; i++)
            assert_int_equal(unpacker_read(unpacker, &bytes, &count, NULL), 0);
        if (pieces % 2)
            assert_int_equal(unpacker_blame(unpacker, NULL), 0);
        unpacker_close(unpacker);
    }
    free(packed);
}

static void test_unpacker_knows_nothing_from_something(void **state)
{
    /* A gzip stream of no bytes (RFC 1952). */
    static const uint8_t none[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3,
                                   3,    0,    0, 0, 0, 0, 0, 0, 0, 0};
    const void *bytes;
    size_t count = 1;
    struct unpacker *unpacker = start(none, sizeof none, true);

    (void)state;
    assert_int_equal(unpacker_read(unpacker, &bytes, &count, NULL), 0);
    assert_int_equal(count, 0);
    unpacker_close(unpacker);
    unpacker = start("", 0, true);
    assert_int_equal(unpacker_read(unpacker, &bytes, &count, NULL), 0);
    assert_int_equal(count, 0);
    unpacker_close(unpacker);
}

static int read_to_the_end(struct unpacker *unpacker, struct sm_error *err)
{
    const void *bytes;
    size_t count;
    int rc;

    do {
        rc = unpacker_read(unpacker, &bytes, &count, err);
    } while (!rc && count);
    return rc;
}

static void test_unpacker_says_what_is_wrong(void **state)
{
    size_t count;
    uint8_t *packed = make_gzip(&count);
    struct sm_error err = {0};
    struct unpacker *unpacker = start(packed, count, false);

    (void)state;
    assert_int_equal(read_to_the_end(unpacker, &err), SM_EDIGEST);
    unpacker_close(unpacker);
    unpacker = start(packed, count, false);
    assert_int_equal(unpacker_blame(unpacker, &err), SM_EDIGEST);
    unpacker_close(unpacker);
    unpacker = start(packed, count / 2, true);
    assert_int_equal(read_to_the_end(unpacker, &err), SM_EIMAGE);
    assert_non_null(strstr(err.message, "unpack: "));
    unpacker_close(unpacker);
    free(packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpacker_gives_all_in_order),
        cmocka_unit_test(test_unpacker_ends_when_nobody_reads_on),
        cmocka_unit_test(test_unpacker_knows_nothing_from_something),
        cmocka_unit_test(test_unpacker_says_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
