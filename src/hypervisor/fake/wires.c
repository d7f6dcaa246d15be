/* wires.c: interrupts and wires of the fake, both sides; see fake.h. */
#include "hypervisor/fake/inside.h"

#include "base/bytes.h"

#include <assert.h>
#include <poll.h>
#include <string.h>

/* ---- what the machine calls ---- */

/* With the lock held. */
static void send_msi(struct fake_script *script, const struct hv_msi *msi)
{
    if (script->msis < FAKE_MSIS_MAX)
        script->msi[script->msis] = *msi;
    script->msis++;
    pthread_cond_broadcast(&script->changed);
}

int fake_msi_send(struct hv_vm *vm, const struct hv_msi *msi)
{
    struct fake_script *script = fake_script_of(vm);

    pthread_mutex_lock(&script->lock);
    send_msi(script, msi);
    pthread_mutex_unlock(&script->lock);
    return 0;
}

int fake_irq_set(struct hv_vm *vm, uint32_t gsi, bool level)
{
    struct fake_script *script = fake_script_of(vm);
    struct fake_route *route = &script->route[gsi];

    pthread_mutex_lock(&script->lock);
    if (level && !route->level) {
        route->rises++;
        if (route->live)
            send_msi(script, &route->msi);
    }
    route->level = level;
    pthread_cond_broadcast(&script->changed);
    pthread_mutex_unlock(&script->lock);
    return 0;
}

int fake_route_set(struct hv_vm *vm, uint32_t gsi, const struct hv_msi *msi,
                   struct sm_error *err)
{
    struct fake_script *script = fake_script_of(vm);
    struct fake_route *route = &script->route[gsi];

    if (!vm->caps.user_ioapic)
        return fail(err, SM_ENOTSUP, "fake: the IOAPIC is not ours");
    pthread_mutex_lock(&script->lock);
    route->live = msi != NULL;
    if (msi)
        route->msi = *msi;
    pthread_mutex_unlock(&script->lock);
    return 0;
}

int fake_irqfd_attach(struct hv_vm *vm, uint32_t gsi,
                      const struct notifier *notifier, struct sm_error *err)
{
    struct fake_script *script = fake_script_of(vm);
    bool taken;

    if (!vm->caps.irqfd)
        return fail(err, SM_ENOTSUP, "fake: no irqfds");
    pthread_mutex_lock(&script->lock);
    taken = script->route[gsi].irqfd >= 0;
    if (!taken)
        script->route[gsi].irqfd = notifier->fd;
    pthread_mutex_unlock(&script->lock);
    return taken ? fail(err, SM_EBUSY, "irqfd of gsi %u: there is one", gsi)
                 : 0;
}

int fake_irqfd_detach(struct hv_vm *vm, uint32_t gsi,
                      const struct notifier *notifier, struct sm_error *err)
{
    struct fake_script *script = fake_script_of(vm);
    bool there;

    pthread_mutex_lock(&script->lock);
    there = notifier->fd >= 0 && script->route[gsi].irqfd == notifier->fd;
    if (there)
        script->route[gsi].irqfd = -1;
    pthread_mutex_unlock(&script->lock);
    return there ? 0 : fail(err, SM_ENOENT, "irqfd of gsi %u: not there", gsi);
}

static bool same_match(const struct hv_io_match *a, const struct hv_io_match *b)
{
    return a->pio == b->pio && a->size == b->size &&
           a->has_value == b->has_value && a->at == b->at &&
           (!a->has_value || a->value == b->value);
}

/* The place of (match), or of nothing; NULL: there is none. */
static struct fake_ioeventfd *find_wire(struct fake_script *script,
                                        const struct hv_io_match *match)
{
    for (unsigned i = 0; i < FAKE_WIRES_MAX; i++) {
        struct fake_ioeventfd *wire = &script->ioeventfd[i];

        if (match ? wire->fd >= 0 && same_match(&wire->match, match)
                  : wire->fd < 0)
            return wire;
    }
    return NULL;
}

int fake_ioeventfd_attach(struct hv_vm *vm, const struct hv_io_match *match,
                          const struct notifier *notifier, struct sm_error *err)
{
    struct fake_script *script = fake_script_of(vm);
    struct fake_ioeventfd *place;
    bool taken;

    if (!vm->caps.ioeventfd)
        return fail(err, SM_ENOTSUP, "fake: no ioeventfds");
    pthread_mutex_lock(&script->lock);
    taken = find_wire(script, match) != NULL;
    place = find_wire(script, NULL);
    assert(place);
    if (!taken)
        *place = (struct fake_ioeventfd){.match = *match, .fd = notifier->fd};
    pthread_mutex_unlock(&script->lock);
    return taken ? fail(err, SM_EEXIST, "ioeventfd at %#llx: there is one",
                        (unsigned long long)match->at)
                 : 0;
}

int fake_ioeventfd_detach(struct hv_vm *vm, const struct hv_io_match *match,
                          const struct notifier *notifier, struct sm_error *err)
{
    struct fake_script *script = fake_script_of(vm);
    struct fake_ioeventfd *wire;
    bool there;

    pthread_mutex_lock(&script->lock);
    wire = find_wire(script, match);
    there = wire && wire->fd == notifier->fd;
    if (there)
        wire->fd = -1;
    pthread_mutex_unlock(&script->lock);
    return there ? 0
                 : fail(err, SM_ENOENT, "ioeventfd at %#llx: not there",
                        (unsigned long long)match->at);
}

/* ---- what the guest does ---- */

/* (step) is one write of (bytes) to (at); false: it is something else. */
static bool is_write(const struct fake_step *step, bool *pio, uint64_t *at,
                     uint8_t *bytes)
{
    const struct hv_exit *exit = &step->exit;

    if (exit->kind == HV_EXIT_PIO) {
        *pio = true;
        *at = exit->pio.port;
        *bytes = exit->pio.size;
        return exit->pio.write && exit->pio.count == 1;
    }
    *pio = false;
    *at = exit->mmio.at.v;
    *bytes = exit->mmio.size;
    return exit->kind == HV_EXIT_MMIO && exit->mmio.write;
}

bool fake_ioeventfd_signal(struct fake_script *script,
                           const struct fake_step *step)
{
    uint64_t value;
    uint64_t at;
    uint8_t bytes;
    bool pio;

    if (step->fails || !is_write(step, &pio, &at, &bytes))
        return false;
    value = load_le64(step->data);
    if (bytes < sizeof value)
        value &= (UINT64_C(1) << 8 * bytes) - 1;
    for (unsigned i = 0; i < FAKE_WIRES_MAX; i++) {
        const struct fake_ioeventfd *wire = &script->ioeventfd[i];
        struct notifier notifier = {.fd = wire->fd};

        if (wire->fd < 0 || wire->match.pio != pio || wire->match.at != at ||
            (wire->match.size && wire->match.size != bytes) ||
            (wire->match.has_value && wire->match.value != value))
            continue;
        notifier_signal(&notifier);
        return true;
    }
    return false;
}

/* ---- what the test asks ---- */

unsigned fake_msis(struct fake_script *script, struct hv_msi *to, unsigned max)
{
    unsigned sent;

    pthread_mutex_lock(&script->lock);
    sent = script->msis;
    for (unsigned i = 0; i < max && i < sent && i < FAKE_MSIS_MAX; i++)
        to[i] = script->msi[i];
    pthread_mutex_unlock(&script->lock);
    return sent;
}

bool fake_wait_msis(struct fake_script *script, unsigned count)
{
    struct timespec deadline = fake_deadline();
    bool there;

    pthread_mutex_lock(&script->lock);
    while (script->msis < count)
        if (!fake_changed(script, &deadline))
            break;
    there = script->msis >= count;
    pthread_mutex_unlock(&script->lock);
    return there;
}

unsigned fake_rises(struct fake_script *script, uint32_t gsi, bool *level)
{
    unsigned rises;

    assert(gsi < HV_X86_GSIS);
    pthread_mutex_lock(&script->lock);
    rises = script->route[gsi].rises;
    *level = script->route[gsi].level;
    pthread_mutex_unlock(&script->lock);
    return rises;
}

bool fake_route(struct fake_script *script, uint32_t gsi, struct hv_msi *ret)
{
    bool live;

    assert(gsi < HV_X86_GSIS);
    pthread_mutex_lock(&script->lock);
    live = script->route[gsi].live;
    *ret = script->route[gsi].msi;
    pthread_mutex_unlock(&script->lock);
    return live;
}

static int irqfd_of(struct fake_script *script, uint32_t gsi)
{
    int fd;

    assert(gsi < HV_X86_GSIS);
    pthread_mutex_lock(&script->lock);
    fd = script->route[gsi].irqfd;
    pthread_mutex_unlock(&script->lock);
    return fd;
}

bool fake_has_irqfd(struct fake_script *script, uint32_t gsi)
{
    return irqfd_of(script, gsi) >= 0;
}

bool fake_irqfd_take(struct fake_script *script, uint32_t gsi)
{
    struct notifier notifier = {.fd = irqfd_of(script, gsi)};
    struct pollfd signaled = {.fd = notifier.fd, .events = POLLIN};

    if (notifier.fd < 0 || poll(&signaled, 1, FAKE_WAIT_S * 1000) != 1 ||
        !notifier_clear(&notifier))
        return false;
    pthread_mutex_lock(&script->lock);
    if (script->route[gsi].live)
        send_msi(script, &script->route[gsi].msi);
    pthread_mutex_unlock(&script->lock);
    return true;
}

unsigned fake_ioeventfds(struct fake_script *script)
{
    unsigned count = 0;

    pthread_mutex_lock(&script->lock);
    for (unsigned i = 0; i < FAKE_WIRES_MAX; i++)
        count += script->ioeventfd[i].fd >= 0;
    pthread_mutex_unlock(&script->lock);
    return count;
}
