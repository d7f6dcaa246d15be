/* warm.c: a machine is prepared once, and others begin where it was.
 *
 *     example_warm REFERENCE
 *
 * A command makes a table, a file tells what to do with it; this is kept as the
 * snapshot "example-warm". Two machines of it then do that, each on a disk of
 * its own.
 */
#include "host.h"

#include <string.h>

static const char snapshot[] = "example-warm";

static const char program[] = "#!/bin/sh\n"
                              "echo \"$1 of $(wc -l </work/table) lines\"\n"
                              "echo \"$1\" >>/work/table\n";

/* A command to its end, as root; what it prints is on our stdout. (file): what
 * it finds, or NULL. */
static int run(struct sm_machine *machine, const char *const *argv,
               const struct sm_staged_file *file, struct sm_error *err)
{
    struct sm_exec_config command;
    struct sm_exit_status status;
    struct sm_exec *exec;
    int rc;

    sm_exec_config_init(&command);
    command.argv = argv;
    command.user = "0";
    command.files = file;
    command.file_count = file != NULL;
    rc = sm_exec_new(machine, &command, &exec, err);
    if (rc)
        return rc;
    /* It starts with a machine that was not started yet. */
    if (sm_machine_state(machine) == SM_MACHINE_NEW)
        rc = sm_machine_start(machine, 0, err);
    if (!rc)
        rc = sm_exec_wait(exec, 0, &status, err);
    sm_exec_free(exec);
    if (!rc && sm_exit_code(&status))
        printf("status %d\n", sm_exit_code(&status));
    return rc;
}

static int prepare(struct sm_host *host, const struct sm_image *image,
                   struct sm_error *err)
{
    static const char *const argv[] = {"sh", "-c", "seq 1000 >/work/table",
                                       NULL};
    const struct sm_staged_file file = {
        .path = "/work/do",
        .bytes = program,
        .count = strlen(program),
        .mode = 0755,
    };
    struct sm_snapshot_config config;
    struct sm_machine *machine;
    int rc = sm_machine_new(host, image, NULL, &machine, err);

    if (rc)
        return rc;
    rc = run(machine, argv, &file, err);
    sm_snapshot_config_init(&config);
    config.name = snapshot;
    config.flags = SM_SNAPSHOT_REPLACE;
    if (!rc)
        rc = sm_snapshot_create(machine, &config, NULL, err);
    sm_machine_free(machine);
    return rc;
}

static int go_on(struct sm_host *host, const char *name, struct sm_error *err)
{
    const char *const argv[] = {"/work/do", name, NULL};
    struct sm_machine_config config;
    struct sm_machine *machine;
    int rc;

    sm_machine_config_init(&config);
    config.snapshot = snapshot;
    rc = sm_machine_new(host, NULL, &config, &machine, err);
    if (rc)
        return rc;
    rc = run(machine, argv, NULL, err);
    sm_machine_free(machine);
    return rc;
}

int main(int argc, char **argv)
{
    struct sm_host *host = NULL;
    struct sm_image *image = NULL;
    struct sm_error err;
    int rc = open_image(argc > 1 ? argv[1] : "", &host, &image, &err);

    if (!rc)
        rc = prepare(host, image, &err);
    if (!rc)
        rc = go_on(host, "first", &err);
    if (!rc)
        rc = go_on(host, "second", &err);
    if (!rc)
        rc =
            sm_store_remove(host, "snapshot:example-warm", 0, NULL, NULL, &err);
    sm_image_free(image);
    sm_host_free(host);
    return finish(rc, &err);
}
