/* resolved.c: records of resolved image references; see resolved.h. */
#include "proto/resolved.h"

#include "base/bytes.h"
#include "base/own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* "smir", then the version of the record. */
enum { RESOLVED_MAGIC = 0x72696d73, RESOLVED_VERSION = 1 };

/* File times come from the kernel's tick, at most 10 ms long on Linux. */
#define RACY_NS   (INT64_C(50) * 1000 * 1000)

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t fnv1a(uint64_t hash, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < count; i++)
        hash = (hash ^ at[i]) * FNV_PRIME;
    return hash;
}

static void write_request(struct buf *to, const struct image_request *request)
{
    wire_put_string(to, request->reference);
    wire_put_string(to, request->platform);
    wire_put_u64(to, request->disk_bytes);
}

/* NULL: any will do. */
static bool read_request(struct wire_reader *from,
                         const struct image_request *wanted)
{
    AUTO_FREE char *reference = wire_string(from);
    AUTO_FREE char *platform = wire_string(from);
    uint64_t disk_bytes = wire_u64(from);

    return wire_ok(from) &&
           (!wanted || (strcmp(reference, wanted->reference) == 0 &&
                        strcmp(platform, wanted->platform) == 0 &&
                        disk_bytes == wanted->disk_bytes));
}

/* HOME/resolved/HASH, or HOME/resolved for a NULL request. */
static char *record_path(const char *home, const struct image_request *request)
{
    struct buf path;

    buf_init(&path, 2 * 4096);
    buf_print(&path, "%s/resolved", home);
    if (request) {
        uint64_t hash = FNV_BASIS;
        uint8_t bytes[8];

        store_le64(bytes, request->disk_bytes);
        hash = fnv1a(hash, request->reference, strlen(request->reference) + 1);
        hash = fnv1a(hash, request->platform, strlen(request->platform) + 1);
        hash = fnv1a(hash, bytes, sizeof bytes);
        buf_print(&path, "/%016llx", (unsigned long long)hash);
    }
    return buf_take_string(&path);
}

static int64_t time_ns(struct timespec time)
{
    return (int64_t)time.tv_sec * (int64_t)NS_PER_S + time.tv_nsec;
}

static void identify(const struct stat *st, struct image_witness *ret)
{
    ret->dev = st->st_dev;
    ret->ino = st->st_ino;
    ret->bytes = (uint64_t)st->st_size;
    ret->mtime_ns = time_ns(st->st_mtim);
    ret->ctime_ns = time_ns(st->st_ctim);
}

int image_witness_add(struct image_witnesses *list, int fd, const char *path,
                      struct sm_error *err)
{
    struct image_witness *witness = &list->items[list->count];
    struct stat st;

    if (list->count == RESOLVED_WITNESS_MAX)
        return fail(err, SM_ELIMIT, "%s: more than %d files decide the image",
                    path, RESOLVED_WITNESS_MAX);
    if (fstat(fd, &st) != 0)
        return fail_os(err, "stat %s", path);
    identify(&st, witness);
    witness->path = strdup(path);
    if (!witness->path)
        return fail(err, SM_ENOMEM, "%s: out of memory", path);
    list->count++;
    return 0;
}

void image_witnesses_done(struct image_witnesses *list)
{
    for (unsigned i = 0; i < list->count; i++)
        free(list->items[i].path);
    *list = (struct image_witnesses){0};
}

int reference_absolute(const char *reference, const char *cwd, char **ret,
                       struct sm_error *err)
{
    static const char *const file_kinds[] = {
        "oci:", "oci-archive:", "docker-archive:", "dir:"};
    size_t kind = 0;
    struct buf path;

    for (size_t i = 0; i < ARRAY_LEN(file_kinds); i++)
        if (strncmp(reference, file_kinds[i], strlen(file_kinds[i])) == 0)
            kind = strlen(file_kinds[i]);
    buf_init(&path, 64 * KIB);
    if (kind && reference[kind] != '/') {
        if (!cwd)
            return fail(err, SM_EINVAL, "image %s: must be an absolute path",
                        reference);
        buf_print(&path, "%.*s%s/%s", (int)kind, reference,
                  strcmp(cwd, "/") == 0 ? "" : cwd, reference + kind);
    } else {
        buf_print(&path, "%s", reference);
    }
    *ret = buf_take_string(&path);
    return *ret ? 0 : fail(err, SM_ENOMEM, "image reference: out of memory");
}

static void write_witness(struct buf *to, const struct image_witness *witness)
{
    wire_put_string(to, witness->path);
    wire_put_u64(to, witness->dev);
    wire_put_u64(to, witness->ino);
    wire_put_u64(to, witness->bytes);
    wire_put_u64(to, (uint64_t)witness->mtime_ns);
    wire_put_u64(to, (uint64_t)witness->ctime_ns);
}

/* Read one witness and see whether its file is still the same. */
static bool witness_holds(struct wire_reader *from)
{
    AUTO_FREE char *path = wire_string(from);
    struct image_witness then;
    struct image_witness now;
    struct stat st;

    then.dev = wire_u64(from);
    then.ino = wire_u64(from);
    then.bytes = wire_u64(from);
    then.mtime_ns = (int64_t)wire_u64(from);
    then.ctime_ns = (int64_t)wire_u64(from);
    if (!wire_ok(from) || stat(path, &st) != 0)
        return false;
    identify(&st, &now);
    return now.dev == then.dev && now.ino == then.ino &&
           now.bytes == then.bytes && now.mtime_ns == then.mtime_ns &&
           now.ctime_ns == then.ctime_ns;
}

/* The whole record file in memory of (to). */
static int read_record(const char *path, struct buf *to, struct sm_error *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return fail_os(err, "open %s", path);
    for (;;) {
        uint8_t *room = buf_room(to, 16 * KIB);
        ssize_t got = room ? read(fd, room, 16 * KIB) : -1;

        if (!room)
            return buf_refuse(to, err, path);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_os(err, "read %s", path);
        if (got == 0)
            return 0;
        buf_added(to, (size_t)got);
    }
}

/* NULL, or what makes the record useless. */
static const char *read_valid(struct wire_reader *from,
                              const struct image_request *request,
                              struct image_result *ret)
{
    uint8_t count;
    struct stat st;

    if (wire_u32(from) != RESOLVED_MAGIC || wire_u32(from) != RESOLVED_VERSION)
        return "damaged";
    if (!read_request(from, request))
        return "for another request";
    count = wire_u8(from);
    for (uint8_t i = 0; i < count; i++)
        if (!witness_holds(from))
            return "older than the image";
    if (!image_result_read(from, ret) || !wire_end(from) ||
        stat(ret->rootfs, &st) != 0)
        return "without its root file system";
    return NULL;
}

/* 0, SM_ENOENT or SM_ENOMEM. Something in *ret is the caller's in any case. */
static int parse_record(const char *path, const struct buf *record,
                        const struct image_request *request,
                        struct image_result *ret, struct sm_error *err)
{
    struct wire_reader from = {0};
    const char *why = "damaged";

    if (record->size >= 8 && fnv1a(FNV_BASIS, record->data, record->size - 8) ==
                                 load_le64(record->data + record->size - 8)) {
        wire_read(&from, record->data, record->size - 8);
        why = read_valid(&from, request, ret);
    }
    if (!why)
        return 0;
    if (from.no_memory)
        return fail(err, SM_ENOMEM, "%s: out of memory", path);
    return fail(err, SM_ENOENT, "%s is %s", path, why);
}

static int load_record(const char *path, const struct image_request *request,
                       struct image_result *ret, struct sm_error *err)
{
    AUTO(buf_done) struct buf record = {0};
    int rc;

    buf_init(&record, RESOLVED_FILE_MAX);
    rc = read_record(path, &record, err);
    if (!rc)
        rc = parse_record(path, &record, request, ret, err);
    if (!rc)
        return 0;
    image_result_done(ret);
    if (rc == SM_ENOMEM)
        return rc;
    if (err)
        err->code = SM_ENOENT;
    return SM_ENOENT;
}

int resolved_load(const char *home, const struct image_request *request,
                  struct image_result *ret, struct sm_error *err)
{
    AUTO_FREE char *path = record_path(home, request);
    int rc;

    *ret = (struct image_result){0};
    if (!path)
        return fail(err, SM_ENOMEM, "resolved image: out of memory");
    rc = load_record(path, request, ret, err);
    ret->reused = !rc;
    return rc;
}

/* Any of them so young that a further change might leave no trace. */
static bool is_racy(const struct image_witnesses *witnesses)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    for (unsigned i = 0; i < witnesses->count; i++) {
        const struct image_witness *witness = &witnesses->items[i];

        if (witness->mtime_ns > time_ns(now) - RACY_NS ||
            witness->ctime_ns > time_ns(now) - RACY_NS)
            return true;
    }
    return false;
}

static int write_all(int fd, const struct buf *record, const char *path,
                     struct sm_error *err)
{
    size_t done = 0;

    while (done < record->size) {
        ssize_t put = write(fd, record->data + done, record->size - done);

        if (put < 0 && errno != EINTR)
            return fail_os(err, "write %s", path);
        if (put > 0)
            done += (size_t)put;
    }
    return 0;
}

/*
 * Under another name first: a reader sees the old record or the new one. That
 * name is always the same, so that killed writers leave no more than one file
 * behind; should two write it at once, the checksum tells what they made.
 */
static int replace_file(const char *path, const struct buf *record,
                        struct sm_error *err)
{
    struct buf name;
    AUTO_FREE char *temp = NULL;
    AUTO_CLOSE int fd = -1;
    int rc;

    buf_init(&name, 2 * 4096);
    buf_print(&name, "%s.tmp", path);
    temp = buf_take_string(&name);
    if (!temp)
        return fail(err, SM_ENOMEM, "%s: out of memory", path);
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_os(err, "create %s", temp);
    rc = write_all(fd, record, temp, err);
    if (rc)
        unlink(temp);
    else if (rename(temp, path) != 0 && errno != ENOENT)
        rc = fail_os(err, "rename %s", temp);
    return rc;
}

int resolved_save(const char *home, const struct image_request *request,
                  const struct image_witnesses *witnesses,
                  const struct image_result *result, struct sm_error *err)
{
    AUTO_FREE char *folder = record_path(home, NULL);
    AUTO_FREE char *path = record_path(home, request);
    AUTO(buf_done) struct buf record = {0};

    buf_init(&record, RESOLVED_FILE_MAX);
    if (!folder || !path)
        return fail(err, SM_ENOMEM, "resolved image: out of memory");
    if (is_racy(witnesses))
        return 0;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return fail_os(err, "make folder %s", folder);
    wire_put_u32(&record, RESOLVED_MAGIC);
    wire_put_u32(&record, RESOLVED_VERSION);
    write_request(&record, request);
    wire_put_u8(&record, (uint8_t)witnesses->count);
    for (unsigned i = 0; i < witnesses->count; i++)
        write_witness(&record, &witnesses->items[i]);
    image_result_write(&record, result);
    wire_put_u64(&record, fnv1a(FNV_BASIS, record.data, record.size));
    if (record.failed)
        return fail(err, SM_ENOMEM, "%s: out of memory", path);
    return replace_file(path, &record, err);
}

static int visit_record(const char *folder, const char *name, resolved_fn *fn,
                        void *context, struct sm_error *err)
{
    AUTO(image_result_done) struct image_result result = {0};
    AUTO_FREE char *path = NULL;
    int rc;

    if (asprintf(&path, "%s/%s", folder, name) < 0) {
        path = NULL;
        return fail(err, SM_ENOMEM, "%s: out of memory", name);
    }
    rc = load_record(path, NULL, &result, err);
    if (rc == SM_ENOMEM)
        return rc;
    if (rc)
        unlink(path);
    return fn(context, rc ? NULL : result.rootfs, err);
}

int resolved_walk(const char *home, resolved_fn *fn, void *context,
                  struct sm_error *err)
{
    AUTO_FREE char *path = record_path(home, NULL);
    DIR *folder = path ? opendir(path) : NULL;
    struct dirent *entry;
    int rc = 0;

    if (!path || (!folder && errno == ENOMEM))
        return fail(err, SM_ENOMEM, "resolved images: out of memory");
    while (!rc && folder && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            rc = visit_record(path, entry->d_name, fn, context, err);
    if (folder)
        closedir(folder);
    return rc;
}
