/* ext4_xattr.c: extended attributes, and access lists as ext4 keeps them.
 *
 * How it works
 *   getxattr(2) shows an access list in one form (linux/posix_acl_xattr.h:
 *   version 2, eight bytes per entry), ext4 stores another (version 1, and
 *   four bytes for entries that name nobody). Everything else is stored as it
 *   is shown. libext2fs finds room, in the inode or in a block of its own.
 */
#include "rootfs/ext4_image.h"

#include "base/bytes.h"

#include <string.h>

enum {
    ACL_VERSION_SHOWN = 2,
    ACL_VERSION_STORED = 1,
    ACL_HEADER_BYTES = 4,
    ACL_ENTRY_BYTES = 8, /* shown: tag, permissions, id */
    ACL_SHORT_BYTES = 4, /* stored, without the id      */
    ACL_ENTRIES_MAX = (EXT4_BLOCK_BYTES - 64) / ACL_SHORT_BYTES,
    ACL_STORED_MAX = ACL_HEADER_BYTES + ACL_ENTRIES_MAX * ACL_ENTRY_BYTES
};

/* Tags of entries (linux/posix_acl.h). */
enum {
    ACL_USER_OBJ = 0x01,
    ACL_USER = 0x02,
    ACL_GROUP_OBJ = 0x04,
    ACL_GROUP = 0x08,
    ACL_MASK = 0x10,
    ACL_OTHER = 0x20
};

/* Bytes that the entry takes when it is stored; 0 if there is no such tag. */
static size_t stored_bytes(unsigned tag)
{
    switch (tag) {
    case ACL_USER:
    case ACL_GROUP:
        return ACL_ENTRY_BYTES;
    case ACL_USER_OBJ:
    case ACL_GROUP_OBJ:
    case ACL_MASK:
    case ACL_OTHER:
        return ACL_SHORT_BYTES;
    default:
        return 0;
    }
}

static int convert_acl(const struct ext4_xattr *xattr,
                       uint8_t to[ACL_STORED_MAX], size_t *ret_bytes,
                       struct sm_error *err)
{
    const uint8_t *from = xattr->value;
    size_t count;

    if (xattr->bytes < ACL_HEADER_BYTES ||
        (xattr->bytes - ACL_HEADER_BYTES) % ACL_ENTRY_BYTES != 0 ||
        load_le32(from) != ACL_VERSION_SHOWN)
        return fail(err, SM_EIMAGE, "%s: is no access list of version 2",
                    xattr->name);
    count = (xattr->bytes - ACL_HEADER_BYTES) / ACL_ENTRY_BYTES;
    if (count > ACL_ENTRIES_MAX)
        return fail(err, SM_EIMAGE, "%s: %zu entries: at most %d", xattr->name,
                    count, ACL_ENTRIES_MAX);
    store_le32(to, ACL_VERSION_STORED);
    *ret_bytes = ACL_HEADER_BYTES;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *entry = from + ACL_HEADER_BYTES + i * ACL_ENTRY_BYTES;
        size_t bytes = stored_bytes(load_le16(entry));

        if (!bytes || load_le16(entry + 2) > 7)
            return fail(err, SM_EIMAGE, "%s: entry %zu makes no sense",
                        xattr->name, i);
        memcpy(to + *ret_bytes, entry, bytes);
        *ret_bytes += bytes;
    }
    return 0;
}

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_acl(const char *name)
{
    return strcmp(name, "system.posix_acl_access") == 0 ||
           strcmp(name, "system.posix_acl_default") == 0;
}

/* Only these can be set on a Linux file system. Others, as macOS leaves them
 * in layers, are dropped, as container engines do. */
static bool is_kept(const char *name)
{
    static const char *const prefixes[] = {"user.", "trusted.", "security."};

    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (has_prefix(name, prefixes[i]) && name[strlen(prefixes[i])])
            return true;
    return is_acl(name);
}

static int set_one(struct ext4 *image, struct ext2_xattr_handle *handle,
                   const struct ext4_xattr *xattr, struct sm_error *err)
{
    uint8_t acl[ACL_STORED_MAX];
    const void *value = xattr->value;
    size_t bytes = xattr->bytes;
    errcode_t code;

    if (strlen(xattr->name) > 255)
        return fail(err, SM_EIMAGE, "extended attribute name of %zu bytes",
                    strlen(xattr->name));
    if (is_acl(xattr->name)) {
        int rc = convert_acl(xattr, acl, &bytes, err);

        if (rc)
            return rc;
        value = acl;
    }
    code = ext2fs_xattr_set(handle, xattr->name, value, bytes);
    if (code == EXT2_ET_EA_NO_SPACE)
        return fail(err, SM_EIMAGE,
                    "extended attribute %s of %zu bytes: all those of a file "
                    "must fit into %d bytes",
                    xattr->name, xattr->bytes, EXT4_BLOCK_BYTES);
    return code ? ext4_failed(image, code, xattr->name, err) : 0;
}

int ext4_set_xattrs(struct ext4 *image, uint32_t number,
                    const struct ext4_xattr *xattrs, size_t count,
                    struct sm_error *err)
{
    unsigned raw = XATTR_HANDLE_FLAG_RAW; /* access lists are converted here */
    struct ext2_xattr_handle *handle;
    errcode_t code;
    int rc = 0;

    if (!count)
        return 0;
    code = ext2fs_xattrs_open(image->fs, number, &handle);
    if (code)
        return ext4_failed(image, code, "extended attributes", err);
    code = ext2fs_xattrs_flags(handle, &raw, NULL);
    if (code)
        rc = ext4_failed(image, code, "extended attributes", err);
    for (size_t i = 0; !rc && i < count; i++)
        if (is_kept(xattrs[i].name))
            rc = set_one(image, handle, &xattrs[i], err);
    ext2fs_xattrs_close(&handle);
    return rc;
}
