/* state.c: a machine as a record and back; see vm.h.
 *
 * How it works
 *   Parts of { u32 tag, u32 version, blob }, each exactly once, in this order:
 *
 *     CONF   what the machine consists of, as the guest was told
 *     ARCH   what the processor looks like          (arch_vm_save)
 *     INTC   the interrupt controller               (hv_intc_save)
 *     CLCK   the paravirtual clock
 *     VCPU   one for each vcpu: its counter, then its registers
 *     DEVS   every device, one record after the other
 *
 *   A vcpu is saved and loaded by its own thread, while all wait. Counters are
 *   read against one moment of the host's, and set against one, so that the
 *   vcpus stay in step; guest time stands still between the two.
 */
#include "vm/inside.h"

#include "base/own.h"

#include <string.h>

enum {
    PART_VERSION = 1,
    VCPU_BYTES_MAX = 1 << 20,
    CLOCK_KNOWN = 1 /* CLCK: the hypervisor had one */
};

/* Four letters, read as a little-endian u32. */
#define TAG(a, b, c, d)                                                        \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 |                \
     (uint32_t)(d) << 24)
#define TAG_CONF TAG('C', 'O', 'N', 'F')
#define TAG_ARCH TAG('A', 'R', 'C', 'H')
#define TAG_INTC TAG('I', 'N', 'T', 'C')
#define TAG_CLCK TAG('C', 'L', 'C', 'K')
#define TAG_VCPU TAG('V', 'C', 'P', 'U')
#define TAG_DEVS TAG('D', 'E', 'V', 'S')

/* Standing still ---------------------------------------------------------- */

/* An access that the vcpu had in hand is finished; its instruction pointer
 * stands behind it then. */
static int finish_access(struct vm_vcpu *own, void *context,
                         struct sm_error *err)
{
    struct hv_exit exit = {.kind = HV_EXIT_HALT};

    (void)context;
    hv_vcpu_kick(&own->vcpu, 1);
    while (exit.kind != HV_EXIT_KICKED) {
        int rc = hv_vcpu_run(own->vcpu, &exit, err);

        if (rc)
            return rc;
        if (exit.kind != HV_EXIT_KICKED && !vm_answer(own, &exit))
            return fail(err, SM_ESTATE, "the machine has ended");
    }
    return 0;
}

static int check_alive(struct vm *vm, struct sm_error *err)
{
    bool ended;

    pthread_mutex_lock(&vm->lock);
    ended = vm->ended;
    pthread_mutex_unlock(&vm->lock);
    return ended ? fail(err, SM_ESTATE, "the machine has ended") : 0;
}

int vm_freeze(struct vm *vm, struct sm_error *err)
{
    int rc = check_alive(vm, err);

    if (!rc)
        rc = vm_vcpus_do(vm, finish_access, NULL, err);
    /* An end may have been what was finished. */
    if (!rc)
        rc = check_alive(vm, err);
    if (!rc)
        vm_devices_pause(vm);
    return rc;
}

void vm_thaw(struct vm *vm)
{
    struct sm_error err;

    if (vm_devices_resume(vm, &err) != 0)
        vm_end(vm, VM_END_FAILED, &err);
}

/* Saving ------------------------------------------------------------------ */

/* Every vcpu's part, written side by side. */
struct vcpu_parts {
    uint64_t now; /* of the host's counter */
    struct buf part[ARCH_VCPUS_MAX];
};

static void put_part(struct buf *to, uint32_t tag, struct buf *part)
{
    wire_put_u32(to, tag);
    wire_put_u32(to, PART_VERSION);
    wire_put_blob(to, part->data, part->size);
    to->failed |= part->failed;
    buf_done(part);
}

static int save_vcpu(struct vm_vcpu *own, void *context, struct sm_error *err)
{
    struct vcpu_parts *parts = context;
    struct buf *part = &parts->part[own->id];
    uint64_t counter;
    int rc = hv_vcpu_clock_save(own->vcpu, parts->now, &counter, err);

    if (rc)
        return rc;
    wire_put_u64(part, counter);
    return hv_vcpu_save(own->vcpu, part, err);
}

static int save_vcpus(struct vm *vm, struct buf *to, struct sm_error *err)
{
    AUTO_FREE struct vcpu_parts *parts = calloc(1, sizeof *parts);
    int rc;

    if (!parts)
        return fail(err, SM_ENOMEM, "machine: out of memory");
    parts->now = hv_ticks(vm->config.hv);
    for (uint32_t id = 0; id < vm->arch.vcpus; id++)
        buf_init(&parts->part[id], VCPU_BYTES_MAX);
    rc = vm_vcpus_do(vm, save_vcpu, parts, err);
    for (uint32_t id = 0; id < vm->arch.vcpus; id++)
        put_part(to, TAG_VCPU, &parts->part[id]);
    return rc;
}

static void save_config(const struct vm *vm, struct buf *to)
{
    struct buf part;

    buf_init(&part, VCPU_BYTES_MAX);
    wire_put_string(&part, vm->config.hv->name);
    wire_put_u64(&part, vm->arch.memory_bytes);
    wire_put_u64(&part, vm->arch.window_bytes);
    wire_put_u32(&part, vm->arch.vcpus);
    wire_put_u32(&part, vm->arch.virtio_slots);
    wire_put_u8(&part, vm->arch.serial);
    put_part(to, TAG_CONF, &part);
}

static int save_hypervisor(struct vm *vm, struct buf *to, struct sm_error *err)
{
    struct hv_pvclock clock = {0};
    struct buf part;
    int rc;

    buf_init(&part, VCPU_BYTES_MAX);
    rc = arch_vm_save(vm->hv, &part, err);
    put_part(to, TAG_ARCH, &part);
    if (rc)
        return rc;
    buf_init(&part, VCPU_BYTES_MAX);
    rc = hv_intc_save(vm->hv, &part, err);
    put_part(to, TAG_INTC, &part);
    if (!rc)
        rc = hv_pvclock_save(vm->hv, &clock, err);
    if (rc)
        return rc;
    buf_init(&part, VCPU_BYTES_MAX);
    wire_put_u8(&part, clock.present ? CLOCK_KNOWN : 0);
    wire_put_u64(&part, clock.ns);
    put_part(to, TAG_CLCK, &part);
    return 0;
}

static void save_devices(struct vm *vm, struct buf *to)
{
    struct device *device;
    struct buf part;

    buf_init(&part, SIZE_MAX);
    for (unsigned i = 0; (device = vm_device(vm, i)) != NULL; i++)
        device_save(device, &part);
    put_part(to, TAG_DEVS, &part);
}

int vm_save(struct vm *vm, struct buf *to, struct sm_error *err)
{
    int rc;

    save_config(vm, to);
    rc = save_hypervisor(vm, to, err);
    if (!rc)
        rc = save_vcpus(vm, to, err);
    save_devices(vm, to);
    if (!rc && to->failed)
        rc = fail(err, SM_ENOMEM, "machine: out of memory");
    return rc;
}

/* Loading ----------------------------------------------------------------- */

/* The parts of a record, which stay the caller's bytes. */
struct vm_record {
    struct wire_reader arch;
    struct wire_reader intc;
    struct wire_reader clock;
    struct wire_reader vcpu[ARCH_VCPUS_MAX];
    struct wire_reader devices;
    uint64_t now; /* of the host's counter */
};

static int get_part(struct wire_reader *from, uint32_t tag,
                    struct wire_reader *ret, struct sm_error *err)
{
    uint32_t found = wire_u32(from);
    uint32_t version = wire_u32(from);
    size_t count;
    const uint8_t *bytes = wire_blob(from, &count);
    char name[5] = {(char)tag, (char)(tag >> 8), (char)(tag >> 16),
                    (char)(tag >> 24), '\0'};

    if (!wire_ok(from) || found != tag)
        return fail(err, SM_EIMAGE, "machine state: damaged at %s", name);
    if (version != PART_VERSION)
        return fail(err, SM_ENOTSUP, "machine state: %s of version %u, not %d",
                    name, version, PART_VERSION);
    wire_read(ret, bytes, count);
    return 0;
}

/* The record is of the machine that was asked for. */
static int check_config(const struct vm *vm, struct wire_reader *from,
                        struct sm_error *err)
{
    AUTO_FREE char *hypervisor = wire_string(from);
    uint64_t memory_bytes = wire_u64(from);
    uint64_t window_bytes = wire_u64(from);
    uint32_t vcpus = wire_u32(from);
    uint32_t slots = wire_u32(from);
    uint32_t serial = wire_u8(from);

    if (from->no_memory)
        return fail(err, SM_ENOMEM, "machine state: out of memory");
    if (!wire_end(from) || !hypervisor)
        return fail(err, SM_EIMAGE, "machine state: damaged at CONF");
    if (strcmp(hypervisor, vm->config.hv->name) != 0)
        return fail(err, SM_ENOTSUP, "machine state: of %.32s, this is %s",
                    hypervisor, vm->config.hv->name);
    if (memory_bytes != vm->arch.memory_bytes || vcpus != vm->arch.vcpus)
        return fail(err, SM_EINVAL,
                    "machine state: %llu bytes of memory and %u vcpus, "
                    "not %llu and %u",
                    (unsigned long long)memory_bytes, vcpus,
                    (unsigned long long)vm->arch.memory_bytes, vm->arch.vcpus);
    if (window_bytes != vm->arch.window_bytes ||
        slots != vm->arch.virtio_slots || serial != vm->arch.serial)
        return fail(err, SM_ENOTSUP,
                    "machine state: %u device slots, serial %u, window %llu: "
                    "this version has %u, %d, %llu",
                    slots, serial, (unsigned long long)window_bytes,
                    vm->arch.virtio_slots, vm->arch.serial,
                    (unsigned long long)vm->arch.window_bytes);
    return 0;
}

static int open_record(struct vm *vm, struct vm_record *record,
                       struct sm_error *err)
{
    struct wire_reader from;
    struct wire_reader config;
    int rc;

    wire_read(&from, vm->config.saved->state, vm->config.saved->count);
    rc = get_part(&from, TAG_CONF, &config, err);
    if (!rc)
        rc = check_config(vm, &config, err);
    if (!rc && vm->arch.vcpus > ARCH_VCPUS_MAX)
        rc = fail(err, SM_EINVAL, "%u vcpus: 1 to %d", vm->arch.vcpus,
                  ARCH_VCPUS_MAX);
    if (!rc)
        rc = get_part(&from, TAG_ARCH, &record->arch, err);
    if (!rc)
        rc = get_part(&from, TAG_INTC, &record->intc, err);
    if (!rc)
        rc = get_part(&from, TAG_CLCK, &record->clock, err);
    for (uint32_t id = 0; !rc && id < vm->arch.vcpus; id++)
        rc = get_part(&from, TAG_VCPU, &record->vcpu[id], err);
    if (!rc)
        rc = get_part(&from, TAG_DEVS, &record->devices, err);
    if (!rc && !wire_end(&from))
        rc = fail(err, SM_EIMAGE, "machine state: bytes behind its end");
    return rc;
}

int vm_record_open(struct vm *vm, struct vm_record **ret, struct sm_error *err)
{
    struct vm_record *record = calloc(1, sizeof *record);
    int rc;

    if (!record)
        return fail(err, SM_ENOMEM, "machine: out of memory");
    rc = open_record(vm, record, err);
    if (rc)
        vm_record_close(record);
    else
        *ret = record;
    return rc;
}

void vm_record_close(struct vm_record *record)
{
    free(record);
}

/* What is wrong with a record is the snapshot's fault, whoever says so. */
static int blame(int rc, struct sm_error *err)
{
    if (rc == SM_EPROTO && err)
        err->code = SM_EIMAGE;
    return rc == SM_EPROTO ? SM_EIMAGE : rc;
}

int vm_record_load_arch(struct vm *vm, struct vm_record *record,
                        struct sm_error *err)
{
    int rc = arch_vm_load(vm->hv, &vm->arch, &record->arch, err);

    if (!rc)
        rc = hv_intc_load(vm->hv, &record->intc, err);
    if (!rc && !(wire_end(&record->arch) && wire_end(&record->intc)))
        rc = fail(err, SM_EIMAGE, "machine state: damaged at INTC");
    return blame(rc, err);
}

static int load_vcpu(struct vm_vcpu *own, void *context, struct sm_error *err)
{
    struct vm_record *record = context;
    struct wire_reader *from = &record->vcpu[own->id];
    uint64_t counter = wire_u64(from);
    int rc = hv_vcpu_load(own->vcpu, from, err);

    if (!rc && !wire_end(from))
        rc = fail(err, SM_EIMAGE, "state with bytes behind its end");
    if (!rc)
        rc = hv_vcpu_clock_load(own->vcpu, record->now, counter, err);
    return rc ? rc : hv_vcpu_resumed(own->vcpu, err);
}

static int load_clock(struct vm *vm, struct wire_reader *from,
                      struct sm_error *err)
{
    struct hv_pvclock clock = {.present = wire_u8(from) == CLOCK_KNOWN};

    clock.ns = wire_u64(from);
    if (!wire_end(from) || clock.ns > INT64_MAX)
        return fail(err, SM_EIMAGE, "machine state: damaged at CLCK");
    return hv_pvclock_load(vm->hv, &clock, err);
}

static int load_devices(struct vm *vm, struct wire_reader *from,
                        struct sm_error *err)
{
    struct device *device;
    int rc = 0;

    for (unsigned i = 0; !rc && (device = vm_device(vm, i)) != NULL; i++)
        rc = device_load(device, from, err);
    if (!rc && !wire_end(from))
        rc = fail(err, SM_EIMAGE, "machine state: more devices than known");
    return rc;
}

/* No device may be served before all of it is there: the disk's thread has
 * nothing to do until the guest or virtio_device_resume() kicks. */
int vm_record_load(struct vm *vm, struct vm_record *record,
                   struct sm_error *err)
{
    int rc;

    record->now = hv_ticks(vm->config.hv);
    rc = vm_vcpus_do(vm, load_vcpu, record, err);
    if (!rc)
        rc = load_clock(vm, &record->clock, err);
    if (!rc)
        rc = load_devices(vm, &record->devices, err);
    if (!rc)
        rc = vm_disk_attach(vm, err);
    for (uint32_t i = 0; !rc && i < VM_SLOTS; i++)
        virtio_device_resume(vm->slot[i].virtio);
    return blame(rc, err);
}

/* The connection that a saved machine had -------------------------------- */

struct adoption {
    uint32_t host_port;
    uint32_t guest_port;
    unsigned found;
};

static void look_at(void *context, const struct vsock_connection_state *state)
{
    struct adoption *wanted = context;

    if (state->host_port != wanted->host_port || state->phase != VSOCK_OPEN)
        return;
    wanted->guest_port = state->guest_port;
    wanted->found++;
}

int vm_adopt(struct vm *vm, uint32_t host_port, int fd, struct sm_error *err)
{
    struct adoption wanted = {.host_port = host_port};

    vsock_each(vm->vsock, look_at, &wanted);
    if (wanted.found != 1) {
        close(fd);
        return fail(err, SM_EIMAGE,
                    "machine state: %u connections to port %u, expected 1",
                    wanted.found, host_port);
    }
    return vsock_adopt(vm->vsock, wanted.guest_port, host_port, fd, err);
}
