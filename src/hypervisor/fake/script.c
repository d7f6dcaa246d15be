/* script.c: the script, written by a test and played by vcpus; see fake.h. */
#include "hypervisor/fake/inside.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A table of functions has no room for a context, so the script comes to its
 * machine by the thread that makes both. */
static _Thread_local struct fake_script *mine;

struct fake_script *fake_script_mine(void)
{
    return mine;
}

struct fake_script *fake_script_new(const struct fake_options *options)
{
    struct fake_script *script = calloc(1, sizeof *script);
    pthread_condattr_t attributes;

    if (!script)
        return NULL;
    if (options)
        script->options = *options;
    pthread_mutex_init(&script->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&script->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    for (unsigned i = 0; i < HV_X86_GSIS; i++)
        script->route[i].irqfd = -1;
    for (unsigned i = 0; i < FAKE_WIRES_MAX; i++)
        script->ioeventfd[i].fd = -1;
    mine = script;
    return script;
}

void fake_script_free(struct fake_script *script)
{
    if (!script)
        return;
    assert(!script->vm);
    if (mine == script)
        mine = NULL;
    pthread_cond_destroy(&script->changed);
    pthread_mutex_destroy(&script->lock);
    free(script);
}

struct timespec fake_deadline(void)
{
    struct timespec deadline;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += FAKE_WAIT_S;
    return deadline;
}

bool fake_changed(struct fake_script *script, const struct timespec *deadline)
{
    return pthread_cond_timedwait(&script->changed, &script->lock, deadline) !=
           ETIMEDOUT;
}

/* ------------------------------------------------------ the test's side --- */

/* Bytes that go one way or the other at (exit). */
static size_t data_bytes(const struct hv_exit *exit)
{
    switch (exit->kind) {
    case HV_EXIT_PIO:
        return (size_t)exit->pio.size * exit->pio.count;
    case HV_EXIT_MMIO:
        return exit->mmio.size;
    case HV_EXIT_MSR:
        return sizeof *exit->msr.value;
    default:
        return 0;
    }
}

void fake_script_add(struct fake_script *script, uint32_t vcpu,
                     const struct fake_step *step)
{
    struct fake_part *part = &script->part[vcpu];

    assert(vcpu < FAKE_VCPUS_MAX && data_bytes(&step->exit) <= FAKE_DATA_MAX);
    pthread_mutex_lock(&script->lock);
    assert(part->count < FAKE_STEPS_MAX);
    part->step[part->count++] = *step;
    pthread_cond_broadcast(&script->changed);
    pthread_mutex_unlock(&script->lock);
}

bool fake_script_wait(struct fake_script *script, uint32_t vcpu, unsigned count)
{
    struct timespec deadline = fake_deadline();
    bool there;

    assert(vcpu < FAKE_VCPUS_MAX);
    pthread_mutex_lock(&script->lock);
    while (script->part[vcpu].answered < count)
        if (!fake_changed(script, &deadline))
            break;
    there = script->part[vcpu].answered >= count;
    pthread_mutex_unlock(&script->lock);
    return there;
}

/* A step or kick that it has not seen yet will end the idleness. */
static bool is_idle(const struct fake_part *part)
{
    return part->idle && part->next == part->count && !part->kicked;
}

bool fake_script_wait_idle(struct fake_script *script, uint32_t vcpu)
{
    struct timespec deadline = fake_deadline();
    bool idle;

    assert(vcpu < FAKE_VCPUS_MAX);
    pthread_mutex_lock(&script->lock);
    while (!is_idle(&script->part[vcpu]))
        if (!fake_changed(script, &deadline))
            break;
    idle = is_idle(&script->part[vcpu]);
    pthread_mutex_unlock(&script->lock);
    return idle;
}

struct fake_step fake_script_step(struct fake_script *script, uint32_t vcpu,
                                  unsigned index)
{
    struct fake_step step;

    assert(vcpu < FAKE_VCPUS_MAX);
    pthread_mutex_lock(&script->lock);
    assert(index < script->part[vcpu].count);
    step = script->part[vcpu].step[index];
    pthread_mutex_unlock(&script->lock);
    return step;
}

unsigned fake_script_kicks(struct fake_script *script, uint32_t vcpu)
{
    unsigned kicks;

    assert(vcpu < FAKE_VCPUS_MAX);
    pthread_mutex_lock(&script->lock);
    kicks = script->part[vcpu].kicks;
    pthread_mutex_unlock(&script->lock);
    return kicks;
}

/* ------------------------------------------------------ the vcpu's side --- */

static bool is_read(const struct hv_exit *exit)
{
    return (exit->kind == HV_EXIT_PIO && !exit->pio.write) ||
           (exit->kind == HV_EXIT_MMIO && !exit->mmio.write) ||
           (exit->kind == HV_EXIT_MSR && !exit->msr.write);
}

static void finish(struct fake_script *script, struct fake_part *part,
                   struct fake_step *step)
{
    step->answered = true;
    part->answered++;
    pthread_cond_broadcast(&script->changed);
}

/* What the run loop left behind is handed to the guest. */
static void hand_in(struct fake_script *script, struct fake_part *part)
{
    struct fake_step *step;

    if (!part->unfinished)
        return;
    part->unfinished = false;
    step = &part->step[part->next - 1];
    if (step->exit.kind == HV_EXIT_MSR) {
        memcpy(part->data, &part->msr, sizeof part->msr);
        step->refused = part->refuse;
    }
    if (is_read(&step->exit)) {
        memcpy(step->data, part->data, data_bytes(&step->exit));
        memcpy(part->last_read, step->data, sizeof part->last_read);
    }
    finish(script, part, step);
}

/* (step) as an exit. Its data is a copy: what the run loop does with a write's
 * is nobody's business. */
static void give(struct fake_part *part, const struct fake_step *step,
                 struct hv_exit *ret)
{
    *ret = step->exit;
    memcpy(part->data, step->data, sizeof part->data);
    if (is_read(&step->exit))
        memset(part->data, 0xff, sizeof part->data);
    memcpy(&part->msr, part->data, sizeof part->msr);
    part->refuse = false;
    if (ret->kind == HV_EXIT_PIO)
        ret->pio.data = part->data;
    if (ret->kind == HV_EXIT_MMIO)
        ret->mmio.data = part->data;
    if (ret->kind == HV_EXIT_MSR) {
        ret->msr.value = &part->msr;
        ret->msr.refuse = &part->refuse;
    }
    part->unfinished = true;
}

/* Play the next step. False: it was no exit. */
static bool play(struct fake_script *script, struct fake_part *part,
                 struct hv_exit *ret, int *rc)
{
    struct fake_step *step = &part->step[part->next++];

    if (step->echo)
        memcpy(step->data, part->last_read, sizeof step->data);
    if (fake_ioeventfd_signal(script, step)) {
        step->signaled = true;
        finish(script, part, step);
        return false;
    }
    *rc = step->fails;
    if (*rc)
        finish(script, part, step);
    else
        give(part, step, ret);
    return true;
}

int fake_vcpu_run(struct hv_vcpu *vcpu, struct hv_exit *ret,
                  struct sm_error *err)
{
    struct fake_script *script = fake_vcpu_of(vcpu)->script;
    struct fake_part *part = &script->part[vcpu->id];
    bool done = false;
    int rc = 0;

    *ret = (struct hv_exit){0};
    pthread_mutex_lock(&script->lock);
    hand_in(script, part);
    while (!done) {
        if (part->kicked) {
            part->kicked = false;
            part->kicks++;
            ret->kind = HV_EXIT_KICKED;
            done = true;
        } else if (part->next < part->count) {
            done = play(script, part, ret, &rc);
        } else {
            part->idle = true;
            pthread_cond_broadcast(&script->changed);
            pthread_cond_wait(&script->changed, &script->lock);
            part->idle = false;
        }
    }
    pthread_mutex_unlock(&script->lock);
    return rc ? fail(err, rc, "vcpu %u: its script says so", vcpu->id) : 0;
}

void fake_vcpu_kick(struct hv_vcpu *const *vcpus, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct fake_script *script = fake_vcpu_of(vcpus[i])->script;

        pthread_mutex_lock(&script->lock);
        script->part[vcpus[i]->id].kicked = true;
        pthread_cond_broadcast(&script->changed);
        pthread_mutex_unlock(&script->lock);
    }
}
