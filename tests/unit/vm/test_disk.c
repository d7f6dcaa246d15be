/* test_disk.c: the disk of a machine is split while the machine stands still,
 * and its guest, which reads and writes before and after, does not notice. */
#include "arch/arch.h"
#include "base/bytes.h"
#include "block/overlay.h"
#include "block/raw.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/virtio.h"
#include "platform/file.h"
#include "played.h"
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    DISK_BYTES = 1 << 20,
    SECTOR = 512,
    /* Guest memory of a queue with one request at a time. */
    DESCRIPTORS = 0x200000,
    AVAILABLE = 0x201000,
    USED = 0x202000,
    HEADER = 0x203000,
    DATA = 0x204000,
    STATUS = 0x205000,
    QUEUE_SIZE = 8,
    DESCRIPTOR_NEXT = 1,
    DESCRIPTOR_WRITE = 2,
    TYPE_IN = 0,
    TYPE_OUT = 1,
    VECTOR = 0x51
};

/* A machine with a disk over a base of zeroes, whose guest drives it. */
struct machine {
    struct played played;
    unsigned steps;
    uint16_t requests;
    int top_fd; /* the file of the top layer that it began with */
};

static int new_file(void)
{
    int fd = -1;

    assert_int_equal(file_in_memory("disk", &fd, NULL), 0);
    return fd;
}

static struct block *new_base(void)
{
    static const struct block_id id = {{1, 2, 3}};
    struct block *base = NULL;
    int fd = new_file();

    assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
    assert_int_equal(raw_open(fd, true, &id, &base, NULL), 0);
    return base;
}

static uint8_t *guest(struct machine *machine, uint64_t at)
{
    uint8_t *host = fake_memory(machine->played.script, GPA(at), 4096);

    assert_non_null(host);
    return host;
}

/* ---- the guest's driver ---- */

static void set_register(struct machine *machine, uint64_t offset,
                         uint32_t value)
{
    uint64_t at = arch_virtio_place(VM_SLOT_DISK).at + offset;

    played_add(&machine->played, 0, FAKE_MMIO_WRITE(at, 4, value));
    machine->steps++;
}

static uint32_t get_register(struct machine *machine, uint64_t offset)
{
    uint64_t at = arch_virtio_place(VM_SLOT_DISK).at + offset;

    played_add(&machine->played, 0, FAKE_MMIO_READ(at, 4));
    played_wait(&machine->played, 0, ++machine->steps);
    return (uint32_t)played_read(&machine->played, machine->steps - 1);
}

static uint32_t pin(void)
{
    return arch_virtio_place(VM_SLOT_DISK).gsi;
}

/* Virtio 1.2, 3.1.1; then the interrupt's pin. */
static void start_driver(struct machine *machine)
{
    uint64_t ioapic = arch_place(ARCH_IOAPIC).at;

    set_register(machine, VIRTIO_MMIO_STATUS, 1);
    set_register(machine, VIRTIO_MMIO_STATUS, 3);
    set_register(machine, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    set_register(machine, VIRTIO_MMIO_DRIVER_FEATURES, 1 << 9); /* FLUSH */
    set_register(machine, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    set_register(machine, VIRTIO_MMIO_DRIVER_FEATURES, 1); /* VERSION_1 */
    set_register(machine, VIRTIO_MMIO_STATUS, 11);
    set_register(machine, VIRTIO_MMIO_QUEUE_SEL, 0);
    set_register(machine, VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
    set_register(machine, VIRTIO_MMIO_QUEUE_DESC_LOW, DESCRIPTORS);
    set_register(machine, VIRTIO_MMIO_QUEUE_DRIVER_LOW, AVAILABLE);
    set_register(machine, VIRTIO_MMIO_QUEUE_DEVICE_LOW, USED);
    set_register(machine, VIRTIO_MMIO_QUEUE_READY, 1);
    set_register(machine, VIRTIO_MMIO_STATUS, 15);
    played_add(&machine->played, 0,
               FAKE_MMIO_WRITE(ioapic, 4, 0x10 + 2 * pin()));
    played_add(&machine->played, 0, FAKE_MMIO_WRITE(ioapic + 0x10, 4, VECTOR));
    machine->steps += 2;
    played_wait(&machine->played, 0, machine->steps);
}

static void put_descriptor(struct machine *machine, unsigned index, uint64_t at,
                           uint32_t bytes, uint16_t flags)
{
    uint8_t *to = guest(machine, DESCRIPTORS) + (size_t)16 * index;

    store_le64(to, at);
    store_le32(to + 8, bytes);
    store_le16(to + 12, flags);
    store_le16(to + 14, (uint16_t)(index + 1));
}

/* One sector of the disk, to or from DATA; what the device says of it. */
static uint8_t request(struct machine *machine, uint32_t type, uint64_t sector)
{
    bool in = type == TYPE_IN;

    memset(guest(machine, HEADER), 0, 16);
    store_le32(guest(machine, HEADER), type);
    store_le64(guest(machine, HEADER) + 8, sector);
    guest(machine, STATUS)[0] = 0xee;
    put_descriptor(machine, 0, HEADER, 16, DESCRIPTOR_NEXT);
    put_descriptor(machine, 1, DATA, SECTOR,
                   DESCRIPTOR_NEXT | (in ? DESCRIPTOR_WRITE : 0));
    put_descriptor(machine, 2, STATUS, 1, DESCRIPTOR_WRITE);
    store_le16(guest(machine, AVAILABLE) + 2, ++machine->requests);
    set_register(machine, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    assert_true(fake_irqfd_take(machine->played.script, pin()));
    assert_int_equal(load_le16(guest(machine, USED) + 2), machine->requests);
    set_register(machine, VIRTIO_MMIO_INTERRUPT_ACK, 1);
    played_wait(&machine->played, 0, machine->steps);
    return guest(machine, STATUS)[0];
}

static void write_sector(struct machine *machine, uint64_t sector, int value)
{
    memset(guest(machine, DATA), value, SECTOR);
    assert_int_equal(request(machine, TYPE_OUT, sector), 0);
}

static uint8_t read_sector(struct machine *machine, uint64_t sector)
{
    memset(guest(machine, DATA), 0xee, SECTOR);
    assert_int_equal(request(machine, TYPE_IN, sector), 0);
    assert_int_equal(guest(machine, DATA)[0], guest(machine, DATA)[SECTOR - 1]);
    return guest(machine, DATA)[0];
}

/* ---- the machine ---- */

static void start(struct machine *machine, struct block *disk)
{
    played_init(&machine->played, 1, NULL);
    machine->played.disk = disk;
    played_start(&machine->played);
    start_driver(machine);
}

static void start_with_overlay(struct machine *machine)
{
    struct block *disk = NULL;

    machine->top_fd = new_file();
    assert_int_equal(overlay_create(dup(machine->top_fd), new_base(),
                                    DISK_BYTES, &disk, NULL),
                     0);
    start(machine, disk);
}

/* vm_disk_split() as it is to be called; (fd) and (new_base) are gone. */
static int split(struct machine *machine, struct block *new_base, int fd)
{
    struct vm *vm = machine->played.vm;
    int rc;

    vm_pause(vm);
    assert_int_equal(vm_freeze(vm, NULL), 0);
    rc = vm_disk_split(vm, new_base, fd, NULL);
    vm_thaw(vm);
    vm_resume(vm);
    if (rc)
        assert_int_equal(fcntl(fd, F_GETFD), -1);
    return rc;
}

static uint8_t sector_of(struct block *block, uint64_t sector)
{
    uint8_t byte = 0xee;

    assert_int_equal(block_read_bytes(block, sector * SECTOR, &byte, 1, NULL),
                     0);
    return byte;
}

static void test_disk_splits_and_the_guest_does_not_notice(void **state)
{
    struct machine machine = {0};
    struct block *sealed = NULL;
    uint32_t generation;

    (void)state;
    start_with_overlay(&machine);
    write_sector(&machine, 3, 'a');
    generation = get_register(&machine, VIRTIO_MMIO_CONFIG_GENERATION);
    assert_int_equal(split(&machine, NULL, new_file()), 0);
    assert_int_equal(vm_disk(machine.played.vm)->depth, 3);
    assert_int_equal(get_register(&machine, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    assert_int_equal(get_register(&machine, VIRTIO_MMIO_CONFIG_GENERATION),
                     generation);
    assert_int_equal(get_register(&machine, VIRTIO_MMIO_CONFIG),
                     DISK_BYTES / SECTOR);
    assert_int_equal(read_sector(&machine, 3), 'a');
    write_sector(&machine, 3, 'b');
    write_sector(&machine, 200, 'c');
    assert_int_equal(read_sector(&machine, 3), 'b');
    assert_int_equal(read_sector(&machine, 200), 'c');
    /* What was split off has the content of that instant. */
    assert_int_equal(
        overlay_open_chain(new_base(), &machine.top_fd, 1, &sealed, NULL), 0);
    assert_int_equal(sector_of(sealed, 3), 'a');
    assert_int_equal(sector_of(sealed, 200), 0);
    block_free(sealed);
    played_done(&machine.played);
}

/* What a snapshot later does when there are too many layers. */
static void test_disk_splits_onto_merged_layers(void **state)
{
    struct machine machine = {0};
    struct block *one = NULL;
    int merged = new_file();

    (void)state;
    start_with_overlay(&machine);
    for (uint8_t i = 0; i < 3; i++) {
        write_sector(&machine, 8 * i, 'a' + i);
        assert_int_equal(split(&machine, NULL, new_file()), 0);
    }
    write_sector(&machine, 8, 'x');
    assert_int_equal(vm_disk(machine.played.vm)->depth, 5);
    assert_int_equal(
        overlay_merge(overlay_base(vm_disk(machine.played.vm)), merged, NULL),
        0);
    assert_int_equal(overlay_open_chain(new_base(), &merged, 1, &one, NULL), 0);
    assert_int_equal(split(&machine, one, new_file()), 0);
    /* Base, merged, what was the top, the new top. */
    assert_int_equal(vm_disk(machine.played.vm)->depth, 4);
    assert_int_equal(read_sector(&machine, 0), 'a');
    assert_int_equal(read_sector(&machine, 8), 'x');
    assert_int_equal(read_sector(&machine, 16), 'c');
    assert_int_equal(read_sector(&machine, 24), 0);
    write_sector(&machine, 16, 'y');
    assert_int_equal(read_sector(&machine, 16), 'y');
    played_done(&machine.played);
    close(machine.top_fd);
}

static void test_disk_that_cannot_be_split_goes_on(void **state)
{
    struct machine machine = {0};
    int fd = new_file();

    (void)state;
    start_with_overlay(&machine);
    write_sector(&machine, 1, 'a');
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(split(&machine, NULL, fd), SM_EEXIST);
    write_sector(&machine, 2, 'b');
    /* Made of something else than what is below. */
    fd = new_file();
    {
        struct block *other = new_base();

        other->id.bytes[0]++;
        assert_int_equal(split(&machine, other, fd), SM_EINVAL);
    }
    write_sector(&machine, 3, 'c');
    assert_int_equal(vm_disk(machine.played.vm)->depth, 2);
    assert_int_equal(read_sector(&machine, 1), 'a');
    assert_int_equal(read_sector(&machine, 2), 'b');
    assert_int_equal(read_sector(&machine, 3), 'c');
    /* The last layer that there may be can be written to. */
    while (vm_disk(machine.played.vm)->depth < BLOCK_DEPTH_MAX)
        assert_int_equal(split(&machine, NULL, new_file()), 0);
    assert_int_equal(split(&machine, NULL, new_file()), SM_ELIMIT);
    write_sector(&machine, 3, 'd');
    assert_int_equal(read_sector(&machine, 3), 'd');
    assert_int_equal(read_sector(&machine, 1), 'a');
    played_done(&machine.played);
    close(machine.top_fd);
}

static void test_disk_without_layers_is_not_split(void **state)
{
    struct machine empty = {0};
    struct machine raw = {0};

    (void)state;
    start(&empty, NULL);
    assert_null(vm_disk(empty.played.vm));
    assert_int_equal(split(&empty, new_base(), new_file()), SM_ESTATE);
    played_done(&empty.played);
    start(&raw, new_base());
    assert_int_equal(split(&raw, NULL, new_file()), SM_ESTATE);
    assert_int_equal(read_sector(&raw, 0), 0);
    played_done(&raw.played);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_splits_and_the_guest_does_not_notice),
        cmocka_unit_test(test_disk_splits_onto_merged_layers),
        cmocka_unit_test(test_disk_that_cannot_be_split_goes_on),
        cmocka_unit_test(test_disk_without_layers_is_not_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
