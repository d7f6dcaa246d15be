/* identity.c: what makes a machine a certain one; see identity.h.
 *
 * How it works
 *   Files that are the machine's and not the image's are written to the
 *   initramfs, which is memory and where nobody can reach them later, and
 *   bound over their paths: the disk keeps what it has there. They stay open:
 *   a clone writes its own into the same ones, so it does not matter what
 *   programs have done to paths and mounts meanwhile, and who has a file open
 *   or watches it sees the change.
 */
#include "identity.h"

#include "base/bytes.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/random.h>

/* A file of the machine's own. */
struct kept_file {
    struct kept_file *next;
    int fd;
    char path[];
};

int identity_open(struct identity *identity, struct sm_error *err)
{
    identity->initramfs = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return identity->initramfs < 0 ? fail_os(err, "initramfs") : 0;
}

/* random(4): RNDADDENTROPY credits the bytes, RNDRESEEDCRNG makes the
 * generator use them at once instead of in a minute. */
static int set_entropy(const uint8_t *entropy, size_t count,
                       struct sm_error *err)
{
    AUTO_CLOSE int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    _Alignas(struct rand_pool_info)
        uint8_t bytes[sizeof(struct rand_pool_info) + AGENT_ENTROPY_MAX];
    struct rand_pool_info *pool = (void *)bytes;

    pool->entropy_count = (int)count * 8;
    pool->buf_size = (int)count;
    memcpy(pool->buf, entropy, count);
    if (fd < 0 || ioctl(fd, RNDADDENTROPY, pool) || ioctl(fd, RNDRESEEDCRNG, 0))
        return fail_os(err, "entropy");
    explicit_bzero(bytes, sizeof bytes);
    return 0;
}

static int set_clock(uint64_t wall_ns, struct sm_error *err)
{
    struct timespec now = {.tv_sec = (time_t)(wall_ns / NS_PER_S),
                           .tv_nsec = (long)(wall_ns % NS_PER_S)};

    if (clock_settime(CLOCK_REALTIME, &now))
        return fail_os(err, "wall clock");
    return 0;
}

static int set_hostname(const char *name, struct sm_error *err)
{
    if (*name && sethostname(name, strlen(name)))
        return fail_os(err, "hostname %s", name);
    return 0;
}

int identity_renew(uint64_t wall_clock_ns, const uint8_t *entropy, size_t count,
                   const char *hostname, struct sm_error *err)
{
    int rc = set_entropy(entropy, count, err);

    if (!rc)
        rc = set_clock(wall_clock_ns, err);
    if (!rc)
        rc = set_hostname(hostname, err);
    return rc;
}

int identity_make_folders(const char *path, bool whole)
{
    AUTO_FREE char *part = strdup(path);

    if (!part) {
        errno = ENOMEM;
        return -1;
    }
    for (char *at = part + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(part, 0755) && errno != EEXIST)
            return -1;
        *at = '/';
    }
    return whole && mkdir(part, 0755) && errno != EEXIST ? -1 : 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t done = write(fd, bytes, count);

        if (done < 0 && errno != EINTR)
            return -1;
        if (done > 0) {
            bytes += done;
            count -= (size_t)done;
        }
    }
    return 0;
}

/* Give the open file its content and rights. */
static int fill_file(int fd, const struct agent_file *file)
{
    return write_all(fd, file->bytes, file->count) ||
                   (file->uid | file->gid &&
                    fchown(fd, file->uid, file->gid)) ||
                   fchmod(fd, (mode_t)file->mode)
               ? -1
               : 0;
}

/* A file in memory, as something that can be bound elsewhere. */
static int memory_file(struct identity *identity)
{
    char name[16];

    snprintf(name, sizeof name, "file-%u", identity->last_number++);
    return openat(identity->initramfs, name,
                  O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

/* The path must lead to some file. A link to nowhere, as systemd's images have
 * at /etc/resolv.conf, gives way to a plain one. */
static int make_file(const char *path)
{
    int fd;

    if (access(path, F_OK) == 0)
        return 0;
    if (identity_make_folders(path, false))
        return -1;
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 && errno == ENOENT && unlink(path) == 0)
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static struct kept_file *find_kept(const struct identity *identity,
                                   const char *path)
{
    struct kept_file *file = identity->files;

    while (file && strcmp(file->path, path) != 0)
        file = file->next;
    return file;
}

/* Remember the file; it owns (fd) then. */
static int keep(struct identity *identity, const char *path, int fd)
{
    size_t size = strlen(path) + 1;
    struct kept_file *file = malloc(sizeof *file + size);

    if (!file)
        return -1;
    file->next = identity->files;
    file->fd = fd;
    memcpy(file->path, path, size);
    identity->files = file;
    return 0;
}

static int bind_file(struct identity *identity, const struct agent_file *file,
                     struct sm_error *err)
{
    const struct kept_file *kept = find_kept(identity, file->path);
    AUTO_CLOSE int fd = -1;
    char source[32];

    if (kept) {
        if (lseek(kept->fd, 0, SEEK_SET) || ftruncate(kept->fd, 0) ||
            fill_file(kept->fd, file))
            return fail_os(err, "file %s", file->path);
        return 0;
    }
    fd = memory_file(identity);
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    if (fd < 0 || fill_file(fd, file) || make_file(file->path) ||
        mount(source, file->path, NULL, MS_BIND, NULL) ||
        keep(identity, file->path, fd))
        return fail_os(err, "file %s", file->path);
    own_take_fd(&fd);
    return 0;
}

static int write_file(const struct agent_file *file, struct sm_error *err)
{
    AUTO_CLOSE int fd = -1;

    if (identity_make_folders(file->path, false))
        return fail_os(err, "file %s", file->path);
    fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || fill_file(fd, file))
        return fail_os(err, "file %s", file->path);
    return 0;
}

int identity_place_files(struct identity *identity,
                         const struct agent_file *files, uint32_t count,
                         struct sm_error *err)
{
    int rc = 0;

    for (uint32_t i = 0; !rc && i < count; i++)
        rc = files[i].flags & AGENT_FILE_BIND
                 ? bind_file(identity, &files[i], err)
                 : write_file(&files[i], err);
    return rc;
}

static bool is_zero(const uint8_t id[16])
{
    static const uint8_t zero[16];

    return memcmp(id, zero, sizeof zero) == 0;
}

/* (id) in digits and a newline; (dashed): as a UUID, 8-4-4-4-12. Returns how
 * many characters these are. */
static size_t print_id(char to[48], const uint8_t id[16], bool dashed)
{
    size_t count = 0;

    for (unsigned i = 0; i < 16; i++) {
        bool dash = dashed && (i == 4 || i == 6 || i == 8 || i == 10);

        count += (size_t)snprintf(to + count, 48 - count, "%s%02x",
                                  dash ? "-" : "", id[i]);
    }
    to[count++] = '\n';
    return count;
}

/* Bound over what a clone would share. */
static int bind_id(struct identity *identity, const char *path,
                   const uint8_t id[16], bool dashed, struct sm_error *err)
{
    char text[48];
    const struct agent_file file = {
        .path = path,
        .mode = 0444,
        .bytes = (const uint8_t *)text,
        .count = print_id(text, id, dashed),
    };

    if (is_zero(id) || access(path, F_OK))
        return 0;
    return bind_file(identity, &file, err);
}

int identity_place_ids(struct identity *identity, const uint8_t machine_id[16],
                       const uint8_t boot_id[16], struct sm_error *err)
{
    int rc = bind_id(identity, "/etc/machine-id", machine_id, false, err);

    if (!rc)
        rc = bind_id(identity, "/proc/sys/kernel/random/boot_id", boot_id, true,
                     err);
    return rc;
}

int identity_tell(struct identity *identity, const uint8_t *generation,
                  struct sm_error *err)
{
    uint8_t own[16];
    char text[48];
    size_t count;

    if (!generation && getrandom(own, sizeof own, 0) != sizeof own)
        return fail_os(err, "%s", IDENTITY_NOTICE);
    count = print_id(text, generation ? generation : own, false);
    if (identity->notice < 0 &&
        identity_make_folders(IDENTITY_NOTICE, false) == 0)
        identity->notice =
            open(IDENTITY_NOTICE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
    /* In one piece and of the same length: nobody reads half of it. */
    if (identity->notice < 0 ||
        pwrite(identity->notice, text, count, 0) != (ssize_t)count)
        return fail_os(err, "%s", IDENTITY_NOTICE);
    return 0;
}
