/* files.c: a tree into a machine, work on it there, and out again.
 *
 *     example_files REFERENCE FROM TO
 *
 * Copies the folder FROM of this host into a machine, has a command there make
 * a list of its files, reads that, and copies the folder to TO.
 */
#include "host.h"

static int copy_in(struct sm_machine *machine, const char *from,
                   struct sm_error *err)
{
    struct sm_copy_config config;
    uint64_t bytes;
    int rc;

    sm_copy_config_init(&config);
    config.from = from;
    config.to_machine = machine;
    config.to = "/work";
    rc = sm_copy(&config, &bytes, err);
    if (!rc)
        printf("in: %llu bytes\n", (unsigned long long)bytes);
    return rc;
}

static int copy_out(struct sm_machine *machine, const char *to,
                    struct sm_error *err)
{
    struct sm_copy_config config;

    sm_copy_config_init(&config);
    config.from_machine = machine;
    config.from = "/work";
    config.to = to;
    return sm_copy(&config, NULL, err);
}

static int work(struct sm_machine *machine, struct sm_error *err)
{
    static const char *const argv[] = {"sh", "-c",
                                       "cd /work && find . | sort >list", NULL};
    struct sm_exec_config command;
    struct sm_exit_status status;
    struct sm_exec *exec;
    int rc;

    sm_exec_config_init(&command);
    command.argv = argv;
    command.user = "0"; /* whose all is that was copied */
    rc = sm_exec_new(machine, &command, &exec, err);
    if (rc)
        return rc;
    rc = sm_exec_wait(exec, 0, &status, err);
    sm_exec_free(exec);
    if (!rc)
        printf("status %d\n", sm_exit_code(&status));
    return rc;
}

/* One file, as bytes. */
static int show(struct sm_machine *machine, const char *path,
                struct sm_error *err)
{
    struct sm_file_config config;
    struct sm_exit_status status;
    struct sm_file_stat stat;
    struct sm_exec *exec;
    char bytes[4096];
    int64_t count;
    int rc = sm_file_stat(machine, path, 0, &stat, err);

    if (rc)
        return rc;
    printf("%s: %llu bytes, mode %o\n", path, (unsigned long long)stat.bytes,
           stat.mode & 07777);
    sm_file_config_init(&config);
    config.work = SM_FILE_READ;
    config.path = path;
    rc = sm_file_open(machine, &config, &exec, err);
    if (rc)
        return rc;
    do {
        count = sm_exec_read(exec, 1, bytes, sizeof bytes, 0, err);
        if (count > 0)
            fwrite(bytes, 1, (size_t)count, stdout);
    } while (count > 0);
    rc = count < 0 ? (int)count : sm_exec_wait(exec, 0, &status, err);
    sm_exec_free(exec);
    return rc;
}

int main(int argc, char **argv)
{
    struct sm_host *host = NULL;
    struct sm_image *image = NULL;
    struct sm_machine *machine = NULL;
    struct sm_error err;
    int rc;

    if (argc < 4)
        return fprintf(stderr, "which image, from where, where to?\n"), 125;
    rc = open_image(argv[1], &host, &image, &err);
    if (!rc)
        rc = sm_machine_new(host, image, NULL, &machine, &err);
    if (!rc)
        rc = sm_machine_start(machine, 30000, &err);
    if (!rc)
        rc = copy_in(machine, argv[2], &err);
    if (!rc)
        rc = work(machine, &err);
    if (!rc)
        rc = show(machine, "/work/list", &err);
    if (!rc)
        rc = copy_out(machine, argv[3], &err);
    sm_machine_free(machine);
    sm_image_free(image);
    sm_host_free(host);
    return finish(rc, &err);
}
