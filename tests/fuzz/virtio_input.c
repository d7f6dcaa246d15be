/* virtio_input.c: a fuzzer's bytes as a hostile driver; see virtio_input.h. */
#include "virtio_input.h"

#include "base/bytes.h"

#include <stdlib.h>

enum { STEPS_MAX = 400, RECORD_MAX = 1 << 22 };

/* ---- input ---- */

void fuzz_bytes(struct fuzz_input *input, void *to, size_t count)
{
    size_t have = count < input->left ? count : input->left;

    memset(to, 0, count);
    if (have)
        memcpy(to, input->at, have);
    input->at += have;
    input->left -= have;
}

uint8_t fuzz_u8(struct fuzz_input *input)
{
    uint8_t value;

    fuzz_bytes(input, &value, sizeof value);
    return value;
}

uint16_t fuzz_u16(struct fuzz_input *input)
{
    uint8_t wire[2];

    fuzz_bytes(input, wire, sizeof wire);
    return load_le16(wire);
}

uint32_t fuzz_u32(struct fuzz_input *input)
{
    uint8_t wire[4];

    fuzz_bytes(input, wire, sizeof wire);
    return load_le32(wire);
}

uint64_t fuzz_u64(struct fuzz_input *input)
{
    uint8_t wire[8];

    fuzz_bytes(input, wire, sizeof wire);
    return load_le64(wire);
}

/* ---- the race ---- */

static struct {
    struct fuzz_input *input; /* NULL: no race */
    const struct gmem *mem;
    struct gpa from;
    uint64_t bytes;
} race;

void fuzz_race(struct fuzz_input *input, const struct gmem *mem,
               struct gpa from, uint64_t bytes)
{
    race.input = input;
    race.mem = mem;
    race.from = from;
    race.bytes = bytes;
}

/* What another vcpu does just before the device looks. */
static void interfere(const struct gmem *mem)
{
    struct fuzz_input *input = race.input;
    uint8_t value[2];
    uint8_t what;

    if (!input || mem != race.mem || !input->left)
        return;
    what = fuzz_u8(input);
    if (what < 0x40)
        return;
    fuzz_bytes(input, value, sizeof value);
    (void)gmem_write(mem,
                     gpa_add(race.from, fuzz_u16(input) % (race.bytes - 1)),
                     value, what & 1 ? 2 : 1);
}

bool __real_gmem_read(const struct gmem *mem, struct gpa from, void *to,
                      uint64_t bytes);
bool __real_gmem_load16(const struct gmem *mem, struct gpa at, uint16_t *value);
bool __wrap_gmem_read(const struct gmem *mem, struct gpa from, void *to,
                      uint64_t bytes);
bool __wrap_gmem_load16(const struct gmem *mem, struct gpa at, uint16_t *value);

bool __wrap_gmem_read(const struct gmem *mem, struct gpa from, void *to,
                      uint64_t bytes)
{
    interfere(mem);
    return __real_gmem_read(mem, from, to, bytes);
}

bool __wrap_gmem_load16(const struct gmem *mem, struct gpa at, uint16_t *value)
{
    interfere(mem);
    return __real_gmem_load16(mem, at, value);
}

/* ---- steps ---- */

struct run {
    const struct fuzz_kind *kind;
    struct driver driver;
    struct fuzz_input input;
};

static void start(struct run *run)
{
    /* Rings from the beginning of memory, each time. */
    run->driver.heap = DRIVER_MEMORY_AT;
    driver_start(&run->driver,
                 fuzz_u8(&run->input) & 1
                     ? VIRTIO_F_EVENT_IDX
                     : fuzz_u64(&run->input) & ~VIRTIO_F_VERSION_1);
}

static void write_register(struct run *run)
{
    static const uint16_t registers[] = {
        VIRTIO_MMIO_DEVICE_FEATURES_SEL,
        VIRTIO_MMIO_DRIVER_FEATURES_SEL,
        VIRTIO_MMIO_DRIVER_FEATURES,
        VIRTIO_MMIO_QUEUE_SEL,
        VIRTIO_MMIO_QUEUE_NUM,
        VIRTIO_MMIO_QUEUE_READY,
        VIRTIO_MMIO_QUEUE_NOTIFY,
        VIRTIO_MMIO_INTERRUPT_ACK,
        VIRTIO_MMIO_STATUS,
        VIRTIO_MMIO_QUEUE_DESC_LOW,
        VIRTIO_MMIO_QUEUE_DESC_HIGH,
        VIRTIO_MMIO_QUEUE_DRIVER_LOW,
        VIRTIO_MMIO_QUEUE_DRIVER_HIGH,
        VIRTIO_MMIO_QUEUE_DEVICE_LOW,
        VIRTIO_MMIO_QUEUE_DEVICE_HIGH,
        VIRTIO_MMIO_SHM_SEL,
    };
    unsigned which = fuzz_u8(&run->input);
    uint32_t value =
        which & 0x80 ? fuzz_u32(&run->input) : fuzz_u8(&run->input);

    driver_write(&run->driver, registers[which % ARRAY_LEN(registers)], value);
}

/* Any access to any place of the window. */
static void access_window(struct run *run)
{
    struct device *device = run->driver.device;
    uint8_t how = fuzz_u8(&run->input);
    unsigned bytes = 1u << (how & 3);
    uint64_t offset = fuzz_u16(&run->input) % (VIRTIO_MMIO_BYTES - 7);

    if (how & 4)
        device->ops->write(device, offset, bytes, fuzz_u64(&run->input));
    else
        (void)device->ops->read(device, offset, bytes);
}

/* A chain of up to seven buffers in the data region. */
static void request(struct run *run, bool indirect)
{
    struct fuzz_input *input = &run->input;
    struct driver *driver = &run->driver;
    struct driver_buffer buffer[7];
    unsigned queue = fuzz_u8(input) % driver->virtio->queue_count;
    uint8_t shape = fuzz_u8(input);
    unsigned count = shape % 7 + 1;
    unsigned readable = shape / 7 % (count + 1);
    uint16_t head;

    if (!driver->queue[queue].size)
        return;
    for (unsigned i = 0; i < count; i++) {
        uint32_t at = fuzz_u16(input) % (uint32_t)(FUZZ_DATA_BYTES - 65536);

        buffer[i] = (struct driver_buffer){
            .at = GPA((uint64_t)FUZZ_DATA_AT + at),
            .bytes = fuzz_u16(input) & (i ? 0xffff : 0x7f),
            .write = i >= readable,
        };
    }
    if (run->kind->compose && readable && buffer[0].bytes)
        run->kind->compose(input,
                           driver_host(driver, buffer[0].at, buffer[0].bytes),
                           buffer[0].bytes);
    head = indirect ? driver_indirect(driver, queue, buffer, count)
                    : driver_chain(driver, queue, buffer, count);
    driver_offer(driver, queue, head);
    driver_kick(driver, queue);
}

/* Bytes of rings or data. */
static void write_memory(struct run *run)
{
    uint8_t bytes[32];
    uint8_t how = fuzz_u8(&run->input);
    size_t count = how % sizeof bytes + 1;
    uint64_t at = how & 0x80 ? DRIVER_MEMORY_AT : FUZZ_DATA_AT;

    at += fuzz_u16(&run->input);
    fuzz_bytes(&run->input, bytes, count);
    (void)gmem_write(&run->driver.mem, GPA(at), bytes, count);
}

/* Through a record, of which some bytes change on the way. */
static void save_and_load(struct run *run)
{
    struct wire_reader from;
    struct buf record;

    buf_init(&record, RECORD_MAX);
    device_save(run->driver.device, &record);
    if (record.failed)
        abort();
    for (unsigned i = fuzz_u8(&run->input) % 4; i; i--) {
        size_t at = fuzz_u16(&run->input) % record.size;

        record.data[at] = fuzz_u8(&run->input);
    }
    wire_read(&from, record.data, record.size);
    (void)device_load(run->driver.device, &from, NULL);
    buf_done(&record);
}

static void step(struct run *run)
{
    struct driver *driver = &run->driver;

    switch (fuzz_u8(&run->input) % 12) {
    case 0:
        start(run);
        break;
    case 1:
        write_register(run);
        break;
    case 2:
        access_window(run);
        break;
    case 3:
        request(run, true);
        break;
    case 4:
    case 5:
        request(run, false);
        break;
    case 6:
        write_memory(run);
        break;
    case 7:
        save_and_load(run);
        break;
    case 8:
        fuzz_race(&run->input, &driver->mem, GPA(DRIVER_MEMORY_AT), 8192);
        break;
    case 9:
        fuzz_race(NULL, NULL, GPA(0), 0);
        break;
    default:
        if (run->kind->host)
            run->kind->host(driver, &run->input);
        break;
    }
    driver_run(driver);
}

void fuzz_virtio(const struct fuzz_kind *kind, const uint8_t *bytes,
                 size_t count)
{
    struct run run = {.kind = kind, .input = {bytes, count}};

    driver_init(&run.driver);
    driver_attach(&run.driver, kind->make(&run.driver));
    start(&run);
    for (int i = 0; i < STEPS_MAX && run.input.left; i++) {
        /* driver_indirect() takes memory: begin again before the data. */
        if (run.driver.heap > DRIVER_MEMORY_AT + (1 << 20))
            run.driver.heap = DRIVER_MEMORY_AT + (1 << 19);
        step(&run);
    }
    fuzz_race(NULL, NULL, GPA(0), 0);
    driver_done(&run.driver);
    if (kind->done)
        kind->done();
}
