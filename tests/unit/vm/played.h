/* played.h: a machine on the scripted hypervisor. */
#ifndef TESTS_VM_PLAYED_H
#define TESTS_VM_PLAYED_H

#include "hypervisor/fake/fake.h"
#include "vm/vm.h"

#include <pthread.h>

/* Where the kernel begins. */
enum { PLAYED_ENTRY = 0x1000000 };

struct played {
    struct fake_script *script;
    struct loop *loop;
    struct vm *vm;
    int kernel_fd;
    struct block *disk; /* the machine's, from played_make() on; or NULL */
    uint32_t vcpus;
    const struct vm_saved *saved; /* to go on from; NULL: boot */
    /* What the machine told. */
    unsigned ends;
    struct vm_end end;
    pthread_t ended_on;
    char console[256];
    size_t console_bytes;
};

/* The script and all that the machine needs; (options) may be NULL. */
void played_init(struct played *played, uint32_t vcpus,
                 const struct fake_options *options);
/* vm_new(), as it is. */
int played_make(struct played *played, struct sm_error *err);
/* Make the machine, which has to work, and run it. */
void played_start(struct played *played);
void played_done(struct played *played);

/* Append to the script of (vcpu). */
void played_add(struct played *played, uint32_t vcpu, struct fake_step step);
/* Wait until the first (count) steps of (vcpu) are answered. */
void played_wait(struct played *played, uint32_t vcpu, unsigned count);
/* The little-endian value that step (index) of vcpu 0, a read, got. */
uint64_t played_read(struct played *played, unsigned index);

/* Turn the loop until the machine has told its end, and see to it that it
 * tells it once, here. */
void played_expect_end(struct played *played, enum vm_end_kind kind);

#endif
