/* setup.c: SETUP: a bare machine becomes a certain one; see setup.h.
 *
 * How it works
 *   The agent lives in the initramfs, which is memory. The root disk is
 *   mounted on a folder there, /dev, /proc and /sys move into it, and then it
 *   is moved over / and becomes the root. From there on every path is the
 *   image's, symbolic links included, and no care for links that lead out of
 *   the image is needed.
 *
 *   A machine that comes out of a template was booted with a disk of another
 *   size, and its kernel may learn of the change after we hear of SETUP: the
 *   disk is waited for, by the kernel's uevents.
 *
 *   Files that are the machine's and not the image's are written to the
 *   initramfs before, where nobody can reach them later, and bound over their
 *   paths: the disk keeps what it has there.
 */
#include "setup.h"

#include "base/bytes.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/netlink.h>
#include <linux/random.h>

_Static_assert((int)AGENT_MOUNT_RDONLY == (int)MS_RDONLY,
               "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_NOSUID == (int)MS_NOSUID,
               "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_NODEV == (int)MS_NODEV,
               "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_NOEXEC == (int)MS_NOEXEC,
               "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_NOATIME == (int)MS_NOATIME,
               "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_BIND == (int)MS_BIND, "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_REC == (int)MS_REC, "flags are mount(2)\'s");

#define NEW_ROOT "/root"

enum {
    DISK_TIMEOUT_S = 10,
    UEVENTS_OF_KERNEL = 1 /* multicast group of NETLINK_KOBJECT_UEVENT */
};

/* random(4): RNDADDENTROPY credits the bytes, RNDRESEEDCRNG makes the
 * generator use them at once instead of in a minute. */
static int set_entropy(const struct agent_setup *setup, struct sm_error *err)
{
    AUTO_CLOSE int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    _Alignas(struct rand_pool_info)
        uint8_t bytes[sizeof(struct rand_pool_info) + AGENT_ENTROPY_MAX];
    struct rand_pool_info *pool = (void *)bytes;

    pool->entropy_count = (int)setup->entropy_count * 8;
    pool->buf_size = (int)setup->entropy_count;
    memcpy(pool->buf, setup->entropy, setup->entropy_count);
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

/* mkdir -p of the folder that (path) is in, or with (whole) of (path). */
static int make_folders(const char *path, bool whole)
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

/* Move the mounts at /name into the new root. */
static int move_into_root(const char *name, struct sm_error *err)
{
    char target[64];

    snprintf(target, sizeof target, "%s%s", NEW_ROOT, name);
    /* EROFS and the like show at the mount. */
    mkdir(target, 0755);
    if (mount(name, target, NULL, MS_MOVE, NULL))
        return fail_os(err, "root: the image needs a folder %s", name);
    return 0;
}

static bool disk_is(const char *path, uint64_t bytes)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t found;

    return fd >= 0 && ioctl(fd, BLKGETSIZE64, &found) == 0 && found == bytes;
}

/* The kernel tells of every disk that changes its size (resize uevent). */
static int await_disk(const char *path, uint64_t bytes, struct sm_error *err)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK,
                                       .nl_groups = UEVENTS_OF_KERNEL};
    const struct timeval patience = {.tv_sec = DISK_TIMEOUT_S};
    AUTO_CLOSE int fd = -1;
    char event[4096];

    if (!bytes || disk_is(path, bytes))
        return 0;
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
        bind(fd, (const struct sockaddr *)&kernel, sizeof kernel))
        return fail_os(err, "root: wait for %s", path);
    /* It may have changed before the kernel knew that we listen. */
    while (!disk_is(path, bytes))
        if (recv(fd, event, sizeof event, 0) < 0 && errno != EINTR &&
            errno != ENOBUFS)
            return fail_os(err, "root: %s does not become %llu bytes", path,
                           (unsigned long long)bytes);
    return 0;
}

static int enter_root(const struct agent_mount *root, uint64_t disk_bytes,
                      struct sm_error *err)
{
    static const char *const moved[] = {"/dev", "/proc", "/sys"};
    int rc;

    if (!root->source[0])
        return 0;
    rc = await_disk(root->source, disk_bytes, err);
    if (rc)
        return rc;
    if (mkdir(NEW_ROOT, 0755) && errno != EEXIST)
        return fail_os(err, "root: %s", NEW_ROOT);
    if (mount(root->source, NEW_ROOT, root->fstype, root->flags,
              root->data[0] ? root->data : NULL))
        return fail_os(err, "root: mount %s (%s)", root->source, root->fstype);
    for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
        rc = move_into_root(moved[i], err);
        if (rc)
            return rc;
    }
    if (chdir(NEW_ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) ||
        chroot(".") || chdir("/"))
        return fail_os(err, "root: change to %s", root->source);
    return 0;
}

/* A bind mount of a file needs a file below, everything else a folder. */
static int make_target(const struct agent_mount *wanted)
{
    struct stat st;
    int fd;

    if (stat(wanted->target, &st) == 0)
        return 0;
    if (!(wanted->flags & MS_BIND) || stat(wanted->source, &st) ||
        S_ISDIR(st.st_mode))
        return make_folders(wanted->target, true);
    if (make_folders(wanted->target, false))
        return -1;
    fd = open(wanted->target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static int mount_one(const struct agent_mount *wanted, struct sm_error *err)
{
    const char *data = wanted->data[0] ? wanted->data : NULL;
    unsigned long flags = (unsigned long)wanted->flags;
    unsigned long later = flags & ~(unsigned long)(MS_BIND | MS_REC);

    if (make_target(wanted) ||
        mount(wanted->source, wanted->target, wanted->fstype, flags, data))
        return fail_os(err, "mount %s on %s", wanted->source, wanted->target);
    /* The first call of a bind mount heeds no other flag (mount(2)). */
    if (flags & MS_BIND && later &&
        mount(NULL, wanted->target, NULL, MS_BIND | MS_REMOUNT | later, NULL))
        return fail_os(err, "mount flags of %s", wanted->target);
    return 0;
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

/* An unnamed file in memory, as something that can be bound elsewhere. */
static int memory_file(int initramfs, unsigned number)
{
    char name[16];

    snprintf(name, sizeof name, "file-%u", number);
    return openat(initramfs, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
                  0600);
}

/* The path must lead to some file. A link to nowhere, as systemd's images have
 * at /etc/resolv.conf, gives way to a plain one. */
static int make_file(const char *path)
{
    int fd;

    if (access(path, F_OK) == 0)
        return 0;
    if (make_folders(path, false))
        return -1;
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 && errno == ENOENT && unlink(path) == 0)
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static int bind_file(int initramfs, unsigned number,
                     const struct agent_file *file, struct sm_error *err)
{
    AUTO_CLOSE int fd = memory_file(initramfs, number);
    char source[32];

    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    if (fd < 0 || fill_file(fd, file) || make_file(file->path) ||
        mount(source, file->path, NULL, MS_BIND, NULL))
        return fail_os(err, "file %s", file->path);
    return 0;
}

static int write_file(const struct agent_file *file, struct sm_error *err)
{
    AUTO_CLOSE int fd = -1;

    if (make_folders(file->path, false))
        return fail_os(err, "file %s", file->path);
    fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || fill_file(fd, file))
        return fail_os(err, "file %s", file->path);
    return 0;
}

static bool is_zero(const uint8_t id[16])
{
    static const uint8_t zero[16];

    return memcmp(id, zero, sizeof zero) == 0;
}

/* The machine's own identity, bound over what a clone would share. (dashed):
 * as a UUID, 8-4-4-4-12. */
static int bind_id(int initramfs, unsigned number, const char *path,
                   const uint8_t id[16], bool dashed, struct sm_error *err)
{
    char text[48];
    struct agent_file file = {
        .path = path, .mode = 0444, .bytes = (const uint8_t *)text};

    if (is_zero(id) || access(path, F_OK))
        return 0;
    for (unsigned i = 0; i < 16; i++) {
        bool dash = dashed && (i == 4 || i == 6 || i == 8 || i == 10);

        file.count +=
            (size_t)snprintf(text + file.count, sizeof text - file.count,
                             "%s%02x", dash ? "-" : "", id[i]);
    }
    text[file.count++] = '\n';
    return bind_file(initramfs, number, &file, err);
}

static int place_files(int initramfs, const struct agent_setup *setup,
                       struct sm_error *err)
{
    unsigned number = 0;
    int rc = bind_id(initramfs, number++, "/etc/machine-id", setup->machine_id,
                     false, err);

    if (!rc)
        rc = bind_id(initramfs, number++, "/proc/sys/kernel/random/boot_id",
                     setup->boot_id, true, err);
    for (uint32_t i = 0; !rc && i < setup->file_count; i++) {
        const struct agent_file *file = &setup->files[i];

        if (file->flags & AGENT_FILE_BIND)
            rc = bind_file(initramfs, number++, file, err);
        else
            rc = write_file(file, err);
    }
    return rc;
}

int setup_apply(const struct agent_setup *setup, struct sm_error *err)
{
    AUTO_CLOSE int initramfs = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = initramfs < 0 ? fail_os(err, "initramfs") : 0;

    if (!rc)
        rc = set_entropy(setup, err);
    if (!rc)
        rc = set_clock(setup->wall_clock_ns, err);
    if (!rc)
        rc = set_hostname(setup->hostname, err);
    if (!rc)
        rc = enter_root(&setup->root, setup->root_bytes, err);
    for (uint32_t i = 0; !rc && i < setup->mount_count; i++)
        rc = mount_one(&setup->mounts[i], err);
    if (!rc)
        rc = place_files(initramfs, setup, err);
    return rc ? wrap(err, rc, "set up the machine") : 0;
}
