/* irq.c: split interrupt controller, routes, messages and wires; see kvm.h.
 *
 * How it works
 *   The local APICs are in KVM, the IOAPIC is ours. KVM's table of routes
 *   holds, for each pin that is not masked, the message that the pin sends;
 *   irqfds and EOI exits go by it. A change costs KVM a grace period, so what
 *   does not change the table is not told.
 */
#include "hypervisor/kvm/kvm.h"

#include "base/bytes.h"

#include <stdlib.h>

static int enable(struct kvm_vm *vm, uint32_t capability, uint64_t argument,
                  const char *name, struct sm_error *err)
{
    struct kvm_enable_cap cap = {.cap = capability, .args = {argument}};

    if (kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &cap) < 0)
        return fail_os(err, "%s", name);
    return 0;
}

int kvm_intc_new(struct hv_vm *base, const struct hv_intc_config *config,
                 struct sm_error *err)
{
    struct kvm_vm *vm = kvm_vm_of(base);
    int rc;

    if (config->gsis != HV_X86_GSIS)
        return fail(err, SM_EINVAL, "interrupt controller of %u lines: %d",
                    config->gsis, HV_X86_GSIS);
    rc = enable(vm, KVM_CAP_SPLIT_IRQCHIP, HV_X86_GSIS, "KVM_CAP_SPLIT_IRQCHIP",
                err);
    if (rc)
        return rc;
    return enable(vm, KVM_CAP_X2APIC_API,
                  KVM_X2APIC_API_USE_32BIT_IDS |
                      KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
                  "KVM_CAP_X2APIC_API", err);
}

/* With the split controller all state is in the vcpus' local APICs and in our
 * IOAPIC; the routes follow from the latter. */
int kvm_intc_save(struct hv_vm *vm, struct buf *to, struct sm_error *err)
{
    (void)vm;
    wire_put_u32(to, HV_X86_GSIS);
    return to->failed ? fail(err, SM_ENOMEM, "interrupt controller") : 0;
}

int kvm_intc_load(struct hv_vm *vm, struct wire_reader *from,
                  struct sm_error *err)
{
    (void)vm;
    if (wire_u32(from) != HV_X86_GSIS || !wire_ok(from))
        return fail(err, SM_EPROTO, "interrupt controller: damaged record");
    return 0;
}

int kvm_msi_send(struct hv_vm *vm, const struct hv_msi *msi)
{
    struct kvm_msi kvm_msi = {
        .address_lo = (uint32_t)msi->address,
        .address_hi = (uint32_t)(msi->address >> 32),
        .data = msi->data,
    };

    /* What a guest wrote into its IOAPIC may be senseless: such a message is
     * lost, here as on a bus. */
    (void)kvm_ioctl(kvm_vm_of(vm)->fd, KVM_SIGNAL_MSI, &kvm_msi);
    return 0;
}

int kvm_irq_set(struct hv_vm *base, uint32_t gsi, bool level)
{
    struct kvm_vm *vm = kvm_vm_of(base);
    struct kvm_route route;

    if (!level)
        return 0;
    pthread_mutex_lock(&vm->routes_lock);
    route = vm->route[gsi];
    pthread_mutex_unlock(&vm->routes_lock);
    return route.live ? kvm_msi_send(base, &route.msi) : 0;
}

/* Hand the whole table to KVM, which knows no other way. */
static int set_routes(struct kvm_vm *vm, struct sm_error *err)
{
    union {
        struct kvm_irq_routing header;
        uint8_t bytes[sizeof(struct kvm_irq_routing) +
                      HV_X86_GSIS * sizeof(struct kvm_irq_routing_entry)];
    } table = {0};

    for (uint32_t gsi = 0; gsi < HV_X86_GSIS; gsi++) {
        const struct kvm_route *route = &vm->route[gsi];
        struct kvm_irq_routing_entry *entry;

        if (!route->live)
            continue;
        entry = &table.header.entries[table.header.nr++];
        entry->gsi = gsi;
        entry->type = KVM_IRQ_ROUTING_MSI;
        entry->u.msi.address_lo = (uint32_t)route->msi.address;
        entry->u.msi.address_hi = (uint32_t)(route->msi.address >> 32);
        entry->u.msi.data = route->msi.data;
    }
    if (kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, &table) < 0)
        return fail_os(err, "KVM_SET_GSI_ROUTING");
    return 0;
}

static bool same_route(const struct kvm_route *a, const struct kvm_route *b)
{
    return a->live == b->live && a->msi.address == b->msi.address &&
           a->msi.data == b->msi.data;
}

int kvm_route_set(struct hv_vm *base, uint32_t gsi, const struct hv_msi *msi,
                  struct sm_error *err)
{
    struct kvm_vm *vm = kvm_vm_of(base);
    struct kvm_route route = {0};
    struct kvm_route old;
    int rc = 0;

    if (msi)
        route = (struct kvm_route){.msi = *msi, .live = true};
    pthread_mutex_lock(&vm->routes_lock);
    old = vm->route[gsi];
    if (!same_route(&old, &route)) {
        vm->route[gsi] = route;
        rc = set_routes(vm, err);
        if (rc)
            vm->route[gsi] = old;
    }
    pthread_mutex_unlock(&vm->routes_lock);
    return rc;
}

static int set_irqfd(struct hv_vm *vm, uint32_t gsi, int fd, uint32_t flags,
                     struct sm_error *err)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi, .flags = flags};

    if (kvm_ioctl(kvm_vm_of(vm)->fd, KVM_IRQFD, &irqfd) < 0)
        return fail_os(err, "irqfd of gsi %u", gsi);
    return 0;
}

int kvm_irqfd_attach(struct hv_vm *vm, uint32_t gsi,
                     const struct notifier *notifier, struct sm_error *err)
{
    return set_irqfd(vm, gsi, notifier->fd, 0, err);
}

int kvm_irqfd_detach(struct hv_vm *vm, uint32_t gsi,
                     const struct notifier *notifier, struct sm_error *err)
{
    return set_irqfd(vm, gsi, notifier->fd, KVM_IRQFD_FLAG_DEASSIGN, err);
}

static int set_ioeventfd(struct hv_vm *vm, const struct hv_io_match *match,
                         int fd, uint32_t flags, struct sm_error *err)
{
    struct kvm_ioeventfd ioeventfd = {
        .addr = match->at,
        .len = match->size,
        .fd = fd,
        .datamatch = match->has_value ? match->value : 0,
        .flags = flags,
    };

    if (match->pio)
        ioeventfd.flags |= KVM_IOEVENTFD_FLAG_PIO;
    if (match->has_value)
        ioeventfd.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
    if (kvm_ioctl(kvm_vm_of(vm)->fd, KVM_IOEVENTFD, &ioeventfd) < 0)
        return fail_os(err, "ioeventfd at %#llx",
                       (unsigned long long)match->at);
    return 0;
}

int kvm_ioeventfd_attach(struct hv_vm *vm, const struct hv_io_match *match,
                         const struct notifier *notifier, struct sm_error *err)
{
    return set_ioeventfd(vm, match, notifier->fd, 0, err);
}

int kvm_ioeventfd_detach(struct hv_vm *vm, const struct hv_io_match *match,
                         const struct notifier *notifier, struct sm_error *err)
{
    return set_ioeventfd(vm, match, notifier->fd, KVM_IOEVENTFD_FLAG_DEASSIGN,
                         err);
}
