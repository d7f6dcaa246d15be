/* wires.c: the devices of a machine, and what connects them to its guest.
 *
 * How it works
 *   Guest to device: one notifier per virtio slot. Where the hypervisor can
 *   (ioeventfd), it signals it for any write to the slot's notify register;
 *   else the register's device does. The slot's loop then serves every queue
 *   that is ready: a look at an empty queue costs less than a wire per queue.
 *
 *   Device to guest: where the hypervisor can (irqfd), one notifier per slot,
 *   attached to the slot's pin while the guest has the pin unmasked; the
 *   IOAPIC tells us each change. An event that comes while the pin is masked
 *   stays in the notifier until then. Without irqfd the IOAPIC sends. Without
 *   an IOAPIC of ours the notifier is attached all the time.
 */
#include "vm/inside.h"

#include "base/bytes.h"
#include "base/own.h"
#include "block/overlay.h"
#include "devices/power.h"
#include "devices/pvpanic.h"
#include "devices/serial.h"
#include "devices/virtio/balloon.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/rng.h"

#include <assert.h>

/* Interrupts -------------------------------------------------------------- */

static struct hv_msi msi_of(const struct ioapic_route *route)
{
    return (struct hv_msi){.address = route->address, .data = route->data};
}

static struct vm_slot *slot_of_gsi(struct vm *vm, uint32_t gsi)
{
    for (uint32_t i = 0; i < VM_SLOTS; i++)
        if (arch_virtio_place(i).gsi == gsi)
            return &vm->slot[i];
    return NULL;
}

/* Failures leave the pin as it was; the guest then misses interrupts, which
 * the log explains. */
static void log_failure(struct vm *vm, int rc, const struct sm_error *err)
{
    if (rc)
        log_line(&vm->config.log, LOG_LEVEL_ERROR, "interrupts: %s",
                 err->message);
}

static void route_changed(void *context, unsigned pin,
                          const struct ioapic_route *route)
{
    struct vm *vm = context;
    struct vm_slot *slot = slot_of_gsi(vm, pin);
    struct hv_msi msi = msi_of(route);
    struct sm_error err;
    int rc = 0;

    if (!route->masked)
        rc = hv_route_set(vm->hv, pin, &msi, &err);
    if (!rc && slot && slot->interrupt.fd >= 0 &&
        slot->irqfd == route->masked) {
        rc = route->masked
                 ? hv_irqfd_detach(vm->hv, pin, &slot->interrupt, &err)
                 : hv_irqfd_attach(vm->hv, pin, &slot->interrupt, &err);
        if (!rc)
            slot->irqfd = !route->masked;
    }
    log_failure(vm, rc, &err);
}

static void send_message(void *context, const struct ioapic_route *route)
{
    struct vm *vm = context;
    struct hv_msi msi = msi_of(route);

    hv_msi_send(vm->hv, &msi);
}

static const struct ioapic_ops ioapic_ops = {
    .route_changed = route_changed,
    .send = send_message,
};

/* A line into a hypervisor that has the whole interrupt controller. */
static void set_level(void *context, bool level)
{
    struct vm_slot *slot = context;

    hv_irq_set(slot->vm->hv, arch_virtio_place(slot->number).gsi, level);
}

static struct irq_line line_of(struct vm *vm, struct vm_slot *slot)
{
    struct irq_line line;

    if (vm->ioapic)
        line = ioapic_line(vm->ioapic, arch_virtio_place(slot->number).gsi);
    else
        line = (struct irq_line){.set = set_level, .context = slot};
    line.pulse = slot->interrupt;
    return line;
}

/* A guest that does not listen has the pin masked; the edge stays there. */
void vm_generation_pulse(struct vm *vm)
{
    uint32_t gsi = arch_place(ARCH_GENERATION).gsi;

    if (vm->ioapic) {
        ioapic_set_pin(vm->ioapic, gsi, true);
        ioapic_set_pin(vm->ioapic, gsi, false);
    } else {
        hv_irq_set(vm->hv, gsi, true);
        hv_irq_set(vm->hv, gsi, false);
    }
}

/* Devices that are not virtio --------------------------------------------- */

static int add(struct vm *vm, enum arch_device what, struct device *device,
               struct sm_error *err)
{
    struct arch_place place = arch_place(what);

    return bus_add(place.pio ? &vm->ports : &vm->mmio, place.at, place.bytes,
                   device, err);
}

static void power_event(void *context, enum power_event event)
{
    vm_end(context, event == POWER_EVENT_OFF ? VM_END_POWER_OFF : VM_END_REBOOT,
           NULL);
}

static void panic_event(void *context, unsigned events)
{
    vm_end(context, events & PVPANIC_PANICKED ? VM_END_PANIC : VM_END_CRASH,
           NULL);
}

static int make_platform(struct vm *vm, struct sm_error *err)
{
    struct serial_config serial = {
        .irq = IRQ_NONE,
        .output = vm->config.events->console,
        .context = vm->config.context,
    };
    struct serial *uart;
    struct power *power;
    struct pvpanic *panic;
    int rc = 0;

    if (vm->hv->caps.user_ioapic) {
        rc = ioapic_new(&ioapic_ops, vm, &vm->ioapic, err);
        if (!rc)
            rc = add(vm, ARCH_IOAPIC, ioapic_device(vm->ioapic), err);
        if (!rc)
            serial.irq = ioapic_line(vm->ioapic, arch_place(ARCH_SERIAL).gsi);
    }
    if (!rc)
        rc = serial_new(&serial, &uart, err);
    if (rc)
        return rc;
    vm->serial = serial_device(uart);
    rc = power_new(power_event, vm, &power, err);
    if (rc)
        return rc;
    vm->power = power_device(power);
    rc = pvpanic_new(panic_event, vm, &panic, err);
    if (rc)
        return rc;
    vm->panic = pvpanic_device(panic);
    rc = add(vm, ARCH_SERIAL, vm->serial, err);
    if (!rc)
        rc = add(vm, ARCH_POWER, vm->power, err);
    return rc ? rc : add(vm, ARCH_PANIC, vm->panic, err);
}

/* Virtio devices ---------------------------------------------------------- */

static void kick(void *context, unsigned queue)
{
    struct vm_slot *slot = context;

    (void)queue;
    notifier_signal(&slot->kick);
}

static void kicked(void *context, unsigned events)
{
    struct vm_slot *slot = context;

    (void)events;
    notifier_clear(&slot->kick);
    for (unsigned i = 0; i < slot->virtio->queue_count; i++)
        virtio_device_notify(slot->virtio, i);
}

/* Put (virtio) into its slot: transport, bus, wires. */
static int plug(struct vm *vm, uint32_t number, struct virtio_device *virtio,
                struct loop *loop, struct sm_error *err)
{
    struct vm_slot *slot = &vm->slot[number];
    struct arch_place place = arch_virtio_place(number);
    struct virtio_mmio_config config = {
        .device = virtio, .kick = kick, .kick_context = slot};
    struct virtio_mmio *mmio;
    int rc = notifier_init(&slot->kick, err);

    if (!rc && vm->hv->caps.irqfd)
        rc = notifier_init(&slot->interrupt, err);
    config.irq = line_of(vm, slot);
    if (!rc)
        rc = virtio_mmio_new(&config, &mmio, err);
    if (rc) {
        virtio_device_free(virtio);
        return rc;
    }
    slot->virtio = virtio;
    slot->mmio = virtio_mmio_device(mmio);
    rc = bus_add(&vm->mmio, place.at, place.bytes, slot->mmio, err);
    if (rc)
        return rc;
    return loop_watch(loop, slot->kick.fd, LOOP_READ, kicked, slot,
                      &slot->watch, err);
}

static int accept_connection(void *context, uint32_t host_port,
                             uint32_t guest_port)
{
    struct vm *vm = context;

    return vm->config.events->connect(vm->config.context, host_port,
                                      guest_port);
}

static const struct vsock_ops vsock_ops = {.accept = accept_connection};

static int make_disk(struct vm *vm, const struct virtio_env *env,
                     struct sm_error *err)
{
    struct blk_config config = {.env = *env, .serial = "root"};
    int rc;

    /* A saved machine knows of another disk until it is told. */
    if (!vm->restored)
        config.disk = vm->config.disk;
    rc = blk_new(&config, &vm->blk, err);
    if (rc)
        return rc;
    if (!vm->restored)
        vm->config.disk = NULL;
    return plug(vm, VM_SLOT_DISK, blk_device(vm->blk), vm->disk.loop, err);
}

static int make_vsock(struct vm *vm, const struct virtio_env *env,
                      struct sm_error *err)
{
    struct vsock_config config = {.env = *env,
                                  .loop = vm->config.loop,
                                  .guest_cid = VM_GUEST_CID,
                                  .ops = &vsock_ops,
                                  .context = vm};
    int rc = vsock_new(&config, &vm->vsock, err);

    if (rc)
        return rc;
    return plug(vm, VM_SLOT_VSOCK, vsock_device(vm->vsock), vm->config.loop,
                err);
}

static int make_rng(struct vm *vm, const struct virtio_env *env,
                    struct sm_error *err)
{
    struct rng *rng;
    int rc = rng_new(env, &rng, err);

    if (rc)
        return rc;
    return plug(vm, VM_SLOT_RNG, rng_device(rng), vm->config.loop, err);
}

static int make_balloon(struct vm *vm, const struct virtio_env *env,
                        struct sm_error *err)
{
    struct balloon_config config = {.env = *env};
    struct balloon *balloon;
    int rc = balloon_new(&config, &balloon, err);

    if (rc)
        return rc;
    return plug(vm, VM_SLOT_BALLOON, balloon_device(balloon), vm->config.loop,
                err);
}

/* The disk's loop --------------------------------------------------------- */

static void *disk_main(void *argument)
{
    struct vm_disk_thread *disk = argument;

    loop_run(disk->loop);
    return NULL;
}

static int start_disk_thread(struct vm *vm, struct sm_error *err)
{
    int status = pthread_create(&vm->disk.thread, NULL, disk_main, &vm->disk);

    if (status)
        return fail_errno(err, status, "thread for disks");
    vm->disk.running = true;
    return 0;
}

static void stop_disk_thread(struct vm *vm)
{
    if (!vm->disk.running)
        return;
    loop_stop(vm->disk.loop);
    pthread_join(vm->disk.thread, NULL);
    vm->disk.running = false;
}

/* All of them ------------------------------------------------------------- */

int vm_devices_new(struct vm *vm, struct sm_error *err)
{
    struct virtio_env env = {.mem = &vm->mem, .log = vm->config.log};
    int rc;

    bus_init(&vm->mmio, "mmio", UINT64_MAX);
    bus_init(&vm->ports, "port", BUS_PORT_BYTES);
    for (uint32_t i = 0; i < VM_SLOTS; i++)
        vm->slot[i] = (struct vm_slot){.vm = vm,
                                       .number = i,
                                       .kick = NOTIFIER_NONE,
                                       .interrupt = NOTIFIER_NONE};
    rc = make_platform(vm, err);
    if (!rc)
        rc = loop_new(&vm->disk.loop, err);
    if (!rc)
        rc = make_disk(vm, &env, err);
    if (!rc)
        rc = make_vsock(vm, &env, err);
    if (!rc)
        rc = make_rng(vm, &env, err);
    if (!rc)
        rc = make_balloon(vm, &env, err);
    return rc ? rc : start_disk_thread(vm, err);
}

/* Kicks of the slot, which the hypervisor signals. */
static int wire_kick(struct vm *vm, struct vm_slot *slot, struct sm_error *err)
{
    struct hv_io_match match = {.at = arch_virtio_place(slot->number).at +
                                      VIRTIO_MMIO_QUEUE_NOTIFY};

    if (!vm->hv->caps.ioeventfd)
        return 0;
    return hv_ioeventfd_attach(vm->hv, &match, &slot->kick, err);
}

/* Interrupts of the slot, where the hypervisor has the whole controller and
 * masks them itself; else route_changed() does it. */
static int wire_interrupt(struct vm *vm, struct vm_slot *slot,
                          struct sm_error *err)
{
    int rc;

    if (vm->ioapic || !vm->hv->caps.irqfd)
        return 0;
    rc = hv_irqfd_attach(vm->hv, arch_virtio_place(slot->number).gsi,
                         &slot->interrupt, err);
    slot->irqfd = rc == 0;
    return rc;
}

int vm_devices_wire(struct vm *vm, struct sm_error *err)
{
    int rc = 0;

    for (uint32_t i = 0; i < VM_SLOTS && !rc; i++) {
        rc = wire_kick(vm, &vm->slot[i], err);
        if (!rc)
            rc = wire_interrupt(vm, &vm->slot[i], err);
    }
    return rc;
}

void vm_devices_pause(struct vm *vm)
{
    stop_disk_thread(vm);
}

int vm_devices_resume(struct vm *vm, struct sm_error *err)
{
    return start_disk_thread(vm, err);
}

int vm_disk_attach(struct vm *vm, struct sm_error *err)
{
    struct block *disk = vm->config.disk;

    vm->config.disk = NULL;
    return blk_set_disk(vm->blk, disk, err);
}

struct block *vm_disk(const struct vm *vm)
{
    return blk_disk(vm->blk);
}

/* The disk with (*new_base), if any, below, and a new top in (*fd), both of
 * which are taken once they are in use. */
static int split_disk(struct block *top, struct block **new_base, int *fd,
                      struct block **ret, struct sm_error *err)
{
    int rc = 0;

    if (!top || !overlay_base(top))
        return fail(err, SM_ESTATE, "the machine has no disk with layers");
    if (*new_base)
        rc = overlay_rebase(top, *new_base, err);
    if (rc)
        return rc;
    (void)own_take(*new_base);
    rc = overlay_split(top, *fd, ret, err);
    if (!rc)
        (void)own_take_fd(fd);
    return rc;
}

int vm_disk_split(struct vm *vm, struct block *new_base, int fd,
                  struct sm_error *err)
{
    AUTO(block_freep) struct block *base = new_base;
    AUTO_CLOSE int file = fd;
    struct block *top;
    int rc;

    assert(!vm->disk.running);
    rc = split_disk(vm_disk(vm), &base, &file, &top, err);
    if (rc)
        return wrap(err, rc, "split the disk");
    (void)blk_swap_disk(vm->blk, top);
    return 0;
}

/* The IOAPIC comes last: it attaches wires that have to be there. */
struct device *vm_device(struct vm *vm, unsigned number)
{
    struct device *platform[] = {vm->serial, vm->power, vm->panic,
                                 vm->ioapic ? ioapic_device(vm->ioapic) : NULL};

    if (number < VM_SLOTS)
        return vm->slot[number].mmio;
    number -= VM_SLOTS;
    return number < ARRAY_LEN(platform) ? platform[number] : NULL;
}

void vm_devices_free(struct vm *vm)
{
    stop_disk_thread(vm);
    for (uint32_t i = 0; i < VM_SLOTS; i++) {
        struct vm_slot *slot = &vm->slot[i];

        if (!slot->vm)
            continue;
        loop_unwatch(slot->watch);
        device_free(slot->mmio);
        notifier_done(&slot->kick);
        notifier_done(&slot->interrupt);
    }
    loop_free(vm->disk.loop);
    device_free(vm->panic);
    device_free(vm->power);
    device_free(vm->serial);
    if (vm->ioapic)
        device_free(ioapic_device(vm->ioapic));
    block_free(vm->config.disk);
    vm->config.disk = NULL;
}
