/* template.c: what templates there are; see template.h. */
#include "machine/template.h"

#include "base/own.h"

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

int template_programs(int kernel_fd, int initrd_fd,
                      char to[TEMPLATE_PROGRAMS_MAX], struct sm_error *err)
{
    char files[2][128];
    struct stat st;

    if (fstat(kernel_fd, &st) != 0)
        return fail_os(err, "guest kernel");
    describe(files[0], sizeof files[0], "kernel", &st);
    if (fstat(initrd_fd, &st) != 0)
        return fail_os(err, "guest agent");
    describe(files[1], sizeof files[1], "agent", &st);
    snprintf(to, TEMPLATE_PROGRAMS_MAX, "%s, %s", files[0], files[1]);
    return 0;
}

int template_key_make(const struct machine_paths *paths, uint64_t memory_bytes,
                      uint32_t vcpus, int kernel_fd, int initrd_fd,
                      struct template_key *ret, struct sm_error *err)
{
    AUTO_FREE char *worker = NULL;
    char programs[TEMPLATE_PROGRAMS_MAX];
    char program[128];
    struct utsname host;
    struct stat st;
    int rc = template_programs(kernel_fd, initrd_fd, programs, err);

    if (rc)
        return wrap(err, rc, "template");
    if (asprintf(&worker, "%s/supermachine-vmm", paths->runtime_dir) < 0) {
        worker = NULL;
        return fail(err, SM_ENOMEM, "template: out of memory");
    }
    if (stat(worker, &st) != 0)
        return fail_os(err, "template: %s", worker);
    describe(program, sizeof program, "worker", &st);
    if (uname(&host) != 0)
        return fail_os(err, "template: name of the host's kernel");
    ret->memory_bytes = memory_bytes;
    ret->vcpus = vcpus;
    snprintf(ret->label, sizeof ret->label,
             "template %d, %s, %s, memory %llu, vcpus %u, host %s %s %s",
             TEMPLATE_VERSION, programs, program,
             (unsigned long long)memory_bytes, vcpus, host.sysname,
             host.release, host.version);
    snprintf(ret->name, sizeof ret->name, "%016llx",
             (unsigned long long)hash(ret->label));
    return 0;
}

int template_path(const struct machine_paths *paths, const char *name,
                  const char *ending, char **ret, struct sm_error *err)
{
    if (asprintf(ret, "%s/templates%s%s%s", paths->home, name[0] ? "/" : "",
                 name, ending) >= 0)
        return 0;
    *ret = NULL;
    return fail(err, SM_ENOMEM, "template: out of memory");
}

static int open_one(const struct machine_paths *paths,
                    const struct template_key *key, const char *ending)
{
    AUTO_FREE char *path = NULL;

    if (template_path(paths, key->name, ending, &path, NULL) != 0)
        return -1;
    return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

int template_open(const struct machine_paths *paths,
                  const struct template_key *key, int *ret_fd, int *ret_hot,
                  struct sm_error *err)
{
    int fd = open_one(paths, key, "");

    if (fd < 0)
        return fail_os(err, "template %s", key->name);
    /* When it was last used: see sweep() of the maker. */
    futimens(fd, NULL);
    *ret_fd = fd;
    *ret_hot = open_one(paths, key, ".hot");
    return 0;
}

int template_hot_open(const struct machine_paths *paths, struct file_fresh *ret,
                      struct sm_error *err)
{
    AUTO_FREE char *path = NULL;
    int rc = template_path(paths, "", "", &path, err);

    return rc ? rc : file_fresh_open(path, ret, err);
}

void template_hot_keep(const struct machine_paths *paths,
                       const struct template_key *key, struct file_fresh *fresh)
{
    AUTO_FREE char *path = NULL;

    if (template_path(paths, key->name, ".hot", &path, NULL) == 0)
        file_fresh_keep(fresh, path, NULL);
}

static void drop_one(const struct machine_paths *paths,
                     const struct template_key *key, const char *ending)
{
    AUTO_FREE char *path = NULL;

    if (template_path(paths, key->name, ending, &path, NULL) == 0)
        unlink(path);
}

void template_drop(const struct machine_paths *paths,
                   const struct template_key *key)
{
    drop_one(paths, key, "");
    drop_one(paths, key, ".hot");
}
