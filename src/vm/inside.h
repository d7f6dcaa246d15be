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

struct vm_vcpu;

/* Something that only a vcpu's own thread may do to it. */
typedef int vm_errand(struct vm_vcpu *own, void *context, struct sm_error *err);

struct vm_vcpu {
    struct vm *vm;
    uint32_t id;
    pthread_t thread;
    bool has_thread;
    struct hv_vcpu *vcpu; /* protected by vm->lock; NULL before and after */
    bool parked;          /* the same: waits for the end of VM_PAUSED     */
    vm_errand *errand;    /* the same: to be done while it waits          */
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
    bool restored; /* made from config.saved, which is gone by now */
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
    void *errand_context;
    uint32_t errands; /* that are not done */
    int errand_rc;    /* of the first that failed */
    struct sm_error errand_err;
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
/* Have every vcpu's thread do (errand), side by side, and wait for all. While
 * the vcpus wait: before vm_vcpus_go(), or paused. */
int vm_vcpus_do(struct vm *vm, vm_errand *errand, void *context,
                struct sm_error *err);
/* Answer (exit), which (own)'s run ended with. False: it is finished. */
bool vm_answer(struct vm_vcpu *own, struct hv_exit *exit);

/* wires.c: devices and what connects them to the guest. */
int vm_devices_new(struct vm *vm, struct sm_error *err);
/* After the vcpus were made: ioeventfds, and irqfds that are never masked. */
int vm_devices_wire(struct vm *vm, struct sm_error *err);
void vm_devices_free(struct vm *vm);
/* No device does anything on a thread of its own between these two. */
void vm_devices_pause(struct vm *vm);
int vm_devices_resume(struct vm *vm, struct sm_error *err);
/* A saved machine's disk becomes the one that it is given now. */
int vm_disk_attach(struct vm *vm, struct sm_error *err);
/* Have a machine whose vcpus are loaded look at its generation id. */
void vm_generation_pulse(struct vm *vm);
/* Every device in the order in which they are loaded; NULL behind the last. */
struct device *vm_device(struct vm *vm, unsigned number);

/* state.c: a machine that was saved: in place of arch_vm_setup() and
 * arch_boot(). */
struct vm_record;
/* Check the record as a whole; it is used up piece by piece below. */
int vm_record_open(struct vm *vm, struct vm_record **ret, struct sm_error *err);
int vm_record_load_arch(struct vm *vm, struct vm_record *record,
                        struct sm_error *err);
/* When all vcpus and devices are made: everything else. */
int vm_record_load(struct vm *vm, struct vm_record *record,
                   struct sm_error *err);
void vm_record_close(struct vm_record *record);

/* vm.c: the machine has ended; the first one who says so counts. Any thread.
 */
void vm_end(struct vm *vm, enum vm_end_kind kind, const struct sm_error *error);

#endif
