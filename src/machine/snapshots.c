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

/* In the process that has a library for it. */
static int hash(const struct machine_paths *paths, int fd, char **ret,
                struct sm_error *err)
{
    const char *const words[] = {"digest", "--file=4", NULL};

    return storing_ask(
        paths, &(struct storing_request){.arguments = words, .file = fd}, ret,
        err);
}

/* ---- digests that are known ---- */

/* HOME/templates/KEY.digests, of the files whose description has that key:
 * the description, and both digests, a line each. Hashing takes longer than all
 * else that a snapshot does. What is not a digest is as good as nothing; a file
 * that is lost is made again. */
enum { DIGESTS_BYTES_MAX = TEMPLATE_PROGRAMS_MAX + 256 };

static bool is_digest(const char *text)
{
    static const char prefix[] = "sha256:";

    return strncmp(text, prefix, sizeof prefix - 1) == 0 &&
           strspn(text + sizeof prefix - 1, "0123456789abcdef") == 64 &&
           text[sizeof prefix - 1 + 64] == '\0';
}

static int digests_path(const struct machine_paths *paths,
                        const struct programs *programs, char **ret,
                        struct sm_error *err)
{
    char name[TEMPLATE_NAME_MAX];

    template_name(programs->text, name);
    return template_path(paths, name, ".digests", ret, err);
}

static bool recall(const struct machine_paths *paths,
                   const struct programs *programs, char **kernel, char **agent)
{
    char text[DIGESTS_BYTES_MAX + 1];
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int fd = -1;
    char *line[3] = {NULL};
    char *rest = text;
    uint64_t bytes;

    if (digests_path(paths, programs, &path, NULL) != 0)
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || file_size(fd, &bytes, NULL) != 0 ||
        bytes > DIGESTS_BYTES_MAX ||
        file_read_at(fd, text, bytes, 0, NULL) != 0)
        return false;
    text[bytes] = '\0';
    for (int i = 0; i < 3; i++)
        line[i] = strsep(&rest, "\n");
    if (!line[2] || strcmp(line[0], programs->text) != 0 ||
        !is_digest(line[1]) || !is_digest(line[2]))
        return false;
    *kernel = strdup(line[1]);
    *agent = strdup(line[2]);
    return *kernel && *agent;
}

static void remember(const struct machine_paths *paths,
                     const struct programs *programs, const char *kernel,
                     const char *agent)
{
    AUTO_FREE char *folder = NULL;
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *text = NULL;
    struct file_fresh fresh;

    if (template_path(paths, "", "", &folder, NULL) != 0 ||
        digests_path(paths, programs, &path, NULL) != 0 ||
        folder_make(folder, NULL) != 0 ||
        file_fresh_open(folder, &fresh, NULL) != 0)
        return;
    if (asprintf(&text, "%s\n%s\n%s\n", programs->text, kernel, agent) < 0)
        text = NULL;
    if (text && file_write_at(fresh.fd, text, strlen(text), 0, NULL) == 0)
        file_fresh_keep(&fresh, path, NULL);
    file_fresh_done(&fresh);
}

static int find_digests(const struct machine_paths *paths,
                        const struct programs *programs, char **kernel,
                        char **agent, struct sm_error *err)
{
    int rc;

    if (recall(paths, programs, kernel, agent))
        return 0;
    free(own_take(*kernel));
    free(own_take(*agent));
    rc = hash(paths, programs->kernel, kernel, err);
    if (!rc)
        rc = hash(paths, programs->agent, agent, err);
    if (!rc)
        remember(paths, programs, *kernel, *agent);
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
    AUTO_FREE char *kernel_digest = NULL;
    AUTO_FREE char *agent_digest = NULL;
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
    rc = find_digests(paths, &programs, &kernel_digest, &agent_digest, err);
    if (rc)
        return rc;
    free(origin->kernel_digest);
    free(origin->agent_digest);
    origin->kernel_digest = own_take(kernel_digest);
    origin->agent_digest = own_take(agent_digest);
    return 0;
}

static int compare(const char *what, const char *wanted, const char *found,
                   struct sm_error *err)
{
    return strcmp(found, wanted) == 0
               ? 0
               : fail(err, SM_ENOTSUP,
                      "it was made with another %s: %.19s... in place of "
                      "%.19s...",
                      what, is_set(wanted) ? wanted : "an unknown one", found);
}

static int check_digests(const struct machine_paths *paths,
                         const struct snapshot_origin *origin,
                         const struct programs *programs, struct sm_error *err)
{
    AUTO_FREE char *kernel = NULL;
    AUTO_FREE char *agent = NULL;
    int rc = find_digests(paths, programs, &kernel, &agent, err);

    if (!rc && !origin->own_kernel)
        rc = compare("guest kernel", origin->kernel_digest, kernel, err);
    return rc ? rc : compare("agent", origin->agent_digest, agent, err);
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
