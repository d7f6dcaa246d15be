/* timeouts.c: three ways to bound what takes too long.
 *
 *     example_timeouts REFERENCE
 *
 * A wait that gives up and leaves the command alone; a command that is killed
 * with all that it started when its time is over; a machine that is stopped in
 * order.
 */
#include "host.h"

static int run(struct sm_machine *machine, struct sm_error *err)
{
    static const char *const argv[] = {"sh", "-c", "sleep 1000 & sleep 1000",
                                       NULL};
    struct sm_exec_config command;
    struct sm_exit_status status;
    struct sm_machine_end end;
    struct sm_exec *exec;
    int rc;

    sm_exec_config_init(&command);
    command.argv = argv;
    command.timeout_ms = 1500;
    rc = sm_exec_new(machine, &command, &exec, err);
    if (rc)
        return rc;
    rc = sm_exec_wait(exec, 100, &status, err);
    printf("after 100 ms: %s\n", sm_strerror(rc));
    rc = sm_exec_wait(exec, 0, &status, err);
    if (!rc)
        printf("after its 1500 ms: signal %d\n", status.signal);
    sm_exec_free(exec);
    if (!rc)
        rc = sm_machine_stop(machine, 1000, err);
    if (!rc)
        rc = sm_machine_wait(machine, SM_NOWAIT, &end, err);
    if (!rc)
        printf("stopped: %s\n", end.error.message);
    return rc;
}

int main(int argc, char **argv)
{
    struct sm_host *host = NULL;
    struct sm_image *image = NULL;
    struct sm_machine *machine = NULL;
    struct sm_error err;
    int rc = open_image(argc > 1 ? argv[1] : "", &host, &image, &err);

    if (!rc)
        rc = sm_machine_new(host, image, NULL, &machine, &err);
    if (!rc)
        rc = sm_machine_start(machine, 30000, &err);
    if (!rc)
        rc = run(machine, &err);
    sm_machine_free(machine);
    sm_image_free(image);
    sm_host_free(host);
    return finish(rc, &err);
}
