/* hv.h: the contract between the machine and a hypervisor.
 *
 * How it works
 *   A hypervisor is one `struct hv_ops`: KVM, HVF, WHP, or the scripted fake.
 *   Backends translate; they never decide. What is common to all of them (the
 *   order of calls, alignment, limits, optional entries) is checked once, in
 *   hv.c, by the functions at the end of this file. Everybody calls those;
 *   only hv.c looks into the table.
 *
 * Order of calls
 *
 *     hv_probe                         what can this host do
 *     hv_vm_new
 *     hv_vm_map, hv_window_new         all memory
 *     hv_intc_new                      the interrupt controller
 *     hv_cpuid_set                     x86_64: what CPUID says
 *     hv_vcpu_new                      all vcpus, each on its own thread
 *     hv_irqfd_*, hv_ioeventfd_*       the wires
 *     hv_vcpu_run ...                  and everything else
 *     hv_vcpu_free, hv_vm_free
 *
 *   A call that comes too late is refused with SM_ESTATE. The order is not a
 *   matter of taste: on Linux 6.18 a memory slot or first vcpu that comes after
 *   an in-kernel interrupt chip or ioeventfd waits for a grace period, and a
 *   machine costs 7.7 ms to make in place of 0.44; HVF wants its GIC before
 *   the first vcpu, WHP its CPUID table.
 *
 * Threads
 *   vm calls: any thread, one at a time per machine, if nothing else is said.
 *   vcpu calls: only the thread that made the vcpu (HVF binds them), except
 *   hv_vcpu_kick(). irq_set, msi_send and kick: any thread at any time.
 *
 * Numbers
 *   Guest-physical addresses are `struct gpa`. A gsi is the number of an
 *   interrupt line: on x86_64 a pin of the IOAPIC (0 to 23), on aarch64 an SPI
 *   (INTID - 32). Data of accesses is little-endian.
 */
#ifndef SM_HYPERVISOR_HV_H
#define SM_HYPERVISOR_HV_H

#include "base/buf.h"
#include "base/wire.h"
#include "hypervisor/regs.h"
#include "memory/gmem.h"
#include "platform/notifier.h"

#include <stdbool.h>

enum {
    HV_MAPS_MAX = 32,   /* memory mappings of one machine, windows included */
    HV_X86_GSIS = 24,   /* pins of the IOAPIC                               */
    HV_CPUID_MAX = 128, /* entries of a CPUID table                         */
    HV_INSTRUCTION_MAX = 15
};

/* Protection of guest memory, the same bits as HVF's. A hypervisor that cannot
 * forbid execution grants it. READ is always needed. */
enum { HV_READ = 1, HV_WRITE = 2, HV_EXEC = 4 };

/* What the host can do. */
struct hv_caps {
    uint32_t map_granule;    /* alignment of every mapping, bytes             */
    uint32_t vcpus_max;      /* of one machine                                */
    uint32_t gpa_bits;       /* widest guest-physical address; 0: hv_vm_new()
                                knows more than hv_probe()                    */
    bool one_vm_per_process; /* HVF                                        */
    bool irqfd;       /* hv_irqfd_attach() works, else hv_irq_set()         */
    bool ioeventfd;   /* hv_ioeventfd_attach() works, else exits            */
    bool windows;     /* hv_window_*() work                                 */
    bool dirty_log;   /* hv_dirty_*() work                                  */
    bool user_ioapic; /* x86_64: the IOAPIC is ours: routes, EOI exits     */
    bool save;        /* hv_vcpu_save(), hv_intc_save() work                */
};

struct hv_vm_config {
    /* The hypervisor's device, opened by somebody with more rights than this
     * process (Linux: /dev/kvm); borrowed during hv_vm_new() and hv_probe().
     * -1: open it by its path, if it has one. */
    int device_fd;
    uint32_t vcpus; /* how many hv_vcpu_new() will make, at least 1         */
    uint32_t gpa_bits; /* at least so many are needed; 0: 36                */
};

/* The interrupt controller. */
struct hv_intc_config {
    uint32_t gsis; /* x86_64: HV_X86_GSIS; aarch64: SPIs, a multiple of 32  */
    /* aarch64 only: GICv3 */
    struct gpa distributor;
    struct gpa redistributors; /* 128 KiB per vcpu                          */
    struct gpa msi_frame;      /* ITS or GICv2m; .v == 0: none              */
};

/* A message-signalled interrupt (x86_64: SDM 3, 11.11). */
struct hv_msi {
    uint64_t address;
    uint32_t data;
};

/* One answer of CPUID. */
struct hv_cpuid {
    uint32_t leaf;
    uint32_t subleaf;
    bool has_subleaf; /* ECX selects; else (subleaf) is 0 */
    uint32_t eax, ebx, ecx, edx;
};

struct hv_cpuid_table {
    uint32_t count;
    struct hv_cpuid entry[HV_CPUID_MAX];
};

/* A place that the guest writes to, for hv_ioeventfd_*(). */
struct hv_io_match {
    bool pio;       /* an x86 port; else MMIO                              */
    uint8_t size;   /* 1, 2, 4, 8 bytes, or 0: any                         */
    bool has_value; /* only when the written value equals (value)          */
    uint64_t at;    /* port or guest-physical address                      */
    uint64_t value;
};

enum hv_exit_kind {
    HV_EXIT_PIO,       /* pio: x86 port read or write                       */
    HV_EXIT_MMIO,      /* mmio: read or write where no memory is mapped     */
    HV_EXIT_HALT,      /* HLT or WFI; only without an in-hypervisor intc    */
    HV_EXIT_SHUTDOWN,  /* triple fault: the vcpu is finished                */
    HV_EXIT_SYSTEM,    /* system: the guest asked for an end (PSCI, ...)    */
    HV_EXIT_KICKED,    /* hv_vcpu_kick(); registers are whole               */
    HV_EXIT_TIMER,     /* aarch64: the virtual timer fired; it is masked
                          until hv_timer_unmask()                           */
    HV_EXIT_EOI,       /* eoi: end of a level-triggered interrupt           */
    HV_EXIT_MSR,       /* msr: access to an MSR that nobody knows           */
    HV_EXIT_EXCEPTION, /* exception: raw syndrome, arch/ decodes it         */
    HV_EXIT_ERROR      /* error: the hypervisor cannot go on                */
};

enum hv_system_event { HV_SYSTEM_POWER_OFF, HV_SYSTEM_RESET, HV_SYSTEM_CRASH };

/*
 * Why hv_vcpu_run() returned.
 *
 * (data) of PIO and MMIO points into the backend and is good until the next
 * run. A write: what the guest wrote. A read: filled with 0xff; the run loop
 * puts the answer there before the next run, which hands it to the guest. A
 * string instruction (PIO, count > 1) has size * count bytes, one element
 * after the other, all for the same port.
 */
struct hv_exit {
    enum hv_exit_kind kind;
    union {
        struct {
            uint8_t *data;
            uint32_t count;
            uint16_t port;
            uint8_t size; /* 1, 2 or 4 */
            bool write;
        } pio;
        struct {
            struct gpa at;
            uint8_t *data;
            uint8_t size; /* 1 to 8; a guest may make other than powers of 2 */
            bool write;
        } mmio;
        enum hv_system_event system;
        struct {
            uint8_t vector;
        } eoi;
        struct {
            uint64_t *value; /* as (data) above                       */
            bool *refuse;    /* set to make the guest take a #GP      */
            uint32_t index;
            bool write;
        } msr;
        struct {
            uint64_t syndrome; /* ESR_EL2                             */
            struct gpa at;     /* faulting guest-physical address     */
            uint64_t virt;     /* FAR_EL2                             */
        } exception;
        struct {
            const char *what; /* static, lower case                   */
            uint64_t code;    /* the hypervisor's own number          */
            uint64_t detail;  /* its own too, 0 if none               */
            uint8_t instruction[HV_INSTRUCTION_MAX];
            uint8_t instruction_bytes; /* 0: not known                */
        } error;
    };
};

/* What the guest's paravirtual clock says (kvmclock; nothing elsewhere). */
struct hv_pvclock {
    uint64_t ns; /* nanoseconds since the guest's boot */
    bool present;
};

struct hv_ops;

struct hv_mapping {
    struct gpa at;
    uint64_t bytes; /* 0: this place is free */
    uint8_t *host;
    unsigned prot;
    bool window;
};

/* What every backend's machine begins with; kept by hv.c, but for (caps). A
 * backend knows a mapping by its place in (map), which stays while the mapping
 * does. */
struct hv_vm {
    const struct hv_ops *ops;
    struct hv_caps caps; /* filled by vm_new */
    struct hv_vm_config config;
    struct hv_mapping map[HV_MAPS_MAX];
    struct hv_cpuid_table cpuid; /* of hv_cpuid_set(); .count 0: none yet    */
    uint32_t gsis;       /* of hv_intc_new(); 0: no interrupt controller     */
    uint32_t vcpus_made; /* atomic; never falls                              */
    bool logging;        /* between dirty_start and dirty_stop               */
};

struct hv_vcpu {
    struct hv_vm *vm;
    uint32_t id; /* x86_64: the APIC id; aarch64: affinity level 0          */
};

/*
 * One hypervisor. Entries are mandatory unless marked optional; hv.c has
 * checked arguments and order before it calls one. Functions return 0 or a
 * negative SM_E*; SM_EIO means that the hypervisor failed in a way that has no
 * better name.
 */
struct hv_ops {
    const char *name; /* "kvm" */

    /* Any thread. Cheap; makes no machine. SM_ENOHV: there is none, with what
     * to do about it; SM_EACCES: there is one, with how to get the right. */
    int (*probe)(int device_fd, struct hv_caps *ret, struct sm_error *err);

    /* *ret begins with a struct hv_vm, zero but for (caps); hv.c fills it after
     * the call. SM_ENOHV, SM_EACCES as above, SM_EBUSY: somebody else
     * holds the hypervisor, SM_ENOTSUP: config asks for more than there is. */
    int (*vm_new)(const struct hv_vm_config *config, struct hv_vm **ret,
                  struct sm_error *err);
    /* All vcpus are freed. Takes every mapping and wire with it. */
    void (*vm_free)(struct hv_vm *vm);

    /* vm->map[index] is filled. Its host memory stays the caller's and mapped
     * until vm_unmap or vm_free. Writes to memory without HV_WRITE become
     * MMIO exits. */
    int (*vm_map)(struct hv_vm *vm, unsigned index, struct sm_error *err);
    int (*vm_unmap)(struct hv_vm *vm, unsigned index, struct sm_error *err);

    /*
     * Optional (caps.windows). A window is a range of guest-physical
     * addresses into which file pages are mapped while the machine runs (DAX
     * of virtio-fs). window_new makes an empty one of vm->map[index]; what is
     * empty reads as an error exit. window_map replaces what was there by
     * (bytes) of (fd) at (offset), shared with the file, prot without
     * HV_EXEC. Any thread.
     */
    int (*window_new)(struct hv_vm *vm, unsigned index, struct sm_error *err);
    int (*window_map)(struct hv_vm *vm, struct gpa at, uint64_t bytes, int fd,
                      uint64_t offset, unsigned prot, struct sm_error *err);
    int (*window_unmap)(struct hv_vm *vm, struct gpa at, uint64_t bytes,
                        struct sm_error *err);

    /*
     * Optional (caps.dirty_log). Between start and stop the pages (4096
     * bytes) that the guest writes are noted. fetch gives those of one
     * mapping, a bit per page, first page in bit 0 of bitmap[0], and forgets
     * them. What the host writes is not noted.
     */
    int (*dirty_start)(struct hv_vm *vm, struct sm_error *err);
    int (*dirty_fetch)(struct hv_vm *vm, unsigned index, uint64_t *bitmap,
                       struct sm_error *err);
    int (*dirty_stop)(struct hv_vm *vm, struct sm_error *err);

    /* x86_64: local APICs in the hypervisor, IOAPIC in devices/. aarch64:
     * GICv3. All of its interrupts are masked or not routed. */
    int (*intc_new)(struct hv_vm *vm, const struct hv_intc_config *config,
                    struct sm_error *err);
    /* Optional (caps.save). The parts of the controller that belong to no
     * vcpu, as a blob that only the same backend must understand. No vcpu
     * runs meanwhile. load: SM_EPROTO for a blob that makes no sense. */
    int (*intc_save)(struct hv_vm *vm, struct buf *to, struct sm_error *err);
    int (*intc_load)(struct hv_vm *vm, struct wire_reader *from,
                     struct sm_error *err);

    /* Drive a line. x86_64: a rise sends the line's routed message, a fall
     * does nothing (what a level means is the IOAPIC's business, in
     * devices/). aarch64: the SPI's level. Any thread. */
    int (*irq_set)(struct hv_vm *vm, uint32_t gsi, bool level);
    /* Optional (x86_64, aarch64 with a msi_frame). Any thread. */
    int (*msi_send)(struct hv_vm *vm, const struct hv_msi *msi);
    /* Optional (caps.user_ioapic). What a rise of (gsi) sends from now on;
     * NULL: nothing, the line is masked. Any thread. */
    int (*route_set)(struct hv_vm *vm, uint32_t gsi, const struct hv_msi *msi,
                     struct sm_error *err);
    /* Optional (caps.irqfd). Each signal of (notifier) is a rise and fall of
     * (gsi), without any thread of ours. */
    int (*irqfd_attach)(struct hv_vm *vm, uint32_t gsi,
                        const struct notifier *notifier, struct sm_error *err);
    int (*irqfd_detach)(struct hv_vm *vm, uint32_t gsi,
                        const struct notifier *notifier, struct sm_error *err);
    /* Optional (caps.ioeventfd). Writes that match signal (notifier) and are
     * no exits any more. */
    int (*ioeventfd_attach)(struct hv_vm *vm, const struct hv_io_match *match,
                            const struct notifier *notifier,
                            struct sm_error *err);
    int (*ioeventfd_detach)(struct hv_vm *vm, const struct hv_io_match *match,
                            const struct notifier *notifier,
                            struct sm_error *err);

    /* Optional (x86_64). The most that hypervisor and processor can offer. */
    int (*cpuid_get)(struct hv_vm *vm, struct hv_cpuid_table *ret,
                     struct sm_error *err);
    /* What vcpus will see: vm->cpuid. The backend puts each vcpu's own id into
     * the fields that carry it: leaf 1 EBX 31-24, 0xb and 0x1f EDX, 0x8000001e
     * EAX and EBX 7-0. Nothing else is changed. */
    int (*cpuid_set)(struct hv_vm *vm, struct sm_error *err);

    /* Its registers are those of a reset; vcpu 0 is HV_POWER_RUNNING, others
     * HV_POWER_OFF, if there is an interrupt controller. May overlap with
     * vcpu_new of other ids on other threads. */
    int (*vcpu_new)(struct hv_vm *vm, uint32_t id, struct hv_vcpu **ret,
                    struct sm_error *err);
    void (*vcpu_free)(struct hv_vcpu *vcpu);

    /*
     * Run until something needs us. Handed in first: the answers that the run
     * loop left in the last exit. Fails only if the host does; what a guest
     * does wrong is an exit.
     */
    int (*vcpu_run)(struct hv_vcpu *vcpu, struct hv_exit *ret,
                    struct sm_error *err);
    /* Any thread. Each vcpu's present or next run ends with HV_EXIT_KICKED,
     * after answers were handed in. Kicks that come before that exit are one.
     * The vcpus live until the call is over. */
    void (*vcpu_kick)(struct hv_vcpu *const *vcpus, unsigned count);

    /*
     * Registers. get: group and number are given, value and high are filled.
     * set: all are given; in the order of the array. Whole before the first
     * run and after HV_EXIT_KICKED; after other exits the access that caused
     * it may not have been finished. SM_EINVAL: no such register here.
     */
    int (*regs_get)(struct hv_vcpu *vcpu, struct hv_reg *regs, unsigned count,
                    struct sm_error *err);
    int (*regs_set)(struct hv_vcpu *vcpu, const struct hv_reg *regs,
                    unsigned count, struct sm_error *err);

    /* Optional (caps.save). Everything that makes up the vcpu, as the record
     * of hypervisor/state.h. SM_ESTATE: an access is not finished; kick and
     * run first. load is hostile-checked: SM_EPROTO for a record that makes
     * no sense, SM_ENOTSUP for one that this host cannot continue. */
    int (*vcpu_save)(struct hv_vcpu *vcpu, struct buf *to,
                     struct sm_error *err);
    int (*vcpu_load)(struct hv_vcpu *vcpu, struct wire_reader *from,
                     struct sm_error *err);

    /* Optional (aarch64 where HV_EXIT_TIMER exists). */
    int (*timer_unmask)(struct hv_vcpu *vcpu, struct sm_error *err);

    /*
     * The guest's counter (x86_64: TSC, aarch64: CNTVCT) is the host's plus
     * an offset. ticks reads the host's. clock_save: what the guest's counter
     * showed when the host's showed (now). clock_load: make it so that the
     * guest's shows (ref) when the host's shows (now); with one (now) for all
     * vcpus they stay in step. clock_load comes after vcpu_load.
     */
    uint64_t (*ticks)(void);
    int (*clock_save)(struct hv_vcpu *vcpu, uint64_t now, uint64_t *ref,
                      struct sm_error *err);
    int (*clock_load)(struct hv_vcpu *vcpu, uint64_t now, uint64_t ref,
                      struct sm_error *err);
    /* Optional (KVM). The paravirtual clock of the whole machine; load comes
     * after every clock_load. */
    int (*pvclock_save)(struct hv_vm *vm, struct hv_pvclock *ret,
                        struct sm_error *err);
    int (*pvclock_load)(struct hv_vm *vm, const struct hv_pvclock *pvclock,
                        struct sm_error *err);
    /* Optional (KVM). Tell the guest that this vcpu was stopped for a while,
     * so that its watchdogs stay calm. Before the run that goes on. */
    int (*vcpu_resumed)(struct hv_vcpu *vcpu, struct sm_error *err);
};

/* Compiled where they can exist; the fake one (hypervisor/fake/fake.h) is a
 * library of its own, for tests. */
extern const struct hv_ops hv_kvm, hv_hvf, hv_whp;

/* The hypervisor of this platform. */
const struct hv_ops *hv_host(void);

/*
 * The calls. Each checks its arguments and its place in the order, then calls
 * the entry of the same name, where the rest of its contract stands. Common
 * errors: SM_EINVAL (not aligned, out of range), SM_ESTATE (too late or too
 * early), SM_ENOTSUP (an optional entry that this backend lacks).
 */
int hv_probe(const struct hv_ops *hv, int device_fd, struct hv_caps *ret,
             struct sm_error *err);
int hv_vm_new(const struct hv_ops *hv, const struct hv_vm_config *config,
              struct hv_vm **ret, struct sm_error *err);
/* NULL is fine. */
void hv_vm_free(struct hv_vm *vm);

/* (at), (host) and (bytes) are multiples of caps.map_granule, (bytes) > 0.
 * SM_EEXIST: overlaps another mapping. SM_ELIMIT: HV_MAPS_MAX. */
int hv_vm_map(struct hv_vm *vm, struct gpa at, void *host, uint64_t bytes,
              unsigned prot, struct sm_error *err);
/* Every region of (mem), readable, writable and executable. */
int hv_vm_map_memory(struct hv_vm *vm, const struct gmem *mem,
                     struct sm_error *err);
/* The mapping that begins at (at); SM_ENOENT. */
int hv_vm_unmap(struct hv_vm *vm, struct gpa at, struct sm_error *err);

int hv_window_new(struct hv_vm *vm, struct gpa at, uint64_t bytes,
                  struct sm_error *err);
/* The range lies in one window; (offset) is a multiple of the granule too. */
int hv_window_map(struct hv_vm *vm, struct gpa at, uint64_t bytes, int fd,
                  uint64_t offset, unsigned prot, struct sm_error *err);
int hv_window_unmap(struct hv_vm *vm, struct gpa at, uint64_t bytes,
                    struct sm_error *err);

int hv_dirty_start(struct hv_vm *vm, struct sm_error *err);
/* For the mapping that begins at (at). (bitmap) has (words) words, at least
 * one bit per page; all are written. */
int hv_dirty_fetch(struct hv_vm *vm, struct gpa at, uint64_t *bitmap,
                   uint64_t words, struct sm_error *err);
int hv_dirty_stop(struct hv_vm *vm, struct sm_error *err);

int hv_intc_new(struct hv_vm *vm, const struct hv_intc_config *config,
                struct sm_error *err);
int hv_intc_save(struct hv_vm *vm, struct buf *to, struct sm_error *err);
int hv_intc_load(struct hv_vm *vm, struct wire_reader *from,
                 struct sm_error *err);
/* irq_set and msi_send cannot fail for a gsi in range: a message to a vcpu
 * that is not there is lost, as on a real bus. Return 0 or SM_EINVAL. */
int hv_irq_set(struct hv_vm *vm, uint32_t gsi, bool level);
int hv_msi_send(struct hv_vm *vm, const struct hv_msi *msi);
int hv_route_set(struct hv_vm *vm, uint32_t gsi, const struct hv_msi *msi,
                 struct sm_error *err);
int hv_irqfd_attach(struct hv_vm *vm, uint32_t gsi,
                    const struct notifier *notifier, struct sm_error *err);
int hv_irqfd_detach(struct hv_vm *vm, uint32_t gsi,
                    const struct notifier *notifier, struct sm_error *err);
int hv_ioeventfd_attach(struct hv_vm *vm, const struct hv_io_match *match,
                        const struct notifier *notifier, struct sm_error *err);
int hv_ioeventfd_detach(struct hv_vm *vm, const struct hv_io_match *match,
                        const struct notifier *notifier, struct sm_error *err);

int hv_cpuid_get(struct hv_vm *vm, struct hv_cpuid_table *ret,
                 struct sm_error *err);
int hv_cpuid_set(struct hv_vm *vm, const struct hv_cpuid_table *table,
                 struct sm_error *err);

/* (id) < config.vcpus, each once. */
int hv_vcpu_new(struct hv_vm *vm, uint32_t id, struct hv_vcpu **ret,
                struct sm_error *err);
/* NULL is fine. */
void hv_vcpu_free(struct hv_vcpu *vcpu);
int hv_vcpu_run(struct hv_vcpu *vcpu, struct hv_exit *ret,
                struct sm_error *err);
/* All of one machine; (count) may be 0. */
void hv_vcpu_kick(struct hv_vcpu *const *vcpus, unsigned count);
int hv_regs_get(struct hv_vcpu *vcpu, struct hv_reg *regs, unsigned count,
                struct sm_error *err);
int hv_regs_set(struct hv_vcpu *vcpu, const struct hv_reg *regs, unsigned count,
                struct sm_error *err);
int hv_vcpu_save(struct hv_vcpu *vcpu, struct buf *to, struct sm_error *err);
int hv_vcpu_load(struct hv_vcpu *vcpu, struct wire_reader *from,
                 struct sm_error *err);
int hv_timer_unmask(struct hv_vcpu *vcpu, struct sm_error *err);

uint64_t hv_ticks(const struct hv_ops *hv);
int hv_vcpu_clock_save(struct hv_vcpu *vcpu, uint64_t now, uint64_t *ref,
                       struct sm_error *err);
int hv_vcpu_clock_load(struct hv_vcpu *vcpu, uint64_t now, uint64_t ref,
                       struct sm_error *err);
/* Backends without one: saved as not present; loading that is fine. */
int hv_pvclock_save(struct hv_vm *vm, struct hv_pvclock *ret,
                    struct sm_error *err);
int hv_pvclock_load(struct hv_vm *vm, const struct hv_pvclock *pvclock,
                    struct sm_error *err);
/* Nothing to do on backends that lack it. */
int hv_vcpu_resumed(struct hv_vcpu *vcpu, struct sm_error *err);

#endif
