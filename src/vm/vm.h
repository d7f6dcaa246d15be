/* vm.h: one machine: memory, vcpus and devices put together, and running.
 *
 * How it works
 *   vm_new() builds everything and loads the kernel; vm_run() lets the vcpus
 *   go. Each vcpu has a thread (run.c) that does nothing but run it and answer
 *   its exits through the buses. Devices are served by two loops: the disk by
 *   a thread of its own, because a disk may block; everything else by the
 *   caller's loop, on which vm_new() was called.
 *
 *       vcpu threads          wires (irqfd, ioeventfd)         loops
 *       exit -> bus -> register    notifier -> virtio_device_notify()
 *               interrupt <- IOAPIC route <- notifier <- device
 *
 *   It sees no image, no agent and no file name: all it gets is descriptors,
 *   a disk and callbacks.
 *
 * Threads
 *   All calls on the loop's thread. The machine ends in one place: whatever
 *   happens first (guest's power-off, panic, a crash, an error of the host)
 *   is reported by `ended`, once, on the loop's thread; vcpus stop by then or
 *   soon after, and vm_free() waits for them.
 */
#ifndef SM_VM_VM_H
#define SM_VM_VM_H

#include "base/log.h"
#include "block/block.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/vsock.h"
#include "hypervisor/hv.h"
#include "platform/loop.h"

struct vm;

enum vm_end_kind {
    VM_END_POWER_OFF,
    VM_END_REBOOT,
    VM_END_PANIC,
    VM_END_CRASH, /* triple fault, crash load */
    VM_END_FAILED /* the host's side: see error */
};

struct vm_end {
    enum vm_end_kind kind;
    struct sm_error error;
};

struct vm_events {
    /* A program in the guest connects to (host_port); a stream socket for the
     * other end, the machine's from now on, or -1 to refuse. Loop thread; must
     * not call back. */
    int (*connect)(void *context, uint32_t host_port, uint32_t guest_port);
    /* The guest kernel's console wrote; any thread, must not block. */
    void (*console)(void *context, const uint8_t *bytes, size_t count);
    /* (what) was just done; during vm_new() and vm_run(). */
    void (*step)(void *context, const char *what);
    /* The machine ended. vm_free() must not be called from here. */
    void (*ended)(void *context, const struct vm_end *end);
};

/* A run of guest memory. */
struct vm_range {
    uint64_t at;
    uint64_t bytes;
};

/* A machine of vm_save(), to go on from. */
struct vm_saved {
    const uint8_t *state; /* borrowed during vm_new(); from anybody */
    size_t count;
    /* Its memory, region after region (vm_memory()), which must never change:
     * one file, and over it ranges of a second one. The descriptors and the
     * list are borrowed during vm_new(). */
    int memory_fd;
    int differential_fd; /* not looked at if there are no ranges */
    const struct gmem_range *range;
    size_t range_count;
    /* What the guest will write to first: made ready in one go. */
    const struct vm_range *hot;
    size_t hot_count;
};

struct vm_config {
    const struct hv_ops *hv;
    int hv_device_fd;      /* as hv_vm_config.device_fd */
    uint64_t memory_bytes; /* as arch_config            */
    uint32_t vcpus;
    const struct vm_saved *saved; /* NULL: boot what follows          */
    int kernel_fd;                /* borrowed during vm_new()         */
    int initrd_fd;                /* the same; -1: none               */
    const char *cmdline;
    struct block *disk; /* the root disk; NULL: empty slot. A machine that was
                           saved sees its disk change to this one       */
    struct loop *loop;
    const struct vm_events *events; /* outlive the machine; all entries given */
    void *context;
    struct log_sink log;
    bool trust_hypervisor; /* do not measure whether it is sound */
};

enum {
    VM_GUEST_CID = 3, /* of the vsock device; the host is 2        */
    VM_SLOT_DISK = 0, /* virtio-mmio slots; part of snapshots      */
    VM_SLOT_VSOCK = 1,
    VM_SLOT_RNG = 2,
    VM_SLOT_BALLOON = 3,
    VM_SLOTS = 4
};

/*
 * Build the machine. config->disk is the machine's from now on, also when this
 * fails.
 * Returns 0, or SM_ENOHV, SM_EACCES (hypervisor), SM_EINVAL (memory, vcpus,
 * command line), SM_EIMAGE (not a kernel; a record that is damaged or of
 * another machine; memory files that are too short, ranges that make no sense),
 * SM_ELIMIT (too many ranges), SM_ENOTSUP (a record that this host cannot go
 * on from), SM_ENOSPC (memory too small for kernel and initrd), SM_ENOMEM,
 * SM_EIO.
 */
int vm_new(const struct vm_config *config, struct vm **ret,
           struct sm_error *err);
/* Let the vcpus run. Once. */
void vm_run(struct vm *vm);
/* Between vm_run() and vm_free(): the vcpus stand still when vm_pause() has
 * returned, until vm_resume(). Devices still finish what they were asked to do;
 * the guest's clock jumps. Once more than needed is fine. */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);
/*
 * Between these two a paused machine does not change in any way, neither its
 * vcpus nor its devices nor its memory: for vm_save(). If vm_thaw() cannot, the
 * machine ends.
 * vm_freeze() returns 0, SM_ESTATE (it has ended), SM_EIO.
 */
int vm_freeze(struct vm *vm, struct sm_error *err);
void vm_thaw(struct vm *vm);
/*
 * Append everything that the frozen machine is beside its memory and its disk:
 * docs/FORMAT.md, "Machine".
 * Returns 0, SM_ENOTSUP (hypervisor), SM_ENOMEM, SM_EIO.
 */
int vm_save(struct vm *vm, struct buf *to, struct sm_error *err);
/*
 * Between vm_freeze() and vm_thaw(): what the disk holds now becomes immutable,
 * and the machine's writes go to a new overlay, in the empty file (fd), over
 * it. The guest notices nothing. What was sealed is written but not synced: see
 * overlay_seal() for who may refer to it and when.
 *
 * new_base    what takes the place of the block below the top first, of the
 *             same identity, size and content (overlay_rebase(), for layers
 *             that overlay_merge() made one); NULL: all stays
 * Ownership   (new_base) and (fd) are the machine's in any case. The former
 *             base is freed here: who has a copy of its descriptors open spares
 *             the pause the time that removing a nameless file takes
 * Errors      SM_ESTATE (no disk, or one that is no overlay), SM_EINVAL
 *             (new_base is another), SM_ELIMIT (BLOCK_DEPTH_MAX), SM_EEXIST
 *             (file not empty), SM_EACCES (read-only disk), SM_ENOSPC, SM_EIO,
 *             SM_ENOMEM. The machine's disk is then as before and can be used,
 *             perhaps with (new_base) in it
 */
int vm_disk_split(struct vm *vm, struct block *new_base, int fd,
                  struct sm_error *err);
/* Its disk as it stands, NULL: none; the machine's, valid until vm_disk_split()
 * or vm_free(). To be looked at only: its depth, overlay_base(). The layers
 * below it may be read by overlay_merge() while the machine runs. */
struct block *vm_disk(const struct vm *vm);
/* Its memory, which may change unless the machine is frozen. */
const struct gmem *vm_memory(const struct vm *vm);
/* Stop the vcpus and free all. NULL is fine. */
void vm_free(struct vm *vm);

/* Go on with the connection to (host_port) that a saved machine had, on (fd),
 * the machine's in any case. SM_EIMAGE: it had none; SM_EINVAL, SM_ENOMEM. */
int vm_adopt(struct vm *vm, uint32_t host_port, int fd, struct sm_error *err);
/* What the machine has used since it was made. */
struct vm_figures {
    uint64_t vcpu_ns; /* processor time of the vcpus, all together */
    struct blk_counters disk;
    struct vsock_counters streams;
};

/* Between vm_run() and vm_free(). */
void vm_measure(struct vm *vm, struct vm_figures *ret);

/* Connect to (guest_port) in the guest; (fd), a stream socket, is the
 * machine's in any case. SM_ELIMIT, SM_ENOMEM, SM_EINVAL. */
int vm_connect(struct vm *vm, uint32_t guest_port, int fd,
               struct sm_error *err);

#endif
