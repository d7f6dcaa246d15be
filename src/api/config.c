/* config.c: config structs of other versions; see inside.h. */
#include "api/inside.h"

#include <string.h>

int config_copy(void *to, size_t size, const void *from, const char *name,
                struct sm_error *err)
{
    const unsigned char *bytes = from;
    size_t given;

    memcpy(&given, from, sizeof given);
    if (given < sizeof given)
        return fail(err, SM_EINVAL, "%s: size %zu: call its _init() first",
                    name, given);
    for (size_t i = size; i < given; i++)
        if (bytes[i])
            return fail(err, SM_EINVAL,
                        "%s: sets a field (byte %zu) that library %s does not "
                        "know",
                        name, i, sm_version());
    memcpy(to, from, given < size ? given : size);
    return 0;
}

void sm_host_config_init(struct sm_host_config *config)
{
    *config = (struct sm_host_config){.size = sizeof *config};
}

void sm_machine_config_init(struct sm_machine_config *config)
{
    *config = (struct sm_machine_config){.size = sizeof *config};
}

void sm_exec_config_init(struct sm_exec_config *config)
{
    *config = (struct sm_exec_config){
        .size = sizeof *config, .stdin_fd = -1, .stdout_fd = 1, .stderr_fd = 2};
}
