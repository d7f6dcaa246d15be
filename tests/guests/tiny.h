/* tiny.h: a machine for tiny guests; see guest.h for the guest's side.
 *
 * Everything that goes wrong on the host's side fails the running test.
 */
#ifndef GUESTS_TINY_H
#define GUESTS_TINY_H

#include "guest.h"
#include "hypervisor/hv.h"

struct tiny {
    struct hv_vm *vm;
    struct gmem mem;
    struct hv_vcpu *vcpu; /* 0, on the thread that called tiny_start() */
    struct hv_exit exit;  /* the last */
};

/* The code of a guest: `extern const uint8_t guest_x[], guest_x_end[]`. */
#define TINY_GUEST(name) extern const uint8_t name[], name##_end[]
#define TINY_CODE(name)  name, (size_t)(name##_end - name)

/* The call has to have worked; else its message is shown. */
void must(int rc, const struct sm_error *err);

/* Steps, for tests that do something between them. */
void tiny_new(struct tiny *tiny, uint32_t vcpus);
/* Interrupt controller and CPUID as every machine has them. */
void tiny_setup(struct tiny *tiny, uint32_t vcpus);
void tiny_load(struct tiny *tiny, const uint8_t *code, size_t bytes);
/* Registers as guest.h says. */
void tiny_enter(struct hv_vcpu *vcpu);

/* All of them, for one vcpu, without an interrupt controller. */
void tiny_start(struct tiny *tiny, const uint8_t *code, size_t bytes);
void tiny_stop(struct tiny *tiny);

/* Run to the next exit, which is in tiny->exit. */
void tiny_run(struct tiny *tiny);
/* Run; the exit must be this one. */
void tiny_expect_report(struct tiny *tiny, uint32_t value);
void tiny_expect_done(struct tiny *tiny);
void tiny_expect_mmio(struct tiny *tiny, uint64_t at, unsigned size,
                      bool write);
void tiny_expect_pio(struct tiny *tiny, uint16_t port, unsigned size,
                     bool write);
void tiny_expect(struct tiny *tiny, enum hv_exit_kind kind);

#endif
