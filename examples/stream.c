/* stream.c: talk with a command through bytes, without descriptors.
 *
 *     example_stream REFERENCE
 *
 * `sort -n` gets numbers, is told that these are all, and gives them back.
 */
#include "host.h"

#include <string.h>

static int write_all(struct sm_exec *exec, const char *text,
                     struct sm_error *err)
{
    size_t left = strlen(text);

    while (left > 0) {
        int64_t taken = sm_exec_write(exec, text, left, 0, err);

        if (taken < 0)
            return (int)taken;
        text += taken;
        left -= (size_t)taken;
    }
    return 0;
}

static int converse(struct sm_exec *exec, struct sm_error *err)
{
    struct sm_exit_status status;
    char bytes[256];
    int64_t count;
    int rc = write_all(exec, "10\n9\n100\n1\n", err);

    if (rc)
        return rc;
    sm_exec_write_end(exec);
    do {
        count = sm_exec_read(exec, 1, bytes, sizeof bytes, 0, err);
        if (count > 0)
            fwrite(bytes, 1, (size_t)count, stdout);
    } while (count > 0);
    if (count < 0)
        return (int)count;
    rc = sm_exec_wait(exec, 0, &status, err);
    if (!rc)
        printf("status %d\n", sm_exit_code(&status));
    return rc;
}

int main(int argc, char **argv)
{
    static const char *const sort[] = {"sort", "-n", NULL};
    struct sm_host *host = NULL;
    struct sm_image *image = NULL;
    struct sm_machine *machine = NULL;
    struct sm_exec *exec = NULL;
    struct sm_exec_config command;
    struct sm_error err;
    int rc = open_image(argc > 1 ? argv[1] : "", &host, &image, &err);

    sm_exec_config_init(&command);
    command.argv = sort;
    command.stdin_fd = SM_BYTES;
    command.stdout_fd = SM_BYTES;
    if (!rc)
        rc = sm_machine_new(host, image, NULL, &machine, &err);
    if (!rc)
        rc = sm_exec_new(machine, &command, &exec, &err);
    if (!rc)
        rc = sm_machine_start(machine, 0, &err);
    if (!rc)
        rc = converse(exec, &err);
    sm_exec_free(exec);
    sm_machine_free(machine);
    sm_image_free(image);
    sm_host_free(host);
    return finish(rc, &err);
}
