/* snapshots.c: may a machine go on from this snapshot? See snapshots.h. */
#include "machine/snapshots.h"

#include "base/own.h"
#include "machine/storing.h"
#include "machine/template.h"
#include "platform/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
    DIGEST_LENGTH = 7 + 64, /* "sha256:..."  */
    DIGEST_ROOM = DIGEST_LENGTH + 2
};

int snapshots_describe(int kernel_fd, int initrd_fd, char **ret,
                       struct sm_error *err)
{
    char text[TEMPLATE_PROGRAMS_MAX];
    int rc = template_programs(kernel_fd, initrd_fd, text, err);

    if (rc)
        return rc;
    *ret = strdup(text);
    return *ret ? 0 : fail(err, SM_ENOMEM, "snapshot: out of memory");
}

int snapshots_architecture(char **ret, struct sm_error *err)
{
    struct utsname host;

    if (uname(&host) != 0)
        return fail_os(err, "snapshot: the host's architecture");
    *ret = strdup(host.machine);
    return *ret ? 0 : fail(err, SM_ENOMEM, "snapshot: out of memory");
}

/* ---- the programs here ---- */

struct programs {
    int kernel;
    int agent;
    char text[TEMPLATE_PROGRAMS_MAX];
};

static void programs_close(struct programs *programs)
{
    own_close(&programs->kernel);
    own_close(&programs->agent);
}

static int open_program(const char *folder, const char *name, int *ret,
                        struct sm_error *err)
{
    AUTO_FREE char *path = NULL;

    if (asprintf(&path, "%s%s%s", folder, folder[0] ? "/" : "", name) < 0) {
        path = NULL;
        return fail(err, SM_ENOMEM, "snapshot: out of memory");
    }
    *ret = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return *ret < 0 ? fail_os(err, "snapshot: %s", path) : 0;
}

static int open_programs(const struct machine_paths *paths, const char *kernel,
                         struct programs *ret, struct sm_error *err)
{
    int rc = open_program(kernel ? "" : paths->runtime_dir,
                          kernel ? kernel : "vmlinux", &ret->kernel, err);

    if (!rc)
        rc = open_program(paths->runtime_dir, "initramfs.cpio", &ret->agent,
                          err);
    return rc ? rc : template_programs(ret->kernel, ret->agent, ret->text, err);
}

/* ---- their digests ---- */

struct digests {
    char *kernel;
    char *agent;
};

static void digests_done(struct digests *digests)
{
    free(digests->kernel);
    free(digests->agent);
}

/* HOME/snapshots/.programs, in three lines: which files they were, and their
 * digests. Who cannot use it has only lost time. */
static char *memory_path(const struct machine_paths *paths)
{
    char *path;

    return asprintf(&path, "%s/snapshots/.programs", paths->home) < 0 ? NULL
                                                                      : path;
}

static bool recall(const struct machine_paths *paths, const char *programs,
                   struct digests *ret)
{
    AUTO_FREE char *path = memory_path(paths);
    AUTO_CLOSE int fd =
        path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    char text[TEMPLATE_PROGRAMS_MAX + 2 * DIGEST_ROOM] = "";
    size_t length = strlen(programs);
    char *kernel = text + length + 1;
    ssize_t count = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (count != (ssize_t)(length + 1 + 2 * (DIGEST_LENGTH + 1)) ||
        memcmp(text, programs, length) != 0 || text[length] != '\n' ||
        kernel[DIGEST_LENGTH] != '\n')
        return false;
    ret->kernel = strndup(kernel, DIGEST_LENGTH);
    ret->agent = strndup(kernel + DIGEST_LENGTH + 1, DIGEST_LENGTH);
    return ret->kernel && ret->agent;
}

static void remember(const struct machine_paths *paths, const char *programs,
                     const struct digests *digests)
{
    AUTO_FREE char *path = memory_path(paths);
    AUTO_FREE char *folder =
        path ? strndup(path, (size_t)(strrchr(path, '/') - path)) : NULL;
    struct file_fresh fresh = FILE_FRESH_NONE;

    if (folder && file_fresh_open(folder, &fresh, NULL) == 0 &&
        dprintf(fresh.fd, "%s\n%s\n%s\n", programs, digests->kernel,
                digests->agent) > 0)
        file_fresh_keep(&fresh, path, NULL);
    file_fresh_done(&fresh);
}

/* In the process that has a library for it. */
static int hash(const struct machine_paths *paths, int fd, char **ret,
                struct sm_error *err)
{
    const char *const words[] = {"digest", "--file=4", NULL};

    return storing_ask(
        paths, &(struct storing_request){.arguments = words, .file = fd}, ret,
        err);
}

/* On failure (ret) is fit for digests_done(). */
static int find_digests(const struct machine_paths *paths,
                        const struct programs *programs, struct digests *ret,
                        struct sm_error *err)
{
    int rc;

    if (recall(paths, programs->text, ret))
        return 0;
    digests_done(ret);
    *ret = (struct digests){0};
    rc = hash(paths, programs->kernel, &ret->kernel, err);
    if (!rc)
        rc = hash(paths, programs->agent, &ret->agent, err);
    if (!rc)
        remember(paths, programs->text, ret);
    return rc;
}

/* ---- */

static bool is_set(const char *text)
{
    return text && text[0];
}

int snapshots_note_digests(const struct machine_paths *paths,
                           const char *kernel, struct snapshot_origin *origin,
                           struct sm_error *err)
{
    AUTO(programs_close) struct programs programs = {-1, -1, ""};
    AUTO(digests_done) struct digests digests = {0};
    int rc;

    if (is_set(origin->kernel_digest) && is_set(origin->agent_digest))
        return 0;
    rc = open_programs(paths, kernel, &programs, err);
    if (rc)
        return rc;
    if (!origin->programs || strcmp(origin->programs, programs.text) != 0)
        return fail(err, SM_ENOTSUP,
                    "snapshot: guest kernel or agent were replaced since the "
                    "machine was started: nobody knows their digests any more");
    rc = find_digests(paths, &programs, &digests, err);
    if (rc)
        return rc;
    free(origin->kernel_digest);
    free(origin->agent_digest);
    origin->kernel_digest = own_take(digests.kernel);
    origin->agent_digest = own_take(digests.agent);
    return 0;
}

static int compare(const char *what, const char *wanted, const char *digest,
                   struct sm_error *err)
{
    return strcmp(digest, wanted) == 0
               ? 0
               : fail(err, SM_ENOTSUP,
                      "it was made with another %s: %.19s... in place of "
                      "%.19s...",
                      what, is_set(wanted) ? wanted : "an unknown one", digest);
}

static int check_digests(const struct machine_paths *paths,
                         const struct snapshot_origin *origin,
                         const struct programs *programs, struct sm_error *err)
{
    AUTO(digests_done) struct digests digests = {0};
    int rc = find_digests(paths, programs, &digests, err);

    if (!rc && !origin->own_kernel)
        rc =
            compare("guest kernel", origin->kernel_digest, digests.kernel, err);
    return rc ? rc : compare("agent", origin->agent_digest, digests.agent, err);
}

int snapshots_check(const struct machine_paths *paths, const char *name,
                    struct shelf_snapshot *snapshot, struct sm_error *err)
{
    AUTO(programs_close) struct programs programs = {-1, -1, ""};
    struct snapshot_origin *origin = &snapshot->manifest.origin;
    AUTO_FREE char *here = NULL;
    AUTO_FREE char *text = NULL;
    int rc = snapshots_architecture(&here, err);

    if (rc)
        return rc;
    if (strcmp(here, origin->architecture) != 0)
        return fail(err, SM_ENOTSUP,
                    "snapshot %s: is of a machine for %s: this host is %s",
                    name, origin->architecture, here);
    rc = open_programs(paths, NULL, &programs, err);
    if (rc || strcmp(origin->programs, programs.text) == 0)
        return rc;
    rc = check_digests(paths, origin, &programs, err);
    if (rc)
        return wrap(err, rc, "snapshot %s", name);
    /* What a kernel of its own was is not ours to say. */
    text = origin->own_kernel ? NULL : strdup(programs.text);
    if (text) {
        free(origin->programs);
        origin->programs = own_take(text);
        shelf_note_programs(paths->home, name, snapshot);
    }
    return 0;
}
