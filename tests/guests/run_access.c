/* run_access.c: tiny guests about ports, MMIO and memory. */
#include "run.h"

#include "base/bytes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

TINY_GUEST(guest_port_io);
TINY_GUEST(guest_mmio_1byte_read);
TINY_GUEST(guest_mmio_2byte_read);
TINY_GUEST(guest_mmio_4byte_read);
TINY_GUEST(guest_mmio_8byte_read);
TINY_GUEST(guest_mmio_1byte_write);
TINY_GUEST(guest_mmio_2byte_write);
TINY_GUEST(guest_mmio_4byte_write);
TINY_GUEST(guest_mmio_8byte_write);
TINY_GUEST(guest_memory_protection);
TINY_GUEST(guest_dirty);
TINY_GUEST(guest_window);
TINY_GUEST(guest_wild_jump);

static const uint8_t pattern[] = {0x11, 0x22, 0x33, 0x44,
                                  0x55, 0x66, 0x77, 0x88};

static void test_port_io_carries_each_size(void **state)
{
    struct tiny tiny;

    (void)state;
    tiny_start(&tiny, TINY_CODE(guest_port_io));
    for (unsigned size = 1, port = 0x10; size <= 4; size *= 2, port++) {
        tiny_expect_pio(&tiny, (uint16_t)port, size, true);
        assert_int_equal(tiny.exit.pio.count, 1);
        assert_memory_equal(tiny.exit.pio.data, pattern, size);
    }
    tiny_expect_pio(&tiny, 0x20, 1, false);
    tiny.exit.pio.data[0] = 0xa1;
    tiny_expect_report(&tiny, 0xa1);
    tiny_expect_pio(&tiny, 0x21, 2, false);
    store_le16(tiny.exit.pio.data, 0xb2b1);
    tiny_expect_report(&tiny, 0xb2b1);
    /* A read that nobody answers is all ones. */
    tiny_expect_pio(&tiny, 0x22, 4, false);
    tiny_expect_report(&tiny, UINT32_MAX);
    tiny_stop(&tiny);
}

/* (count) may be one at a time or several: both are string instructions. */
static void test_port_io_carries_strings(void **state)
{
    struct tiny tiny;
    unsigned done = 0;

    (void)state;
    tiny_start(&tiny, TINY_CODE(guest_port_io));
    do
        tiny_run(&tiny);
    while (tiny.exit.pio.port != 0x30);
    for (; tiny.exit.pio.port == 0x30; tiny_run(&tiny)) {
        assert_memory_equal(tiny.exit.pio.data, guest_port_io + done,
                            tiny.exit.pio.count);
        done += tiny.exit.pio.count;
    }
    assert_int_equal(done, 4);
    for (done = 0; tiny.exit.pio.port == 0x31; tiny_run(&tiny)) {
        memcpy(tiny.exit.pio.data, pattern + done, tiny.exit.pio.count);
        done += tiny.exit.pio.count;
    }
    assert_int_equal(done, 4);
    assert_int_equal(tiny.exit.pio.port, PORT_REPORT);
    assert_memory_equal(tiny.exit.pio.data, pattern, 4);
    tiny_stop(&tiny);
}

static void check_read(const uint8_t *code, size_t bytes, unsigned size)
{
    static const uint32_t masks[] = {
        [1] = 0xff, [2] = 0xffff, [4] = UINT32_MAX, [8] = UINT32_MAX};
    struct tiny tiny;

    tiny_start(&tiny, code, bytes);
    tiny_expect_mmio(&tiny, GUEST_MMIO, size, false);
    memcpy(tiny.exit.mmio.data, pattern, size);
    tiny_expect_report(&tiny, load_le32(pattern) & masks[size]);
    if (size == 8)
        tiny_expect_report(&tiny, load_le32(pattern + 4));
    tiny_expect_done(&tiny);
    tiny_stop(&tiny);
}

static void test_mmio_read_gets_the_answer(void **state)
{
    (void)state;
    check_read(TINY_CODE(guest_mmio_1byte_read), 1);
    check_read(TINY_CODE(guest_mmio_2byte_read), 2);
    check_read(TINY_CODE(guest_mmio_4byte_read), 4);
    check_read(TINY_CODE(guest_mmio_8byte_read), 8);
}

static void check_write(const uint8_t *code, size_t bytes, unsigned size)
{
    struct tiny tiny;

    tiny_start(&tiny, code, bytes);
    tiny_expect_mmio(&tiny, GUEST_MMIO, size, true);
    assert_memory_equal(tiny.exit.mmio.data, pattern, size);
    tiny_expect_done(&tiny);
    tiny_stop(&tiny);
}

static void test_mmio_write_is_seen(void **state)
{
    (void)state;
    check_write(TINY_CODE(guest_mmio_1byte_write), 1);
    check_write(TINY_CODE(guest_mmio_2byte_write), 2);
    check_write(TINY_CODE(guest_mmio_4byte_write), 4);
    check_write(TINY_CODE(guest_mmio_8byte_write), 8);
}

static void test_read_only_memory_is_not_written(void **state)
{
    struct sm_error err;
    struct tiny tiny;
    uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_ptr_not_equal(page, MAP_FAILED);
    store_le32(page, 0x600d);
    tiny_new(&tiny, 1);
    assert_int_equal(hv_vm_map(tiny.vm, GPA(GUEST_READONLY), page, 4096,
                               HV_READ | HV_EXEC, &err),
                     0);
    tiny_load(&tiny, TINY_CODE(guest_memory_protection));
    assert_int_equal(hv_vcpu_new(tiny.vm, 0, &tiny.vcpu, &err), 0);
    tiny_enter(tiny.vcpu);
    tiny_expect_report(&tiny, 0x600d);
    tiny_expect_mmio(&tiny, GUEST_READONLY, 4, true);
    assert_int_equal(load_le32(tiny.exit.mmio.data), 0xbad);
    tiny_expect_report(&tiny, 0x600d);
    tiny_expect_mmio(&tiny, GUEST_READONLY + 0x1000, 4, false);
    tiny_expect_report(&tiny, UINT32_MAX);
    tiny_expect_done(&tiny);
    assert_int_equal(load_le32(page), 0x600d);
    tiny_stop(&tiny);
    munmap(page, 4096);
}

static void test_dirty_log_has_what_the_guest_wrote(void **state)
{
    enum { PAGES = GUEST_RAM_END / 4096, WORDS = PAGES / 64 };
    uint64_t bitmap[WORDS];
    struct sm_error err;
    struct tiny tiny;

    (void)state;
    tiny_start(&tiny, TINY_CODE(guest_dirty));
    assert_int_equal(hv_dirty_fetch(tiny.vm, GPA(0), bitmap, WORDS, &err),
                     SM_ESTATE);
    assert_int_equal(hv_dirty_start(tiny.vm, &err), 0);
    tiny_expect_done(&tiny);
    assert_int_equal(hv_dirty_fetch(tiny.vm, GPA(0), bitmap, WORDS - 1, &err),
                     SM_EINVAL);
    assert_int_equal(hv_dirty_fetch(tiny.vm, GPA(0), bitmap, WORDS, &err), 0);
    /* Below 0x20000 are code and page tables, whose accessed bits count. */
    assert_int_equal(bitmap[0] >> 0x20, 1u << 0 | 1u << 3);
    for (unsigned i = 1; i < WORDS; i++)
        assert_int_equal(bitmap[i], 0);
    assert_int_equal(hv_dirty_fetch(tiny.vm, GPA(0), bitmap, WORDS, &err), 0);
    assert_int_equal(bitmap[0] >> 0x20, 0);
    assert_int_equal(hv_dirty_stop(tiny.vm, &err), 0);
    tiny_stop(&tiny);
}

/* A file of two pages that begin with (first) and (second). */
static int make_file(uint32_t first, uint32_t second)
{
    uint8_t pages[2 * 4096] = {0};
    int fd = memfd_create("window", MFD_CLOEXEC);

    assert_true(fd >= 0);
    store_le32(pages, first);
    store_le32(pages + 4096, second);
    assert_int_equal(write(fd, pages, sizeof pages), sizeof pages);
    return fd;
}

static void test_window_shows_the_file_pages_mapped_now(void **state)
{
    int fd = make_file(0xaaaa, 0xbbbb);
    uint8_t written[4];
    struct sm_error err;
    struct tiny tiny;

    (void)state;
    tiny_new(&tiny, 1);
    assert_int_equal(hv_window_new(tiny.vm, GPA(GUEST_WINDOW), 2 * MIB, &err),
                     0);
    tiny_load(&tiny, TINY_CODE(guest_window));
    assert_int_equal(hv_vcpu_new(tiny.vm, 0, &tiny.vcpu, &err), 0);
    tiny_enter(tiny.vcpu);
    for (uint32_t page = 0; page < 2; page++) {
        assert_int_equal(hv_window_map(tiny.vm, GPA(GUEST_WINDOW), 4096, fd,
                                       page * 4096, HV_READ | HV_WRITE, &err),
                         0);
        tiny_expect_report(&tiny, page ? 0xbbbb : 0xaaaa);
        tiny_expect_pio(&tiny, 0x20, 1, false);
        assert_int_equal(pread(fd, written, 4, page * 4096 + 4), 4);
        assert_int_equal(load_le32(written), 0x5a5a);
    }
    /* What is not mapped is an error exit, not the host's death. */
    assert_int_equal(hv_window_unmap(tiny.vm, GPA(GUEST_WINDOW), 4096, &err),
                     0);
    tiny_expect(&tiny, HV_EXIT_ERROR);
    tiny_stop(&tiny);
    close(fd);
}

static void test_code_outside_of_memory_is_an_error_exit(void **state)
{
    struct tiny tiny;

    (void)state;
    tiny_start(&tiny, TINY_CODE(guest_wild_jump));
    tiny_expect(&tiny, HV_EXIT_ERROR);
    assert_non_null(tiny.exit.error.what);
    tiny_stop(&tiny);
}

const struct CMUnitTest access_tests[] = {
    cmocka_unit_test(test_port_io_carries_each_size),
    cmocka_unit_test(test_port_io_carries_strings),
    cmocka_unit_test(test_mmio_read_gets_the_answer),
    cmocka_unit_test(test_mmio_write_is_seen),
    cmocka_unit_test(test_read_only_memory_is_not_written),
    cmocka_unit_test(test_dirty_log_has_what_the_guest_wrote),
    cmocka_unit_test(test_window_shows_the_file_pages_mapped_now),
    cmocka_unit_test(test_code_outside_of_memory_is_an_error_exit),
};
const size_t access_test_count = ARRAY_LEN(access_tests);
