/* check.c: is a root file system what its name says? See store.h. */
#include "base/own.h"
#include "oci/json.h"
#include "platform/file.h"
#include "rootfs/store.h"

#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { NOTE_MAX = 1 << 20 };

/* KEY.json beside KEY.ext4. */
static int read_note(const char *image, json_t **ret, struct sm_error *err)
{
    size_t stem = strlen(image) - strlen(".ext4");
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *text = NULL;
    AUTO_CLOSE int fd = -1;
    uint64_t bytes = 0;
    int rc;

    if (asprintf(&path, "%.*s.json", (int)stem, image) < 0) {
        path = NULL;
        return fail(err, SM_ENOMEM, "out of memory");
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return fail_os(err, "its note");
    rc = file_size(fd, &bytes, err);
    if (!rc && bytes > NOTE_MAX)
        rc = fail(err, SM_EIMAGE, "has %llu bytes", (unsigned long long)bytes);
    if (rc)
        return wrap(err, rc, "its note");
    text = malloc((size_t)bytes + 1);
    if (!text)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = file_read_at(fd, text, (size_t)bytes, 0, err);
    if (!rc)
        rc = json_parse(text, (size_t)bytes, ret, err);
    return rc ? wrap(err, rc, "its note") : 0;
}

static int check_layers(const struct rootfs_kept *kept, const json_t *list,
                        struct sm_error *err)
{
    size_t count = json_array_size(list);
    AUTO_FREE struct digest *diff_ids = calloc(count + 1, sizeof *diff_ids);
    struct digest key;
    int rc = 0;

    if (!diff_ids)
        return fail(err, SM_ENOMEM, "out of memory");
    for (size_t i = 0; !rc && i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));

        rc = digest_parse(text ? text : "", &diff_ids[i], err);
    }
    if (!rc)
        rc = rootfs_key(diff_ids, count, kept->disk_bytes, &key, err);
    if (!rc && !digest_equal(&key, &kept->key))
        rc = fail(err, SM_EIMAGE, "its note is of other layers");
    return rc;
}

/* The superblock carries a checksum, which opening verifies. */
static int check_super(const struct rootfs_kept *kept, struct sm_error *err)
{
    ext2_filsys fs = NULL;
    uint64_t bytes;
    errcode_t code =
        ext2fs_open(kept->path, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs);

    if (code)
        return fail(err, SM_EIMAGE, "its superblock is damaged (%ld)",
                    (long)code);
    bytes = ext2fs_blocks_count(fs->super) * fs->blocksize;
    ext2fs_close_free(&fs);
    if (bytes != kept->disk_bytes)
        return fail(err, SM_EIMAGE, "has %llu bytes, its superblock says %llu",
                    (unsigned long long)kept->disk_bytes,
                    (unsigned long long)bytes);
    return 0;
}

int rootfs_check(const struct rootfs_kept *kept, struct sm_error *err)
{
    AUTO(json_unref) json_t *note = NULL;
    json_t *diff_ids;
    uint64_t disk_bytes = 0;
    int rc = read_note(kept->path, &note, err);

    if (!rc)
        rc = json_size_of(note, "disk_bytes", &disk_bytes, err);
    if (!rc)
        rc = json_array_of(note, "diff_ids", true, &diff_ids, err);
    if (!rc && disk_bytes != kept->disk_bytes)
        rc = fail(err, SM_EIMAGE, "has %llu bytes, its note says %llu",
                  (unsigned long long)kept->disk_bytes,
                  (unsigned long long)disk_bytes);
    if (!rc)
        rc = check_layers(kept, diff_ids, err);
    return rc ? rc : check_super(kept, err);
}
