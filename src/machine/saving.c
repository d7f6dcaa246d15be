/* saving.c: a machine that runs is captured; see machine.h. */
#include "machine/machine.h"

int machine_capture(struct machine *machine,
                    const struct machine_capture *config,
                    struct shelf_snapshot *ret,
                    struct machine_captured *figures, struct sm_error *err)
{
    (void)machine;
    (void)config;
    (void)ret;
    (void)figures;
    return fail(err, SM_ENOTSUP, "this build cannot capture machines");
}
