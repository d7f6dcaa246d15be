/* host_fake.c: the contract's suite on the fake: acts are a script. */
#include "contract.h"

#include "hypervisor/fake/fake.h"

static void begin(struct contract *contract)
{
    contract->own = fake_script_new(NULL);
    assert_non_null(contract->own);
}

static void end(struct contract *contract)
{
    fake_script_free(contract->own);
}

static struct fake_step step_of(const struct contract_act *act)
{
    struct fake_step step = {0};

    switch (act->kind) {
    case ACT_PIO_WRITE:
        return FAKE_PIO_WRITE((uint16_t)act->at, act->size, act->value);
    case ACT_PIO_READ:
        return FAKE_PIO_READ((uint16_t)act->at, act->size);
    case ACT_MMIO_WRITE:
        return FAKE_MMIO_WRITE(act->at, act->size, act->value);
    case ACT_MMIO_READ:
        return FAKE_MMIO_READ(act->at, act->size);
    case ACT_ECHO:
        step = FAKE_MMIO_WRITE(CONTRACT_ECHO, act->size, 0);
        step.echo = true;
        break;
    case ACT_HALT:
        return FAKE_EXIT(HV_EXIT_HALT);
    case ACT_SHUTDOWN:
        return FAKE_EXIT(HV_EXIT_SHUTDOWN);
    }
    return step;
}

static void act(struct contract *contract, const struct contract_act *acts,
                unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct fake_step step = step_of(&acts[i]);

        fake_script_add(contract->own, 0, &step);
    }
}

const struct contract_host contract_host = {
    .hv = &hv_fake, .begin = begin, .end = end, .act = act};
