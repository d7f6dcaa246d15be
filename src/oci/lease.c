/* lease.c: leases and the gate; see lease.h. */
#include "oci/lease.h"

#include "platform/file.h"
#include "platform/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum {
    NAME_BYTES = 32,
    /* Of one lease: more than an image of OCI_LAYERS_MAX layers makes. */
    LEASE_BYTES_MAX = 4 << 20
};

struct lease {
    int home;
    int fd; /* locked */
    char name[NAME_BYTES];
    uint64_t bytes; /* that it has */
    struct digest_set held;
};

static int lock_file(int fd, int how, const char *name, struct sm_error *err)
{
    while (flock(fd, how) != 0) {
        if (errno == EWOULDBLOCK)
            return fail(err, SM_EBUSY, "%s: locked", name);
        if (errno != EINTR)
            return fail_os(err, "lock %s", name);
    }
    return 0;
}

int gate_lock(int home, bool exclusive, int *ret_fd, struct sm_error *err)
{
    AUTO_CLOSE int fd =
        openat(home, "gate", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc;

    if (fd < 0)
        return fail_os(err, "open the gate of the store");
    rc = lock_file(fd, exclusive ? LOCK_EX : LOCK_SH, "gate", err);
    if (!rc)
        *ret_fd = own_take_fd(&fd);
    return rc;
}

/* Through the gate, so that nobody sees it before it is locked. */
static int make_file(struct lease *lease, struct sm_error *err)
{
    AUTO_CLOSE int gate = -1;
    int rc = gate_lock(lease->home, false, &gate, err);

    if (rc)
        return rc;
    lease->fd = openat(lease->home, lease->name,
                       O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (lease->fd < 0)
        return fail_os(err, "create %s", lease->name);
    return lock_file(lease->fd, LOCK_EX | LOCK_NB, lease->name, err);
}

int lease_open(int home, struct lease **ret, struct sm_error *err)
{
    AUTO(lease_closep) struct lease *lease = calloc(1, sizeof *lease);
    uint64_t unique;
    int rc;

    if (!lease)
        return fail(err, SM_ENOMEM, "out of memory");
    lease->home = home;
    lease->fd = -1;
    rc = random_bytes(&unique, sizeof unique, err);
    if (rc)
        return rc;
    snprintf(lease->name, sizeof lease->name, "leases/%016llx",
             (unsigned long long)unique);
    rc = make_file(lease, err);
    if (!rc)
        *ret = own_take(lease);
    return rc;
}

void lease_close(struct lease *lease)
{
    if (!lease)
        return;
    if (lease->fd >= 0) {
        unlinkat(lease->home, lease->name, 0);
        close(lease->fd);
    }
    digest_set_done(&lease->held);
    free(lease);
}

int lease_add(struct lease *lease, const struct digest *digest,
              struct sm_error *err)
{
    AUTO_CLOSE int gate = -1;
    char line[DIGEST_TEXT_MAX + 1];
    size_t count;
    int rc;

    if (digest_set_has(&lease->held, digest))
        return 0;
    digest_text(digest, line);
    count = strlen(line);
    line[count++] = '\n';
    rc = gate_lock(lease->home, false, &gate, err);
    if (!rc)
        rc = file_write_at(lease->fd, line, count, lease->bytes, err);
    if (rc)
        return wrap(err, rc, "%s", lease->name);
    /* What could not be written whole is written over by the next one. */
    lease->bytes += count;
    return digest_set_add(&lease->held, digest, err);
}

/* Whole lines; what stands behind the last of them was never promised. */
static int parse_lines(char *text, struct digest_set *ret, struct sm_error *err)
{
    char *line = text;
    char *end;
    int rc = 0;

    for (; !rc && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        struct digest digest;

        *end = '\0';
        rc = digest_parse(line, &digest, err);
        if (!rc)
            rc = digest_set_add(ret, &digest, err);
    }
    return rc;
}

static int read_lease(int fd, struct digest_set *ret, struct sm_error *err)
{
    AUTO_FREE char *text = NULL;
    uint64_t bytes;
    int rc = file_size(fd, &bytes, err);

    if (rc)
        return rc;
    if (bytes > LEASE_BYTES_MAX)
        return fail(err, SM_ELIMIT, "has %llu bytes: at most %d",
                    (unsigned long long)bytes, LEASE_BYTES_MAX);
    text = calloc(1, (size_t)bytes + 1);
    if (!text)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = file_read_at(fd, text, (size_t)bytes, 0, err);
    return rc ? rc : parse_lines(text, ret, err);
}

static int gather_one(int folder, const char *name, struct digest_set *ret,
                      struct sm_error *err)
{
    AUTO_CLOSE int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    int rc;

    if (fd < 0)
        return errno == ENOENT ? 0 : fail_os(err, "open lease %s", name);
    if (lock_file(fd, LOCK_EX | LOCK_NB, name, NULL) == 0) {
        unlinkat(folder, name, 0);
        return 0;
    }
    rc = read_lease(fd, ret, err);
    return rc ? wrap(err, rc, "lease %s", name) : 0;
}

int lease_gather(int home, struct digest_set *ret, struct sm_error *err)
{
    AUTO_CLOSE int fd =
        openat(home, "leases", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int rc = 0;

    if (!folder)
        return fail_os(err, "open the leases of the store");
    own_take_fd(&fd);
    while (!rc && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            rc = gather_one(dirfd(folder), entry->d_name, ret, err);
    closedir(folder);
    return rc;
}
