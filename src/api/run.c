/* run.c: sm_run(), the short way. */
#include "base/error.h"

/* Everything from the image on, with (host). */
static int run_on(struct sm_host *host, const char *reference,
                  const struct sm_exec_config *command,
                  struct sm_exit_status *ret, struct sm_error *err)
{
    struct sm_image *image = NULL;
    struct sm_machine *machine = NULL;
    struct sm_exec *exec = NULL;
    int rc = sm_image_open(host, reference, NULL, NULL, &image, err);

    if (!rc)
        rc = sm_machine_new(host, image, NULL, &machine, err);
    if (!rc)
        rc = sm_exec_new(machine, command, &exec, err);
    if (!rc)
        rc = sm_machine_start(machine, 0, err);
    if (!rc)
        rc = sm_exec_wait(exec, 0, ret, err);
    sm_exec_free(exec);
    sm_machine_free(machine);
    sm_image_free(image);
    return rc;
}

int sm_run(const char *reference, const struct sm_exec_config *command,
           struct sm_exit_status *ret, struct sm_error *err)
{
    struct sm_host_config config;
    struct sm_host *host = NULL;
    char storage[4096];
    int rc;

    sm_host_config_init(&config);
    rc = sm_host_config_from_environment(&config, storage, sizeof storage, err);
    if (!rc)
        rc = sm_host_new(&config, &host, err);
    if (!rc)
        rc = run_on(host, reference, command, ret, err);
    sm_host_free(host);
    return rc;
}
