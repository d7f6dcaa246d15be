/* common.c: host, image, machine and command for tests; see common.h. */
#include "common.h"

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

struct sm_host *host;
struct sm_image *image;
struct sm_error err;

static int try_to_open(const char *reference)
{
    struct sm_host_config config;
    char storage[4096];
    int rc;

    sm_host_config_init(&config);
    rc =
        sm_host_config_from_environment(&config, storage, sizeof storage, &err);
    if (!rc)
        rc = sm_host_new(&config, &host, &err);
    return rc ? rc : sm_image_open(host, reference, NULL, NULL, &image, &err);
}

void open_image(const char *reference, unsigned limit_s)
{
    alarm(limit_s);
    if (try_to_open(reference)) {
        fprintf(stderr, "library: %s\n", err.message);
        exit(1);
    }
}

void close_image(void)
{
    sm_image_free(image);
    sm_host_free(host);
}

struct sm_machine *start(void)
{
    struct sm_machine *machine = NULL;

    if (sm_machine_new(host, image, NULL, &machine, &err) ||
        sm_machine_start(machine, 0, &err)) {
        printf("    start: %s\n", err.message);
        exit(1);
    }
    return machine;
}

struct sm_exec *shell(struct sm_machine *machine, const char *script)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct sm_exec_config config;
    struct sm_exec *exec = NULL;

    sm_exec_config_init(&config);
    config.argv = argv;
    config.stdin_fd = config.stdout_fd = config.stderr_fd = SM_BYTES;
    if (sm_exec_new(machine, &config, &exec, &err)) {
        printf("    exec: %s\n", err.message);
        exit(1);
    }
    return exec;
}

bool is_readable(int fd, int timeout_ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, timeout_ms) == 1;
}

int count_entries(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;

    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

void report(const char *name, bool good)
{
    printf("%s library/%s\n", good ? "ok" : "not ok", name);
    fflush(stdout);
}
