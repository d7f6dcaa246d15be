/* template.c: what templates there are; see template.h. */
#include "machine/template.h"

#include "base/own.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Changes with everything that a template may not survive and that is no file
 * of its own. */
enum { TEMPLATE_VERSION = 1 };

/* A file as it is now: another content makes another key. */
static void describe(char *to, size_t capacity, const char *what,
                     const struct stat *st)
{
    snprintf(to, capacity, "%s %llu:%llu %llu %lld.%09ld", what,
             (unsigned long long)st->st_dev, (unsigned long long)st->st_ino,
             (unsigned long long)st->st_size, (long long)st->st_mtim.tv_sec,
             st->st_mtim.tv_nsec);
}

/* FNV-1a, 64 bits. The label itself is in the state and compared there. */
static uint64_t hash(const char *text)
{
    uint64_t value = UINT64_C(0xcbf29ce484222325);

    for (; *text; text++)
        value = (value ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return value;
}

int template_key_make(const struct machine_paths *paths, uint64_t memory_bytes,
                      uint32_t vcpus, int kernel_fd, int initrd_fd,
                      struct template_key *ret, struct sm_error *err)
{
    AUTO_FREE char *worker = NULL;
    char files[3][128];
    struct utsname host;
    struct stat st;

    if (asprintf(&worker, "%s/supermachine-vmm", paths->runtime_dir) < 0) {
        worker = NULL;
        return fail(err, SM_ENOMEM, "template: out of memory");
    }
    if (fstat(kernel_fd, &st) != 0)
        return fail_os(err, "template: guest kernel");
    describe(files[0], sizeof files[0], "kernel", &st);
    if (fstat(initrd_fd, &st) != 0)
        return fail_os(err, "template: guest agent");
    describe(files[1], sizeof files[1], "agent", &st);
    if (stat(worker, &st) != 0)
        return fail_os(err, "template: %s", worker);
    describe(files[2], sizeof files[2], "worker", &st);
    if (uname(&host) != 0)
        return fail_os(err, "template: name of the host's kernel");
    ret->memory_bytes = memory_bytes;
    ret->vcpus = vcpus;
    snprintf(ret->label, sizeof ret->label,
             "template %d, %s, %s, %s, memory %llu, vcpus %u, host %s %s %s",
             TEMPLATE_VERSION, files[0], files[1], files[2],
             (unsigned long long)memory_bytes, vcpus, host.sysname,
             host.release, host.version);
    snprintf(ret->name, sizeof ret->name, "%016llx",
             (unsigned long long)hash(ret->label));
    return 0;
}

static int path_of(const struct machine_paths *paths,
                   const struct template_key *key, char **ret,
                   struct sm_error *err)
{
    if (asprintf(ret, "%s/templates/%s", paths->home, key->name) >= 0)
        return 0;
    *ret = NULL;
    return fail(err, SM_ENOMEM, "template: out of memory");
}

int template_open(const struct machine_paths *paths,
                  const struct template_key *key, int *ret_state_fd,
                  int *ret_memory_fd, struct sm_error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int folder = -1;
    AUTO_CLOSE int state = -1;
    AUTO_CLOSE int memory = -1;
    int rc = path_of(paths, key, &path, err);

    if (rc)
        return rc;
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0)
        state = openat(folder, "state", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (state >= 0)
        memory = openat(folder, "memory", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (memory < 0)
        return fail_os(err, "template %s", key->name);
    /* When it was last used: see template_sweep(). */
    futimens(folder, NULL);
    *ret_state_fd = own_take_fd(&state);
    *ret_memory_fd = own_take_fd(&memory);
    return 0;
}

void template_drop(const struct machine_paths *paths,
                   const struct template_key *key)
{
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int folder = -1;

    if (path_of(paths, key, &path, NULL))
        return;
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return;
    /* Without its state it is no template, whatever comes between. */
    unlinkat(folder, "state", 0);
    unlinkat(folder, "memory", 0);
    rmdir(path);
}
