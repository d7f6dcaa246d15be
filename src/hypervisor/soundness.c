/* soundness.c: does this host run guest kernel code; see soundness.h. */
#include "hypervisor/soundness.h"

#include "base/bytes.h"
#include "hypervisor/spin.h"

#include <time.h>

enum { PAGE_BYTES = 4096, RUNS = 8, SCRATCH_GPA = 0x1000 };

static uint64_t thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* One loop, timed; the code is in place. */
static int spin(struct hv_vcpu *vcpu, struct gpa page, uint64_t *ns,
                struct sm_error *err)
{
    struct hv_reg regs[HV_SPIN_REGS];
    unsigned count = hv_spin_entry(page, HV_SOUND_TURNS, regs);
    struct hv_exit exit;
    uint64_t start;
    int rc = hv_regs_set(vcpu, regs, count, err);

    if (rc)
        return rc;
    start = thread_ns();
    do
        rc = hv_vcpu_run(vcpu, &exit, err);
    while (!rc && exit.kind == HV_EXIT_KICKED);
    *ns = thread_ns() - start;
    if (rc)
        return rc;
    if (!hv_spin_ended(&exit))
        return fail(err, SM_ENOHV,
                    "a loop of two instructions ended with exit %d: this "
                    "hypervisor does not work",
                    exit.kind);
    return 0;
}

static int measure(struct hv_vcpu *vcpu, struct gpa page,
                   struct hv_soundness *ret, struct sm_error *err)
{
    *ret = (struct hv_soundness){.ns = UINT64_MAX};
    for (unsigned i = 0; i < RUNS && !ret->sound; i++) {
        uint64_t ns = 0;
        int rc = spin(vcpu, page, &ns, err);

        if (rc)
            return wrap(err, rc, "soundness");
        ret->ns = min_u64(ret->ns, ns);
        ret->sound = ret->ns < HV_SOUND_LIMIT_NS;
    }
    return 0;
}

int hv_soundness_vcpu(struct hv_vcpu *vcpu, const struct gmem *mem,
                      struct gpa page, struct hv_soundness *ret,
                      struct sm_error *err)
{
    uint8_t borrowed[64] = {0};
    int rc;

    if (hv_spin_bytes > sizeof borrowed || page.v >= MIB ||
        !gmem_read(mem, page, borrowed, sizeof borrowed) ||
        !gmem_write(mem, page, hv_spin_code, hv_spin_bytes))
        return fail(err, SM_EINVAL, "soundness: no memory at %#llx",
                    (unsigned long long)page.v);
    rc = measure(vcpu, page, ret, err);
    gmem_write(mem, page, borrowed, sizeof borrowed);
    return rc;
}

/* Everything around the vcpu of a throw-away machine. */
static int in_machine(struct hv_vm *vm, struct gmem *mem,
                      struct hv_soundness *ret, struct sm_error *err)
{
    struct hv_vcpu *vcpu = NULL;
    uint64_t bytes = vm->caps.map_granule;
    int rc =
        gmem_add(mem, GPA(0), align_up(SCRATCH_GPA + PAGE_BYTES, bytes), err);

    if (!rc)
        rc = hv_vm_map_memory(vm, mem, err);
    if (!rc)
        rc = hv_vcpu_new(vm, 0, &vcpu, err);
    if (!rc)
        rc = hv_soundness_vcpu(vcpu, mem, GPA(SCRATCH_GPA), ret, err);
    hv_vcpu_free(vcpu);
    return rc;
}

int hv_soundness(const struct hv_ops *hv, int device_fd,
                 struct hv_soundness *ret, struct sm_error *err)
{
    struct hv_vm_config config = {.device_fd = device_fd, .vcpus = 1};
    struct hv_vm *vm;
    struct gmem mem;
    int rc = hv_vm_new(hv, &config, &vm, err);

    *ret = (struct hv_soundness){0};
    if (rc)
        return rc;
    gmem_init(&mem);
    rc = in_machine(vm, &mem, ret, err);
    hv_vm_free(vm);
    gmem_done(&mem);
    return rc;
}

int hv_soundness_check(const struct hv_soundness *soundness,
                       struct sm_error *err)
{
    if (soundness->sound)
        return 0;
    return fail(err, SM_ENOHV,
                "this machine's /dev/kvm interprets guest kernel code "
                "(%llu us for %d turns of a loop that takes a processor "
                "under 1000): no Linux boots on it; use a machine with "
                "hardware virtualization, switch on nested virtualization "
                "where this one is hosted, or use the test bed "
                "(tools/with-kvm)",
                (unsigned long long)(soundness->ns / 1000), HV_SOUND_TURNS);
}
