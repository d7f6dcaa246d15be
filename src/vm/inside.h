/* inside.h: what the files of vm/ share with each other. */
#ifndef SM_VM_INSIDE_H
#define SM_VM_INSIDE_H

#include "arch/arch.h"
#include "devices/bus.h"
#include "devices/ioapic.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/virtio.h"
#include "devices/virtio/vsock.h"
#include "vm/vm.h"

#include <pthread.h>

/* What the vcpu threads are to do. */
enum vm_phase {
    VM_MAKING,  /* make your vcpu, say so, wait        */
    VM_RUNNING, /* run                                 */
    VM_PAUSED,  /* wait for what comes next            */
    VM_STOPPING /* leave; vcpus are freed by their own */
};

struct vm_vcpu {
    struct vm *vm;
    uint32_t id;
    pthread_t thread;
    bool has_thread;
    struct hv_vcpu *vcpu; /* protected by vm->lock; NULL before and after */
    bool parked;          /* the same: waits for the end of VM_PAUSED     */
};

/* A virtio device in its slot, and the wires to it. */
struct vm_slot {
    struct vm *vm;
    uint32_t number;
    struct virtio_device *virtio;
    struct device *mmio;       /* owns (virtio) */
    struct notifier kick;      /* guest -> loop */
    struct notifier interrupt; /* device -> guest, if the hypervisor listens */
    struct loop_watch *watch;  /* of (kick), on the slot's loop */
    bool irqfd;                /* (interrupt) is attached: the pin is open  */
};

/* A thread that runs a loop; see disk.c. */
struct vm_disk_thread {
    struct loop *loop;
    pthread_t thread;
    bool running;
};

struct vm {
    struct vm_config config;
    struct arch_config arch;
    struct gmem mem;
    struct hv_vm *hv;
    struct arch_entry entry;

    struct bus mmio;
    struct bus ports;
    struct ioapic *ioapic;
    struct device *serial;
    struct device *power;
    struct device *panic;
    struct blk *blk;
    struct vsock *vsock;
    struct vm_slot slot[VM_SLOTS];
    struct vm_disk_thread disk;

    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    enum vm_phase phase;
    uint32_t made; /* vcpu threads that have made their vcpu, or failed */
    int make_rc;
    struct sm_error make_err;
    bool ended;
    bool end_told; /* loop thread only */
    struct vm_end end;
    struct vm_vcpu vcpu[ARCH_VCPUS_MAX];
};

/* run.c: the vcpu threads. */
int vm_vcpus_start(struct vm *vm, struct sm_error *err);
/* Wait until every vcpu is made. */
int vm_vcpus_made(struct vm *vm, struct sm_error *err);
void vm_vcpus_go(struct vm *vm);
/* Return once none of them runs. */
void vm_vcpus_pause(struct vm *vm);
void vm_vcpus_resume(struct vm *vm);
void vm_vcpus_stop(struct vm *vm);

/* wires.c: devices and what connects them to the guest. */
int vm_devices_new(struct vm *vm, struct sm_error *err);
/* After the vcpus were made: ioeventfds, and irqfds that are never masked. */
int vm_devices_wire(struct vm *vm, struct sm_error *err);
void vm_devices_free(struct vm *vm);

/* vm.c: the machine has ended; the first one who says so counts. Any thread.
 */
void vm_end(struct vm *vm, enum vm_end_kind kind, const struct sm_error *error);

#endif
