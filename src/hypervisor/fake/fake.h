/* fake.h: a hypervisor that plays a script, for tests.
 *
 * How it works
 *   There is no guest. A test writes down, vcpu by vcpu, the exits that one
 *   would cause; hv_vcpu_run() hands them out one after the other and keeps
 *   what the run loop answered. A vcpu whose script is at its end waits,
 *   without polling, for a further step or a kick: as a guest that computes.
 *
 *   What the machine tells the hypervisor is kept and can be looked at: maps,
 *   routes, wires, messages, lines, registers. Wires work: a scripted write
 *   that matches an ioeventfd signals it and is no exit, and
 *   fake_irqfd_take() does for an irqfd what a kernel would.
 *
 *       script = fake_script_new(&options);
 *       fake_script_add(script, 0, &FAKE_PIO_WRITE(0x3f8, 1, 'x'));
 *       vm_new(...hv_fake...);                  plays (script)
 *       fake_script_wait(script, 0, 1);         one step is answered
 *       vm_free(...); fake_script_free(script);
 *
 * Threads
 *   The script that a thread made last is played by the machine that this
 *   thread makes; one machine per script. All other functions: any thread.
 *   Those that wait give up after FAKE_WAIT_S.
 *
 *   Breaking a limit of this file is a bug of the test: an assertion.
 */
#ifndef SM_HYPERVISOR_FAKE_FAKE_H
#define SM_HYPERVISOR_FAKE_FAKE_H

#include "hypervisor/hv.h"

enum {
    FAKE_VCPUS_MAX = 8,
    FAKE_STEPS_MAX = 64, /* per vcpu                    */
    FAKE_DATA_MAX = 32,  /* bytes of one access         */
    FAKE_WIRES_MAX = 32, /* ioeventfds; irqfds: per gsi */
    FAKE_MSIS_MAX = 64,  /* further ones are counted    */
    FAKE_GPA_BITS = 46,
    FAKE_WAIT_S = 20
};

/* What the pretended host lacks, and where it fails. Zero: nothing. */
struct fake_options {
    bool no_irqfd;
    bool no_ioeventfd;
    bool no_user_ioapic;
    bool fail_vcpu_new; /* of id (failing_vcpu), with SM_EIO */
    uint32_t failing_vcpu;
};

/* One step of a vcpu. */
struct fake_step {
    /* As the run loop will see it, but for the pointers in it. */
    struct hv_exit exit;
    /* < 0: hv_vcpu_run() fails with this SM_E*, in place of an exit. */
    int fails;
    /* A write of what the vcpu's last read got, in place of (data). */
    bool echo;
    /* Writes: what the guest writes. Reads, once answered: what it got. An
     * MSR has 8 bytes. */
    uint8_t data[FAKE_DATA_MAX];
    bool refused;  /* HV_EXIT_MSR: the run loop refused    */
    bool signaled; /* an ioeventfd took it: it was no exit */
    bool answered; /* the vcpu went on after it            */
};

/* Steps as values; (v) is what a write writes, little-endian. */
#define FAKE_BYTE(v, n) ((uint8_t)((uint64_t)(v) >> 8 * (n)))
#define FAKE_BYTES(v)                                                          \
    {                                                                          \
        FAKE_BYTE(v, 0), FAKE_BYTE(v, 1), FAKE_BYTE(v, 2), FAKE_BYTE(v, 3),    \
            FAKE_BYTE(v, 4), FAKE_BYTE(v, 5), FAKE_BYTE(v, 6), FAKE_BYTE(v, 7) \
    }
#define FAKE_PIO_WRITE(p, s, v)                                                \
    ((struct fake_step){.exit = {.kind = HV_EXIT_PIO,                          \
                                 .pio = {.count = 1,                           \
                                         .port = (p),                          \
                                         .size = (s),                          \
                                         .write = true}},                      \
                        .data = FAKE_BYTES(v)})
#define FAKE_PIO_READ(p, s)                                                    \
    ((struct fake_step){                                                       \
        .exit = {.kind = HV_EXIT_PIO,                                          \
                 .pio = {.count = 1, .port = (p), .size = (s)}}})
#define FAKE_MMIO_WRITE(a, s, v)                                               \
    ((struct fake_step){                                                       \
        .exit = {.kind = HV_EXIT_MMIO,                                         \
                 .mmio = {.at = GPA(a), .size = (s), .write = true}},          \
        .data = FAKE_BYTES(v)})
#define FAKE_MMIO_READ(a, s)                                                   \
    ((struct fake_step){                                                       \
        .exit = {.kind = HV_EXIT_MMIO, .mmio = {.at = GPA(a), .size = (s)}}})
#define FAKE_EXIT(k) ((struct fake_step){.exit = {.kind = (k)}})

struct fake_script;

/* NULL for (options): a host that has everything. NULL: out of memory. */
struct fake_script *fake_script_new(const struct fake_options *options);
/* No machine plays it any more. NULL is fine. */
void fake_script_free(struct fake_script *script);

/* Append to the script of (vcpu), also while it plays. */
void fake_script_add(struct fake_script *script, uint32_t vcpu,
                     const struct fake_step *step);
/* Wait until the first (count) steps of (vcpu) are answered. False: they were
 * not in time. */
bool fake_script_wait(struct fake_script *script, uint32_t vcpu,
                      unsigned count);
/* Wait until (vcpu) is in a run that has nothing to do. */
bool fake_script_wait_idle(struct fake_script *script, uint32_t vcpu);
/* Step (index) of (vcpu) as it is now. */
struct fake_step fake_script_step(struct fake_script *script, uint32_t vcpu,
                                  unsigned index);
/* How often the vcpu's run ended with HV_EXIT_KICKED, but for scripted ones. */
unsigned fake_script_kicks(struct fake_script *script, uint32_t vcpu);

/* ---- what the machine said; while it exists ---- */

/* Messages sent so far, by hv_msi_send() or by a rise of a routed line; the
 * first (max) of them are copied to (to), as far as they were kept. */
unsigned fake_msis(struct fake_script *script, struct hv_msi *to, unsigned max);
/* Wait until (count) were sent. */
bool fake_wait_msis(struct fake_script *script, unsigned count);
/* How often the line (gsi) rose, and whether it is high. */
unsigned fake_rises(struct fake_script *script, uint32_t gsi, bool *level);
/* The route of (gsi); false: masked. */
bool fake_route(struct fake_script *script, uint32_t gsi, struct hv_msi *ret);
/* An irqfd is attached to (gsi). */
bool fake_has_irqfd(struct fake_script *script, uint32_t gsi);
/* Wait until the irqfd of (gsi) is signaled, take the signal and send what
 * (gsi) is routed to. False: there is no irqfd, or no signal came in time. */
bool fake_irqfd_take(struct fake_script *script, uint32_t gsi);
/* A register of (vcpu), by name, while it exists and does not run: before
 * vm_run() or after fake_script_wait_idle(). False: no such vcpu or register.
 */
bool fake_reg(struct fake_script *script, uint32_t vcpu, struct hv_reg *reg);
/* How many ioeventfds are attached. */
unsigned fake_ioeventfds(struct fake_script *script);
/* Host memory behind guest memory; NULL: not mapped as a whole. */
void *fake_memory(struct fake_script *script, struct gpa at, uint64_t bytes);

extern const struct hv_ops hv_fake;

#endif
