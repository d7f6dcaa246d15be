/* inside.h: what the files of the fake share. Only they include it.
 *
 *   script.c  the script: written by the test, played by the vcpus
 *   wires.c   interrupts and wires, both sides
 *   regs.c    registers by name, and a vcpu as a record
 *   fake.c    machine, vcpus, and the table
 */
#ifndef SM_HYPERVISOR_FAKE_INSIDE_H
#define SM_HYPERVISOR_FAKE_INSIDE_H

#include "hypervisor/fake/fake.h"

#include <pthread.h>

enum { FAKE_REGS = 80 };

struct fake_vcpu;

/* Where a vcpu's play stands. */
struct fake_part {
    struct fake_step step[FAKE_STEPS_MAX];
    unsigned count;
    unsigned next;          /* step that the next run plays       */
    unsigned answered;      /* steps that the vcpu went on after  */
    unsigned kicks;         /* runs that a kick ended             */
    bool made;              /* its vcpu was made                  */
    struct fake_vcpu *vcpu; /* NULL: there is none now */
    bool unfinished;        /* step[next - 1] awaits its answer   */
    bool kicked;            /* a kick is on its way               */
    bool idle;              /* in a run with nothing to do        */
    uint8_t last_read[FAKE_DATA_MAX];
    /* What the run loop reads and writes. */
    uint8_t data[FAKE_DATA_MAX];
    uint64_t msr;
    bool refuse;
};

struct fake_ioeventfd {
    struct hv_io_match match;
    int fd; /* -1: this place is free */
};

struct fake_route {
    struct hv_msi msi;
    bool live; /* not masked */
    bool level;
    unsigned rises;
    int irqfd; /* -1: none */
};

struct fake_script {
    struct fake_options options;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    struct hv_vm *vm; /* that plays it; NULL: none now */
    struct fake_part part[FAKE_VCPUS_MAX];
    struct fake_route route[HV_X86_GSIS];
    struct fake_ioeventfd ioeventfd[FAKE_WIRES_MAX];
    struct hv_msi msi[FAKE_MSIS_MAX];
    unsigned msis;
};

struct fake_vm {
    struct hv_vm base;
    struct fake_script *script;
};

struct fake_vcpu {
    struct hv_vcpu base;
    struct fake_script *script;
    struct hv_reg reg[FAKE_REGS]; /* as regs.c orders them */
    uint64_t clock_offset;
};

static inline struct fake_vcpu *fake_vcpu_of(struct hv_vcpu *vcpu)
{
    return (struct fake_vcpu *)vcpu;
}

static inline struct fake_script *fake_script_of(struct hv_vm *vm)
{
    return ((struct fake_vm *)vm)->script;
}

/* script.c. mine: the script that this thread made last; NULL: none. */
struct fake_script *fake_script_mine(void);
/* changed: wait for a change, with the lock held; false: too late. */
struct timespec fake_deadline(void);
bool fake_changed(struct fake_script *script, const struct timespec *deadline);
int fake_vcpu_run(struct hv_vcpu *vcpu, struct hv_exit *ret,
                  struct sm_error *err);
void fake_vcpu_kick(struct hv_vcpu *const *vcpus, unsigned count);

/* wires.c. signal: an ioeventfd takes this write; with the lock held. */
bool fake_ioeventfd_signal(struct fake_script *script,
                           const struct fake_step *step);
int fake_irq_set(struct hv_vm *vm, uint32_t gsi, bool level);
int fake_msi_send(struct hv_vm *vm, const struct hv_msi *msi);
int fake_route_set(struct hv_vm *vm, uint32_t gsi, const struct hv_msi *msi,
                   struct sm_error *err);
int fake_irqfd_attach(struct hv_vm *vm, uint32_t gsi,
                      const struct notifier *notifier, struct sm_error *err);
int fake_irqfd_detach(struct hv_vm *vm, uint32_t gsi,
                      const struct notifier *notifier, struct sm_error *err);
int fake_ioeventfd_attach(struct hv_vm *vm, const struct hv_io_match *match,
                          const struct notifier *notifier,
                          struct sm_error *err);
int fake_ioeventfd_detach(struct hv_vm *vm, const struct hv_io_match *match,
                          const struct notifier *notifier,
                          struct sm_error *err);

/* regs.c */
void fake_regs_reset(struct fake_vcpu *vcpu);
int fake_regs_get(struct hv_vcpu *vcpu, struct hv_reg *regs, unsigned count,
                  struct sm_error *err);
int fake_regs_set(struct hv_vcpu *vcpu, const struct hv_reg *regs,
                  unsigned count, struct sm_error *err);
int fake_vcpu_save(struct hv_vcpu *vcpu, struct buf *to, struct sm_error *err);
int fake_vcpu_load(struct hv_vcpu *vcpu, struct wire_reader *from,
                   struct sm_error *err);

#endif
