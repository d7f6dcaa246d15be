/* contract.h: what hypervisor/hv.h promises, as tests for every backend.
 *
 * How it works
 *   A program links the suite with one `contract_host`, which knows how to
 *   make a vcpu do something: the fake writes it into its script, KVM runs a
 *   few bytes of machine code. The tests see no difference.
 */
#ifndef CONTRACT_H
#define CONTRACT_H

#include "hypervisor/hv.h"
#include "unit.h"

#define CONTRACT_RAM_BYTES UINT64_C(0x100000)
#define CONTRACT_MMIO      UINT64_C(0x10000000) /* nothing is mapped there */
#define CONTRACT_ECHO      UINT64_C(0x10001000)
#define CONTRACT_PORT      0xe0

enum contract_act_kind {
    ACT_PIO_WRITE,
    ACT_PIO_READ,
    ACT_MMIO_WRITE,
    ACT_MMIO_READ,
    ACT_ECHO, /* write what was read last to CONTRACT_ECHO */
    ACT_HALT,
    ACT_SHUTDOWN /* nothing comes after it */
};

struct contract_act {
    enum contract_act_kind kind;
    uint8_t size;
    uint64_t at;
    uint64_t value; /* of a write */
};

/* A machine under test. */
struct contract {
    struct hv_vm *vm;
    struct gmem mem;      /* CONTRACT_RAM_BYTES at 0, if mapped */
    struct hv_vcpu *vcpu; /* 0, if made                         */
    struct hv_exit exit;  /* the last                           */
    void *own;            /* the host's                         */
};

struct contract_host {
    const struct hv_ops *hv;
    /* Before a machine is made, and after it is gone. */
    void (*begin)(struct contract *contract);
    void (*end)(struct contract *contract);
    /* Have vcpu 0, which has not run yet, do these acts and then compute for
     * ever. */
    void (*act)(struct contract *contract, const struct contract_act *acts,
                unsigned count);
};

extern const struct contract_host contract_host;

/* The call has to have worked; else its message is shown. */
void contract_ok(int rc, const struct sm_error *err);

/* A machine without anything in it. */
void contract_new(struct contract *contract, uint32_t vcpus);
/* With memory, ... */
void contract_map(struct contract *contract, uint32_t vcpus);
/* ... interrupt controller and CPUID. */
void contract_setup(struct contract *contract, uint32_t vcpus);
/* Make vcpu 0. */
void contract_vcpu(struct contract *contract);
/* Memory and vcpu 0, which does (acts); no interrupt controller. */
void contract_start(struct contract *contract, const struct contract_act *acts,
                    unsigned count);
void contract_stop(struct contract *contract);

/* Run vcpu 0 to its next exit, which must be this one. */
void contract_expect(struct contract *contract, enum hv_exit_kind kind);
void contract_expect_mmio(struct contract *contract, uint64_t at, unsigned size,
                          bool write);
void contract_expect_pio(struct contract *contract, unsigned size, bool write);

/* The suite, in groups. */
extern const struct CMUnitTest machine_tests[], vcpu_tests[], state_tests[];
extern const size_t machine_test_count, vcpu_test_count, state_test_count;

#endif
