/* many.c: ten machines on one thread, driven by poll().
 *
 *     example_many REFERENCE
 *
 * Each machine runs a command that prints its number; what it prints is
 * gathered as bytes. Nothing but poll() ever waits.
 */
#include "host.h"

#include <poll.h>

enum { MACHINES = 10, TEXT_BYTES = 64 };

struct one {
    struct sm_machine *machine;
    struct sm_exec *exec;
    char text[TEXT_BYTES]; /* what the command printed */
    size_t count;
    int done;
};

static int start(struct sm_host *host, const struct sm_image *image, int number,
                 struct one *one, struct sm_error *err)
{
    char variable[32];
    const char *const env[] = {variable, NULL};
    const char *const argv[] = {"sh", "-c",
                                "echo machine $NUMBER; exit $NUMBER", NULL};
    struct sm_machine_config config;
    struct sm_exec_config command;
    int rc;

    snprintf(variable, sizeof variable, "NUMBER=%d", number);
    sm_machine_config_init(&config);
    config.memory_bytes = 2 * SM_MEMORY_MIN;
    sm_exec_config_init(&command);
    command.argv = argv;
    command.env = env;
    command.stdout_fd = SM_BYTES;
    rc = sm_machine_new(host, image, &config, &one->machine, err);
    if (!rc)
        rc = sm_exec_new(one->machine, &command, &one->exec, err);
    if (!rc)
        rc = sm_machine_start(one->machine, SM_NOWAIT, err);
    return rc;
}

/* Take what there is, and look for the end. */
static int serve(struct one *one, struct sm_error *err)
{
    struct sm_exit_status status;
    int64_t count;
    int rc;

    sm_machine_dispatch(one->machine);
    /* What there is no room for is read all the same: else the command waits.
     */
    do {
        char rest[TEXT_BYTES];
        size_t room = TEXT_BYTES - one->count;

        count = sm_exec_read(one->exec, 1, room ? one->text + one->count : rest,
                             room ? room : sizeof rest, SM_NOWAIT, err);
        if (count > 0 && room)
            one->count += (size_t)count;
    } while (count > 0);
    if (count < 0 && count != SM_ETIMEOUT)
        return (int)count;
    rc = sm_exec_wait(one->exec, SM_NOWAIT, &status, err);
    if (rc == SM_ETIMEOUT)
        return 0;
    if (rc)
        return rc;
    printf("%.*s", (int)one->count, one->text);
    printf("status %d\n", sm_exit_code(&status));
    one->done = 1;
    return 0;
}

static int drive(struct one *all, struct sm_error *err)
{
    struct pollfd wait[MACHINES] = {{0}};
    int left = MACHINES;

    for (int i = 0; i < MACHINES; i++) {
        wait[i].events = POLLIN;
        wait[i].fd = sm_machine_fd(all[i].machine, err);
        if (wait[i].fd < 0)
            return wait[i].fd;
    }
    while (left > 0) {
        if (poll(wait, MACHINES, -1) < 0)
            continue;
        for (int i = 0; i < MACHINES; i++) {
            int rc = wait[i].revents ? serve(&all[i], err) : 0;

            if (rc)
                return rc;
            if (all[i].done && wait[i].fd >= 0) {
                wait[i].fd = -1;
                left--;
            }
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct one all[MACHINES];
    struct sm_host *host = NULL;
    struct sm_image *image = NULL;
    struct sm_error err;
    int rc = open_image(argc > 1 ? argv[1] : "", &host, &image, &err);

    for (int i = 0; i < MACHINES && !rc; i++)
        rc = start(host, image, i, &all[i], &err);
    if (!rc)
        rc = drive(all, &err);
    for (int i = 0; i < MACHINES; i++) {
        sm_exec_free(all[i].exec);
        sm_machine_free(all[i].machine);
    }
    sm_image_free(image);
    sm_host_free(host);
    return finish(rc, &err);
}
