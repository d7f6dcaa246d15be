/* host.c: the host object that every verb begins with; see host.h. */
#include "host.h"

#include "text.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "PREFIX/libexec/supermachine" for the program "PREFIX/bin/supermachine", so
 * that an installation may be moved; false if this is no installation. */
static bool own_runtime(char *to, size_t capacity)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    if (length <= 0)
        return false;
    self[length] = '\0';
    for (int i = 0; i < 2; i++) {
        slash = strrchr(self, '/');
        if (!slash)
            return false;
        *slash = '\0';
    }
    return (size_t)snprintf(to, capacity, "%s/libexec/supermachine", self) <
               capacity &&
           access(to, X_OK) == 0;
}

int cli_host_open(struct sm_host **ret, struct sm_error *err)
{
    struct sm_host_config config;
    char storage[4096];
    char runtime[PATH_MAX + 32];
    int rc;

    sm_host_config_init(&config);
    rc = sm_host_config_from_environment(&config, storage, sizeof storage, err);
    if (rc)
        return rc;
    if (!config.runtime_dir && own_runtime(runtime, sizeof runtime))
        config.runtime_dir = runtime;
    return sm_host_new(&config, ret, err);
}

int cli_home(char *to, struct sm_error *err)
{
    struct sm_host_config config;
    char storage[4096];
    int rc;

    sm_host_config_init(&config);
    rc = sm_host_config_from_environment(&config, storage, sizeof storage, err);
    if (!rc && snprintf(to, HOME_MAX, "%s", config.home) >= HOME_MAX)
        rc = text_fail(err, SM_ELIMIT, "the home folder's path is too long");
    return rc;
}
