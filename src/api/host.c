/* host.c: where images are kept and which programs are used. */
#include "api/inside.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* (strings) ends with NULL; it may be NULL. */
static void strings_free(char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++)
        free(strings[i]);
    free(strings);
}

struct machine_paths host_paths(const struct sm_host *host)
{
    return (struct machine_paths){.home = host->home,
                                  .runtime_dir = host->runtime_dir,
                                  .image_env = host->image_env};
}

/* (value)/(rest) into what is left of (storage). */
static int store(const char **field, char **storage, size_t *left,
                 const char *value, const char *rest, struct sm_error *err)
{
    int length = snprintf(*storage, *left, "%s%s", value, rest);

    if (length < 0 || (size_t)length >= *left)
        return fail(err, SM_ELIMIT, "environment: path too long: %.64s...",
                    value);
    *field = *storage;
    *storage += length + 1;
    *left -= (size_t)length + 1;
    return 0;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

static int find_home(struct sm_host_config *config, char **storage,
                     size_t *left, struct sm_error *err)
{
    const char *value;

    value = variable("SUPERMACHINE_HOME");
    if (value)
        return store(&config->home, storage, left, value, "", err);
    value = variable("XDG_DATA_HOME");
    if (value && value[0] == '/')
        return store(&config->home, storage, left, value, "/supermachine", err);
    value = variable("HOME");
    if (value)
        return store(&config->home, storage, left, value,
                     "/.local/share/supermachine", err);
    return fail(err, SM_ENOENT,
                "no folder for images: set SUPERMACHINE_HOME or HOME");
}

int sm_host_config_from_environment(struct sm_host_config *config,
                                    char *storage, size_t capacity,
                                    struct sm_error *err)
{
    const char *runtime = variable("SUPERMACHINE_RUNTIME_DIR");
    int rc = 0;

    if (!config->home)
        rc = find_home(config, &storage, &capacity, err);
    if (!rc && !config->runtime_dir && runtime)
        rc = store(&config->runtime_dir, &storage, &capacity, runtime, "", err);
    if (!rc && !config->environment)
        config->environment = (const char *const *)environ;
    return rc;
}

/* What image work may see: where credentials and certificates are, how to get
 * out (curl reads http_proxy in lower case only, for good reasons), and what
 * programs that keep credentials look for: keyrings, pass(1), the clouds'. */
static bool is_for_images(const char *variable)
{
    static const char *const names[] = {
        "HOME=",
        "DOCKER_CONFIG=",
        "SSL_CERT_FILE=",
        "SSL_CERT_DIR=",
        "http_proxy=",
        "https_proxy=",
        "HTTPS_PROXY=",
        "all_proxy=",
        "ALL_PROXY=",
        "no_proxy=",
        "NO_PROXY=",
        "PATH=",
        "USER=",
        "LOGNAME=",
        "LANG=",
        "TERM=",
        "DISPLAY=",
        "WAYLAND_DISPLAY=",
        "XAUTHORITY=",
        "XDG_RUNTIME_DIR=",
        "XDG_CONFIG_HOME=",
        "DBUS_SESSION_BUS_ADDRESS=",
        "GNUPGHOME=",
        "GPG_TTY=",
        "PASSWORD_STORE_",
        "AWS_",
        "AZURE_",
        "GOOGLE_",
        "CLOUDSDK_",
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* A copy of those of (given), which may be NULL; NULL if memory is out. */
static char **copy_environment(const char *const *given)
{
    size_t count = 0;
    size_t kept = 0;
    char **copy;

    while (given && given[count])
        count++;
    copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++) {
        if (!is_for_images(given[i]))
            continue;
        copy[kept] = strdup(given[i]);
        if (!copy[kept++]) {
            strings_free(copy);
            return NULL;
        }
    }
    return copy;
}

/* An absolute copy, so that a later chdir() changes nothing. */
static char *absolute(const char *path)
{
    AUTO_FREE char *folder = NULL;
    char *joined;

    if (path[0] == '/')
        return strdup(path);
    folder = getcwd(NULL, 0);
    if (!folder || asprintf(&joined, "%s/%s", folder, path) < 0)
        return NULL;
    return joined;
}

int sm_host_new(const struct sm_host_config *given, struct sm_host **ret,
                struct sm_error *err)
{
    struct sm_host_config config;
    struct sm_host *host;
    int rc;

    sm_host_config_init(&config);
    rc = config_copy(&config, sizeof config, given, "sm_host_config", err);
    if (rc)
        return rc;
    if (!config.home || !config.home[0])
        return fail(err, SM_EINVAL,
                    "sm_host_config: home is not set; "
                    "sm_host_config_from_environment() finds the usual one");
    rc = folder_make(config.home, err);
    if (rc)
        return rc;
    host = calloc(1, sizeof *host);
    if (!host)
        return fail(err, SM_ENOMEM, "host: out of memory");
    host->home = absolute(config.home);
    host->runtime_dir =
        absolute(config.runtime_dir ? config.runtime_dir : SM_RUNTIME_DIR);
    host->image_env = copy_environment(config.environment);
    if (!host->home || !host->runtime_dir || !host->image_env)
        rc = fail(err, SM_ENOMEM, "host: out of memory");
    else if (access(host->runtime_dir, X_OK) != 0)
        rc = fail_os(err, "runtime folder %s", host->runtime_dir);
    if (rc) {
        sm_host_free(host);
        return rc;
    }
    *ret = host;
    return 0;
}

void sm_host_free(struct sm_host *host)
{
    if (!host)
        return;
    free(host->home);
    free(host->runtime_dir);
    strings_free(host->image_env);
    free(host);
}
