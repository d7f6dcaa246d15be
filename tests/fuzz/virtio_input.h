/* virtio_input.h: a fuzzer's bytes as a hostile driver, or a hostile record.
 *
 * How it works
 *   The bytes are a program for an interpreter, which owns a device behind
 *   virtio-mmio and a small guest memory (tests/unit/devices/driver.h). Its
 *   steps write registers, guest memory and configuration, offer requests,
 *   kick, reset, save and load, and let the host's side do something. One step
 *   starts the race: from then on every copy that the device makes out of
 *   guest memory may be preceded by a change of that memory, as a second vcpu
 *   would do it; the linker puts us between the device and gmem_read() and
 *   gmem_load16() (see virtio_input.c). The same bytes do the same always.
 */
#ifndef SM_TESTS_VIRTIO_INPUT_H
#define SM_TESTS_VIRTIO_INPUT_H

#include "../unit/devices/driver.h"

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

/* The next bytes; zero once there are none. */
uint8_t fuzz_u8(struct fuzz_input *input);
uint16_t fuzz_u16(struct fuzz_input *input);
uint32_t fuzz_u32(struct fuzz_input *input);
uint64_t fuzz_u64(struct fuzz_input *input);
void fuzz_bytes(struct fuzz_input *input, void *to, size_t count);

/* Where requests may have their buffers: 256 KiB in the middle of memory. */
enum { FUZZ_DATA_AT = DRIVER_MEMORY_AT + (2 << 20), FUZZ_DATA_BYTES = 1 << 18 };

/* One kind of device. */
struct fuzz_kind {
    struct virtio_device *(*make)(struct driver *driver);
    /* Optional: put the device's part of a sensible request's first buffer at
     * (to), (bytes) long. */
    void (*compose)(struct fuzz_input *input, uint8_t *to, size_t bytes);
    /* Optional: the host's side does something. */
    void (*host)(struct driver *driver, struct fuzz_input *input);
    /* Optional: after the device is gone. */
    void (*done)(void);
};

/* Let the race begin or end. */
void fuzz_race(struct fuzz_input *input, const struct gmem *mem,
               struct gpa from, uint64_t bytes);

/* Run the program in (bytes) against a device of (kind). */
void fuzz_virtio(const struct fuzz_kind *kind, const uint8_t *bytes,
                 size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

#endif
