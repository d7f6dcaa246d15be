/* machine_record.c: fuzzes the reader of saved machines' records, in front of
 * all that a record is loaded into: devices, vcpus, clocks. */
#include "base/bytes.h"
#include "hypervisor/fake/fake.h"
#include "platform/file.h"
#include "vm/vm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MEMORY = 32 << 20, RECORD_MAX = 1 << 20, PATCH_BYTES = 3, RANGES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static int refuse(void *context, uint32_t host_port, uint32_t guest_port)
{
    (void)context;
    (void)host_port;
    (void)guest_port;
    return -1;
}

static void console(void *context, const uint8_t *bytes, size_t count)
{
    (void)context;
    (void)bytes;
    (void)count;
}

static void step(void *context, const char *what)
{
    (void)context;
    (void)what;
}

static void ended(void *context, const struct vm_end *end)
{
    (void)context;
    (void)end;
}

static const struct vm_events events = {
    .connect = refuse, .console = console, .step = step, .ended = ended};

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* A machine of (saved), on a script of its own; NULL: it is refused. */
static struct vm *make(struct loop *loop, const struct vm_saved *saved)
{
    const struct vm_config config = {.hv = &hv_fake,
                                     .hv_device_fd = -1,
                                     .memory_bytes = MEMORY,
                                     .vcpus = 1,
                                     .saved = saved,
                                     .kernel_fd = -1,
                                     .initrd_fd = -1,
                                     .loop = loop,
                                     .events = &events,
                                     .trust_hypervisor = true};
    struct vm *vm = NULL;

    vm_new(&config, &vm, NULL);
    return vm;
}

/* A record that is in order: of a machine that boots the smallest vmlinux. */
static void make_record(struct loop *loop, struct buf *record)
{
    uint8_t file[120] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    struct vm_config config = {.hv = &hv_fake,
                               .hv_device_fd = -1,
                               .memory_bytes = MEMORY,
                               .vcpus = 1,
                               .initrd_fd = -1,
                               .cmdline = "",
                               .loop = loop,
                               .events = &events,
                               .trust_hypervisor = true};
    struct fake_script *script = fake_script_new(NULL);
    struct vm *vm;

    store_le16(file + 16, 2);
    store_le16(file + 18, 62);
    store_le64(file + 24, 0x1000000);
    store_le64(file + 32, 64);
    store_le16(file + 54, 56);
    store_le16(file + 56, 1);
    store_le32(file + 64, 1);
    store_le64(file + 88, 0x1000000);
    store_le64(file + 96, sizeof file);
    store_le64(file + 104, 4096);
    must(script && file_in_memory("kernel", &config.kernel_fd, NULL) == 0);
    must(file_write_at(config.kernel_fd, file, sizeof file, 0, NULL) == 0);
    must(vm_new(&config, &vm, NULL) == 0);
    close(config.kernel_fd);
    vm_run(vm);
    vm_pause(vm);
    buf_init(record, RECORD_MAX);
    must(vm_freeze(vm, NULL) == 0 && vm_save(vm, record, NULL) == 0);
    vm_thaw(vm);
    vm_free(vm);
    fake_script_free(script);
}

/* A list of ranges out of the same bytes: most are none, some are in order. */
static void make_ranges(const uint8_t *bytes, size_t count,
                        struct gmem_range *range, struct vm_saved *saved)
{
    saved->range = range;
    for (size_t i = 0; i + 4 <= count && saved->range_count < RANGES; i += 4)
        range[saved->range_count++] = (struct gmem_range){
            (uint64_t)load_le16(bytes + i) << 12, (uint64_t)bytes[i + 2] << 8};
}

/* The input is a list of patches to a record that is in order: { u16 offset,
 * u8 byte }; an odd length cuts the record off at the first one's offset, one
 * of whole fours has ranges of a second file. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static struct buf record;
    static uint8_t copy[RECORD_MAX];
    static struct loop *loop;
    static int memory = -1;
    struct gmem_range range[RANGES];
    struct vm_saved saved = {.state = copy};
    struct fake_script *script;

    if (!loop) {
        must(loop_new(&loop, NULL) == 0);
        make_record(loop, &record);
        must(file_in_memory("memory", &memory, NULL) == 0);
        must(file_set_size(memory, MEMORY, NULL) == 0);
    }
    saved.count = record.size;
    saved.memory_fd = memory;
    saved.differential_fd = memory;
    if (count % 4 == 0)
        make_ranges(bytes, count, range, &saved);
    memcpy(copy, record.data, record.size);
    for (size_t i = 0; i + PATCH_BYTES <= count; i += PATCH_BYTES)
        copy[load_le16(bytes + i) % record.size] = bytes[i + 2];
    if (count % 2 && count >= 2)
        saved.count = load_le16(bytes) % record.size;
    script = fake_script_new(NULL);
    must(script != NULL);
    vm_free(make(loop, &saved));
    fake_script_free(script);
    return 0;
}
