/* hv.c: what is the same on every hypervisor: order, ranges, optional
 * entries; see hv.h. */
#include "hypervisor/hv.h"

#include "base/bytes.h"

enum { PAGE_BYTES = 4096, GPA_BITS_DEFAULT = 36 };

static int not_offered(const struct hv_ops *hv, const char *what,
                       struct sm_error *err)
{
    return fail(err, SM_ENOTSUP, "%s: no %s", hv->name, what);
}

static uint32_t vcpus_made(const struct hv_vm *vm)
{
    return __atomic_load_n(&vm->vcpus_made, __ATOMIC_ACQUIRE);
}

/* ------------------------------------------------------------- machine --- */

int hv_probe(const struct hv_ops *hv, int device_fd, struct hv_caps *ret,
             struct sm_error *err)
{
    *ret = (struct hv_caps){0};
    return hv->probe(device_fd, ret, err);
}

int hv_vm_new(const struct hv_ops *hv, const struct hv_vm_config *config,
              struct hv_vm **ret, struct sm_error *err)
{
    struct hv_vm_config wanted = *config;
    struct hv_vm *vm = NULL;
    int rc;

    *ret = NULL;
    if (!wanted.vcpus)
        return fail(err, SM_EINVAL, "a machine of 0 vcpus: at least 1");
    if (!wanted.gpa_bits)
        wanted.gpa_bits = GPA_BITS_DEFAULT;
    rc = hv->vm_new(&wanted, &vm, err);
    if (rc)
        return rc;
    vm->ops = hv;
    vm->config = wanted;
    vm->config.device_fd = -1;
    *ret = vm;
    return 0;
}

void hv_vm_free(struct hv_vm *vm)
{
    if (vm)
        vm->ops->vm_free(vm);
}

/* -------------------------------------------------------------- memory --- */

/* Memory comes before everything that hv.h lists behind it. */
static int check_memory_time(const struct hv_vm *vm, struct sm_error *err)
{
    if (vm->gsis || vcpus_made(vm))
        return fail(err, SM_ESTATE,
                    "memory is mapped before the interrupt controller and "
                    "the first vcpu");
    return 0;
}

static int check_range(const struct hv_vm *vm, struct gpa at, uint64_t bytes,
                       uint64_t other, struct sm_error *err)
{
    uint64_t end;

    if (!bytes || !is_aligned(at.v | bytes | other, vm->caps.map_granule) ||
        !add_u64(at.v, bytes, &end) ||
        (vm->config.gpa_bits < 64 && end > UINT64_C(1) << vm->config.gpa_bits))
        return fail(err, SM_EINVAL,
                    "mapping of %#llx bytes at %#llx: not in whole pages of "
                    "%u bytes below 2^%u",
                    (unsigned long long)bytes, (unsigned long long)at.v,
                    vm->caps.map_granule, vm->config.gpa_bits);
    return 0;
}

static int check_prot(unsigned prot, struct sm_error *err)
{
    if (!(prot & HV_READ) || prot > (HV_READ | HV_WRITE | HV_EXEC))
        return fail(err, SM_EINVAL, "protection %#x: READ is needed", prot);
    return 0;
}

/* A free place in the table for a range that overlaps nothing. */
static int find_place(const struct hv_vm *vm, struct gpa at, uint64_t bytes,
                      unsigned *ret, struct sm_error *err)
{
    unsigned place = HV_MAPS_MAX;

    for (unsigned i = HV_MAPS_MAX; i--;) {
        const struct hv_mapping *map = &vm->map[i];

        if (!map->bytes)
            place = i;
        else if (at.v < map->at.v + map->bytes && map->at.v < at.v + bytes)
            return fail(err, SM_EEXIST, "mapping at %#llx: %#llx is taken",
                        (unsigned long long)at.v,
                        (unsigned long long)map->at.v);
    }
    if (place == HV_MAPS_MAX)
        return fail(err, SM_ELIMIT, "more than %d mappings", HV_MAPS_MAX);
    *ret = place;
    return 0;
}

/* The mapping that begins at (at), or NULL. */
static struct hv_mapping *find_mapping(struct hv_vm *vm, struct gpa at)
{
    for (unsigned i = 0; i < HV_MAPS_MAX; i++)
        if (vm->map[i].bytes && vm->map[i].at.v == at.v)
            return &vm->map[i];
    return NULL;
}

static int no_mapping(struct gpa at, struct sm_error *err)
{
    return fail(err, SM_ENOENT, "no mapping at %#llx",
                (unsigned long long)at.v);
}

/* Enter (map) into the table and have (add), vm_map or window_new, do it. */
static int add_mapping(struct hv_vm *vm, const struct hv_mapping *map,
                       int (*add)(struct hv_vm *, unsigned, struct sm_error *),
                       struct sm_error *err)
{
    unsigned place = 0;
    int rc = check_memory_time(vm, err);

    if (!rc)
        rc = check_range(vm, map->at, map->bytes, (uintptr_t)map->host, err);
    if (!rc)
        rc = check_prot(map->prot, err);
    if (!rc)
        rc = find_place(vm, map->at, map->bytes, &place, err);
    if (rc)
        return rc;
    vm->map[place] = *map;
    rc = add(vm, place, err);
    if (rc)
        vm->map[place] = (struct hv_mapping){0};
    return rc;
}

int hv_vm_map(struct hv_vm *vm, struct gpa at, void *host, uint64_t bytes,
              unsigned prot, struct sm_error *err)
{
    struct hv_mapping map = {
        .at = at, .bytes = bytes, .host = host, .prot = prot};

    return add_mapping(vm, &map, vm->ops->vm_map, err);
}

int hv_vm_map_memory(struct hv_vm *vm, const struct gmem *mem,
                     struct sm_error *err)
{
    for (unsigned i = 0; i < mem->count; i++) {
        const struct gmem_region *region = &mem->region[i];
        int rc = hv_vm_map(vm, region->at, region->host, region->bytes,
                           HV_READ | HV_WRITE | HV_EXEC, err);

        if (rc)
            return rc;
    }
    return 0;
}

int hv_vm_unmap(struct hv_vm *vm, struct gpa at, struct sm_error *err)
{
    struct hv_mapping *map = find_mapping(vm, at);
    int rc = check_memory_time(vm, err);

    if (rc)
        return rc;
    if (!map || map->window)
        return no_mapping(at, err);
    rc = vm->ops->vm_unmap(vm, (unsigned)(map - vm->map), err);
    if (!rc)
        *map = (struct hv_mapping){0};
    return rc;
}

int hv_window_new(struct hv_vm *vm, struct gpa at, uint64_t bytes,
                  struct sm_error *err)
{
    struct hv_mapping map = {
        .at = at, .bytes = bytes, .prot = HV_READ | HV_WRITE, .window = true};

    if (!vm->ops->window_new)
        return not_offered(vm->ops, "windows into files", err);
    return add_mapping(vm, &map, vm->ops->window_new, err);
}

/* The whole range lies in one window. */
static int check_window(const struct hv_vm *vm, struct gpa at, uint64_t bytes,
                        uint64_t offset, struct sm_error *err)
{
    int rc;

    if (!vm->ops->window_new)
        return not_offered(vm->ops, "windows into files", err);
    rc = check_range(vm, at, bytes, offset, err);
    if (rc)
        return rc;
    for (unsigned i = 0; i < HV_MAPS_MAX; i++) {
        const struct hv_mapping *map = &vm->map[i];

        if (map->window && at.v >= map->at.v &&
            at.v - map->at.v <= map->bytes &&
            bytes <= map->bytes - (at.v - map->at.v))
            return 0;
    }
    return no_mapping(at, err);
}

int hv_window_map(struct hv_vm *vm, struct gpa at, uint64_t bytes, int fd,
                  uint64_t offset, unsigned prot, struct sm_error *err)
{
    int rc = check_window(vm, at, bytes, offset, err);

    if (!rc)
        rc = check_prot(prot, err);
    if (rc)
        return rc;
    return vm->ops->window_map(vm, at, bytes, fd, offset, prot, err);
}

int hv_window_unmap(struct hv_vm *vm, struct gpa at, uint64_t bytes,
                    struct sm_error *err)
{
    int rc = check_window(vm, at, bytes, 0, err);

    if (rc)
        return rc;
    return vm->ops->window_unmap(vm, at, bytes, err);
}

int hv_dirty_start(struct hv_vm *vm, struct sm_error *err)
{
    int rc;

    if (!vm->ops->dirty_start)
        return not_offered(vm->ops, "dirty log", err);
    if (vm->logging)
        return fail(err, SM_ESTATE, "the dirty log is on already");
    rc = vm->ops->dirty_start(vm, err);
    vm->logging = rc == 0;
    return rc;
}

int hv_dirty_fetch(struct hv_vm *vm, struct gpa at, uint64_t *bitmap,
                   uint64_t words, struct sm_error *err)
{
    struct hv_mapping *map = find_mapping(vm, at);

    if (!vm->logging)
        return fail(err, SM_ESTATE, "the dirty log is off");
    if (!map || map->window)
        return no_mapping(at, err);
    if (words < (map->bytes / PAGE_BYTES + 63) / 64)
        return fail(err, SM_EINVAL, "dirty log: %llu words are too few",
                    (unsigned long long)words);
    for (uint64_t i = 0; i < words; i++)
        bitmap[i] = 0;
    return vm->ops->dirty_fetch(vm, (unsigned)(map - vm->map), bitmap, err);
}

int hv_dirty_stop(struct hv_vm *vm, struct sm_error *err)
{
    if (!vm->logging)
        return fail(err, SM_ESTATE, "the dirty log is off");
    vm->logging = false;
    return vm->ops->dirty_stop(vm, err);
}

/* ---------------------------------------------------------- interrupts --- */

int hv_intc_new(struct hv_vm *vm, const struct hv_intc_config *config,
                struct sm_error *err)
{
    int rc;

    if (vm->gsis)
        return fail(err, SM_ESTATE, "there is an interrupt controller already");
    if (vcpus_made(vm))
        return fail(err, SM_ESTATE,
                    "the interrupt controller comes before the first vcpu");
    if (!config->gsis)
        return fail(err, SM_EINVAL, "an interrupt controller of 0 lines");
    rc = vm->ops->intc_new(vm, config, err);
    if (!rc)
        vm->gsis = config->gsis;
    return rc;
}

static int check_save(const struct hv_vm *vm, struct sm_error *err)
{
    if (!vm->ops->vcpu_save)
        return not_offered(vm->ops, "saving of machines", err);
    if (!vm->gsis)
        return fail(err, SM_ESTATE, "no interrupt controller yet");
    return 0;
}

int hv_intc_save(struct hv_vm *vm, struct buf *to, struct sm_error *err)
{
    int rc = check_save(vm, err);

    return rc ? rc : vm->ops->intc_save(vm, to, err);
}

int hv_intc_load(struct hv_vm *vm, struct wire_reader *from,
                 struct sm_error *err)
{
    int rc = check_save(vm, err);

    return rc ? rc : vm->ops->intc_load(vm, from, err);
}

int hv_irq_set(struct hv_vm *vm, uint32_t gsi, bool level)
{
    if (gsi >= vm->gsis)
        return SM_EINVAL;
    return vm->ops->irq_set(vm, gsi, level);
}

int hv_msi_send(struct hv_vm *vm, const struct hv_msi *msi)
{
    if (!vm->gsis || !vm->ops->msi_send)
        return SM_EINVAL;
    return vm->ops->msi_send(vm, msi);
}

static int check_gsi(const struct hv_vm *vm, uint32_t gsi, struct sm_error *err)
{
    if (gsi >= vm->gsis)
        return fail(err, SM_EINVAL, "gsi %u: below %u", gsi, vm->gsis);
    return 0;
}

int hv_route_set(struct hv_vm *vm, uint32_t gsi, const struct hv_msi *msi,
                 struct sm_error *err)
{
    int rc;

    if (!vm->ops->route_set)
        return not_offered(vm->ops, "routes", err);
    rc = check_gsi(vm, gsi, err);
    return rc ? rc : vm->ops->route_set(vm, gsi, msi, err);
}

/* Wires come after the last vcpu. */
static int check_wire_time(const struct hv_vm *vm, struct sm_error *err)
{
    if (vcpus_made(vm) < vm->config.vcpus)
        return fail(err, SM_ESTATE,
                    "irqfds and ioeventfds come after the last vcpu: %u of %u "
                    "are made",
                    vcpus_made(vm), vm->config.vcpus);
    return 0;
}

static int check_irqfd(const struct hv_vm *vm, uint32_t gsi,
                       struct sm_error *err)
{
    int rc;

    if (!vm->ops->irqfd_attach)
        return not_offered(vm->ops, "irqfds", err);
    rc = check_gsi(vm, gsi, err);
    return rc ? rc : check_wire_time(vm, err);
}

int hv_irqfd_attach(struct hv_vm *vm, uint32_t gsi,
                    const struct notifier *notifier, struct sm_error *err)
{
    int rc = check_irqfd(vm, gsi, err);

    return rc ? rc : vm->ops->irqfd_attach(vm, gsi, notifier, err);
}

int hv_irqfd_detach(struct hv_vm *vm, uint32_t gsi,
                    const struct notifier *notifier, struct sm_error *err)
{
    int rc = check_irqfd(vm, gsi, err);

    return rc ? rc : vm->ops->irqfd_detach(vm, gsi, notifier, err);
}

static int check_ioeventfd(const struct hv_vm *vm,
                           const struct hv_io_match *match,
                           struct sm_error *err)
{
    uint8_t size = match->size;

    if (!vm->ops->ioeventfd_attach)
        return not_offered(vm->ops, "ioeventfds", err);
    if (size > 8 || (size & (size - 1)) || (match->has_value && !size) ||
        (match->pio && (size > 4 || match->at > UINT16_MAX)))
        return fail(err, SM_EINVAL, "ioeventfd of %u bytes at %#llx", size,
                    (unsigned long long)match->at);
    return check_wire_time(vm, err);
}

int hv_ioeventfd_attach(struct hv_vm *vm, const struct hv_io_match *match,
                        const struct notifier *notifier, struct sm_error *err)
{
    int rc = check_ioeventfd(vm, match, err);

    return rc ? rc : vm->ops->ioeventfd_attach(vm, match, notifier, err);
}

int hv_ioeventfd_detach(struct hv_vm *vm, const struct hv_io_match *match,
                        const struct notifier *notifier, struct sm_error *err)
{
    int rc = check_ioeventfd(vm, match, err);

    return rc ? rc : vm->ops->ioeventfd_detach(vm, match, notifier, err);
}

/* --------------------------------------------------------------- vcpus --- */

int hv_cpuid_get(struct hv_vm *vm, struct hv_cpuid_table *ret,
                 struct sm_error *err)
{
    ret->count = 0;
    if (!vm->ops->cpuid_get)
        return not_offered(vm->ops, "CPUID", err);
    return vm->ops->cpuid_get(vm, ret, err);
}

int hv_cpuid_set(struct hv_vm *vm, const struct hv_cpuid_table *table,
                 struct sm_error *err)
{
    int rc;

    if (!vm->ops->cpuid_set)
        return not_offered(vm->ops, "CPUID", err);
    if (vcpus_made(vm))
        return fail(err, SM_ESTATE, "CPUID is set before the first vcpu");
    if (!table->count || table->count > HV_CPUID_MAX)
        return fail(err, SM_EINVAL, "CPUID table of %u entries: 1 to %d",
                    table->count, HV_CPUID_MAX);
    vm->cpuid = *table;
    rc = vm->ops->cpuid_set(vm, err);
    if (rc)
        vm->cpuid.count = 0;
    return rc;
}

int hv_vcpu_new(struct hv_vm *vm, uint32_t id, struct hv_vcpu **ret,
                struct sm_error *err)
{
    struct hv_vcpu *vcpu = NULL;
    int rc;

    *ret = NULL;
    if (id >= vm->config.vcpus)
        return fail(err, SM_EINVAL, "vcpu %u: the machine has %u", id,
                    vm->config.vcpus);
    rc = vm->ops->vcpu_new(vm, id, &vcpu, err);
    if (rc)
        return rc;
    vcpu->vm = vm;
    vcpu->id = id;
    __atomic_add_fetch(&vm->vcpus_made, 1, __ATOMIC_ACQ_REL);
    *ret = vcpu;
    return 0;
}

void hv_vcpu_free(struct hv_vcpu *vcpu)
{
    if (vcpu)
        vcpu->vm->ops->vcpu_free(vcpu);
}

int hv_vcpu_run(struct hv_vcpu *vcpu, struct hv_exit *ret, struct sm_error *err)
{
    return vcpu->vm->ops->vcpu_run(vcpu, ret, err);
}

void hv_vcpu_kick(struct hv_vcpu *const *vcpus, unsigned count)
{
    if (count)
        vcpus[0]->vm->ops->vcpu_kick(vcpus, count);
}

int hv_regs_get(struct hv_vcpu *vcpu, struct hv_reg *regs, unsigned count,
                struct sm_error *err)
{
    return vcpu->vm->ops->regs_get(vcpu, regs, count, err);
}

int hv_regs_set(struct hv_vcpu *vcpu, const struct hv_reg *regs, unsigned count,
                struct sm_error *err)
{
    return vcpu->vm->ops->regs_set(vcpu, regs, count, err);
}

int hv_vcpu_save(struct hv_vcpu *vcpu, struct buf *to, struct sm_error *err)
{
    int rc = check_save(vcpu->vm, err);

    return rc ? rc : vcpu->vm->ops->vcpu_save(vcpu, to, err);
}

int hv_vcpu_load(struct hv_vcpu *vcpu, struct wire_reader *from,
                 struct sm_error *err)
{
    int rc = check_save(vcpu->vm, err);

    return rc ? rc : vcpu->vm->ops->vcpu_load(vcpu, from, err);
}

int hv_timer_unmask(struct hv_vcpu *vcpu, struct sm_error *err)
{
    if (!vcpu->vm->ops->timer_unmask)
        return not_offered(vcpu->vm->ops, "timer exits", err);
    return vcpu->vm->ops->timer_unmask(vcpu, err);
}

/* -------------------------------------------------------------- clocks --- */

uint64_t hv_ticks(const struct hv_ops *hv)
{
    return hv->ticks();
}

int hv_vcpu_clock_save(struct hv_vcpu *vcpu, uint64_t now, uint64_t *ref,
                       struct sm_error *err)
{
    return vcpu->vm->ops->clock_save(vcpu, now, ref, err);
}

int hv_vcpu_clock_load(struct hv_vcpu *vcpu, uint64_t now, uint64_t ref,
                       struct sm_error *err)
{
    return vcpu->vm->ops->clock_load(vcpu, now, ref, err);
}

int hv_pvclock_save(struct hv_vm *vm, struct hv_pvclock *ret,
                    struct sm_error *err)
{
    *ret = (struct hv_pvclock){0};
    if (!vm->ops->pvclock_save)
        return 0;
    return vm->ops->pvclock_save(vm, ret, err);
}

int hv_pvclock_load(struct hv_vm *vm, const struct hv_pvclock *pvclock,
                    struct sm_error *err)
{
    if (!pvclock->present)
        return 0;
    if (!vm->ops->pvclock_load)
        return not_offered(vm->ops, "paravirtual clock", err);
    return vm->ops->pvclock_load(vm, pvclock, err);
}

int hv_vcpu_resumed(struct hv_vcpu *vcpu, struct sm_error *err)
{
    if (!vcpu->vm->ops->vcpu_resumed)
        return 0;
    return vcpu->vm->ops->vcpu_resumed(vcpu, err);
}
