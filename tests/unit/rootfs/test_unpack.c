/* test_unpack.c: what layers make of a root file system, good and bad. */
#include "random_layers.h"
#include "seen.h"

#include "base/bytes.h"
#include "oci/image.h"
#include "oci/layout.h"
#include "rootfs/build.h"
#include "rootfs/ext4.h"
#include "rootfs/tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAR_MAX = 64 << 20 };

struct stand {
    char folder[STAND_PATH_MAX];
    char path[STAND_PATH_MAX];
    struct stand_image image;
    struct rootfs_options options;
};

static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);
    char layout[STAND_PATH_MAX];

    stand_folder(stand->folder);
    stand_join(stand->path, stand->folder, "image");
    stand_join(layout, stand->folder, "layout");
    image_begin(&stand->image, layout);
    stand->options.disk_bytes = 64 * MIB;
    *state = stand;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *stand = *state;

    stand_remove(stand->folder);
    free(stand);
    return 0;
}

/* A layer of these entries, up to one without a name. */
static void add_layer(struct stand *stand, const struct tar_entry *entries)
{
    struct buf tar;

    buf_init(&tar, TAR_MAX);
    for (; entries->name; entries++)
        tar_add(&tar, entries);
    image_layer(&stand->image, &tar);
    buf_done(&tar);
}

#define LAYER(stand, ...)                                                      \
    add_layer(stand, (const struct tar_entry[]){__VA_ARGS__, {.name = NULL}})

static int build(struct stand *stand, struct sm_error *err)
{
    const struct oci_platform platform = {"linux", "amd64", ""};
    const struct digest key = {.bytes = {1, 2, 3}};
    struct oci_source *source;
    struct oci_image image;
    int rc;

    image_end(&stand->image);
    assert_int_equal(layout_open(stand->image.folder, &source, NULL), 0);
    assert_int_equal(oci_image_load(source, NULL, &platform, &image, err), 0);
    close(open(stand->path, O_CREAT | O_TRUNC | O_WRONLY, 0600));
    rc = rootfs_build(source, &image, &stand->options, &key, stand->path, err);
    oci_image_done(&image);
    oci_source_close(source);
    return rc;
}

/* The image, built, clean and open. */
static ext2_filsys built(struct stand *stand)
{
    struct sm_error err = {0};

    if (build(stand, &err))
        fail_msg("%s", err.message);
    seen_clean(stand->path);
    return seen_open(stand->path);
}

static void test_unpack_later_layers_replace_and_remove(void **state)
{
    struct stand *stand = *state;
    ext2_filsys fs;

    LAYER(stand, {.name = "same", .text = "one"},
          {.name = "f2d", .text = "file"}, {.name = "d2f/x", .text = "x"},
          {.name = "gone", .text = "x"}, {.name = "folder/in", .text = "x"},
          {.name = "op/low", .text = "x"}, {.name = "op/sub/low", .text = "x"},
          {.name = "twice", .text = "first"},
          {.name = "twice", .text = "second"});
    LAYER(stand, {.name = "same", .text = "two"}, {.name = "f2d", .type = '5'},
          {.name = "f2d/in", .text = "in"}, {.name = "d2f", .text = "file"},
          {.name = ".wh.gone"}, {.name = ".wh.folder"}, {.name = ".wh.never"},
          {.name = "no/such/.wh.thing"}, {.name = "op/early", .text = "e"},
          {.name = "op/.wh..wh..opq"}, {.name = "op/sub/late", .text = "l"},
          {.name = ".wh..wh.plnk", .type = '5'});
    fs = built(stand);
    seen_text(fs, "same", "two");
    seen_text(fs, "f2d/in", "in");
    seen_text(fs, "d2f", "file");
    seen_text(fs, "twice", "second");
    assert_int_equal(seen_find(fs, "gone"), 0);
    assert_int_equal(seen_find(fs, "folder"), 0);
    assert_int_equal(seen_find(fs, "no"), 0);
    assert_int_equal(seen_find(fs, "op/low"), 0);
    assert_int_equal(seen_find(fs, "op/sub/low"), 0);
    seen_text(fs, "op/early", "e");
    seen_text(fs, "op/sub/late", "l");
    assert_int_equal(seen_count(fs, "/"), 5);
    seen_close(fs);
}

static void test_unpack_whiteout_spares_its_own_layer(void **state)
{
    struct stand *stand = *state;
    ext2_filsys fs;

    LAYER(stand, {.name = "d/old", .text = "o"}, {.name = "f", .text = "o"});
    LAYER(stand, {.name = "d/new", .text = "n"}, {.name = ".wh.d"},
          {.name = "f", .text = "new"}, {.name = ".wh.f"});
    fs = built(stand);
    assert_int_equal(seen_find(fs, "d/old"), 0);
    seen_text(fs, "d/new", "n");
    seen_text(fs, "f", "new");
    seen_close(fs);
}

static void test_unpack_hard_links_live_across_layers(void **state)
{
    struct stand *stand = *state;
    struct ext2_inode_large inode;
    ext2_filsys fs;

    LAYER(stand, {.name = "a", .text = "shared"},
          {.name = "b", .type = '1', .link = "a"},
          {.name = "s", .type = '2', .link = "a"},
          {.name = "t", .type = '1', .link = "/s"});
    LAYER(stand, {.name = "c", .type = '1', .link = "./b"}, {.name = ".wh.a"},
          {.name = "b/x", .text = "b is a folder now"},
          {.name = "c", .type = '1', .link = "c"});
    LAYER(stand, {.name = "d", .type = '1', .link = "c"},
          {.name = "c", .text = "own"});
    fs = built(stand);
    seen_text(fs, "d", "shared");
    seen_text(fs, "c", "own");
    seen_text(fs, "b/x", "b is a folder now");
    inode = seen_inode(fs, "d");
    assert_int_equal(inode.i_links_count, 1);
    inode = seen_inode(fs, "t");
    assert_int_equal(inode.i_links_count, 2);
    assert_int_equal(seen_find(fs, "s"), seen_find(fs, "t"));
    seen_link(fs, "t", "a");
    seen_close(fs);
}

static void test_unpack_follows_links_within_the_root(void **state)
{
    struct stand *stand = *state;
    ext2_filsys fs;

    LAYER(stand, {.name = "usr/lib/x", .text = "x"},
          {.name = "lib", .type = '2', .link = "usr/lib"},
          {.name = "abs", .type = '2', .link = "/usr/lib"},
          {.name = "up", .type = '2', .link = "../../../usr"},
          {.name = "dangling", .type = '2', .link = "made/up"},
          {.name = "chain", .type = '2', .link = "up/../lib/."});
    LAYER(stand, {.name = "lib/1", .text = "1"}, {.name = "abs/2", .text = "2"},
          {.name = "up/lib/3", .text = "3"},
          {.name = "dangling/4", .text = "4"}, {.name = "chain/5", .text = "5"},
          {.name = "lib/.wh.x"}, {.name = "/abs/6", .text = "6"},
          {.name = "usr/../7", .text = "7"});
    fs = built(stand);
    seen_link(fs, "lib", "usr/lib");
    seen_text(fs, "usr/lib/1", "1");
    seen_text(fs, "usr/lib/2", "2");
    seen_text(fs, "usr/lib/3", "3");
    seen_text(fs, "made/up/4", "4");
    seen_text(fs, "usr/lib/5", "5");
    seen_text(fs, "usr/lib/6", "6");
    seen_text(fs, "7", "7");
    assert_int_equal(seen_find(fs, "usr/lib/x"), 0);
    seen_close(fs);
}

static void check_mode(ext2_filsys fs, const char *path, unsigned mode,
                       uint32_t uid, uint32_t gid)
{
    struct ext2_inode_large inode = seen_inode(fs, path);

    assert_int_equal(inode.i_mode, mode);
    assert_int_equal(inode_uid(inode), uid);
    assert_int_equal(inode_gid(inode), gid);
}

static void test_unpack_keeps_types_modes_and_owners(void **state)
{
    struct stand *stand = *state;
    struct buf owners;
    struct ext2_inode_large inode;
    char slow[EXT4_SYMLINK_MAX + 1];
    struct buf link;
    ext2_filsys fs;

    memset(slow, 's', sizeof slow);
    slow[EXT4_SYMLINK_MAX] = '\0';
    buf_init(&owners, KIB);
    tar_pax(&owners, "uid", "4000000000", 10);
    tar_pax(&owners, "gid", "4294967294", 10);
    buf_init(&link, 8 * KIB);
    tar_pax(&link, "linkpath", slow, EXT4_SYMLINK_MAX);
    LAYER(stand, {.name = "./", .type = '5', .mode = 0711, .uid = 3},
          {.name = "suid", .text = "x", .mode = 06755, .uid = 1, .gid = 2},
          {.name = "owners", .text = "x", .pax = &owners},
          {.name = "null", .type = '3', .mode = 0666, .major = 1, .minor = 3},
          {.name = "big", .type = '4', .major = 4095, .minor = 70000},
          {.name = "fifo", .type = '6', .mode = 0600},
          {.name = "sticky", .type = '5', .mode = 01777},
          {.name = "slow", .type = '2', .link = "-", .pax = &link});
    fs = built(stand);
    check_mode(fs, "/", S_IFDIR | 0711, 3, 0);
    check_mode(fs, "suid", S_IFREG | 06755, 1, 2);
    check_mode(fs, "owners", S_IFREG | 0644, 4000000000, 4294967294);
    check_mode(fs, "fifo", S_IFIFO | 0600, 0, 0);
    check_mode(fs, "sticky", S_IFDIR | 01777, 0, 0);
    inode = seen_inode(fs, "null");
    assert_int_equal(inode.i_mode, S_IFCHR | 0666);
    assert_int_equal(inode.i_block[0], 0x103);
    inode = seen_inode(fs, "big");
    assert_int_equal(inode.i_block[0], 0);
    assert_int_equal(inode.i_block[1],
                     (70000 & 0xff) | 4095 << 8 | (70000 & ~0xffU) << 12);
    seen_link(fs, "slow", slow);
    seen_close(fs);
    buf_done(&owners);
    buf_done(&link);
}

static void test_unpack_keeps_times_to_the_nanosecond(void **state)
{
    struct stand *stand = *state;
    struct ext2_inode_large inode;
    struct buf past;
    struct buf future;
    ext2_filsys fs;

    buf_init(&past, KIB);
    buf_init(&future, KIB);
    tar_pax(&past, "mtime", "-1000.25", 8);
    tar_pax(&past, "atime", "1.000000001", 11);
    tar_pax(&future, "mtime", "5000000000.123456789", 20);
    LAYER(stand, {.name = "past", .text = "", .pax = &past},
          {.name = "future", .text = "", .pax = &future},
          {.name = "implied/x", .text = "", .mtime = 77});
    fs = built(stand);
    inode = seen_inode(fs, "past");
    assert_int_equal((int32_t)inode.i_mtime, -1001);
    assert_int_equal(inode.i_mtime_extra, 750000000U << 2);
    assert_int_equal(inode.i_atime, 1);
    assert_int_equal(inode.i_atime_extra >> 2, 1);
    inode = seen_inode(fs, "future");
    assert_int_equal(inode.i_mtime, (uint32_t)5000000000);
    assert_int_equal(inode.i_mtime_extra, 123456789 << 2 | 1);
    inode = seen_inode(fs, "implied");
    assert_int_equal(inode.i_mtime, 77);
    seen_close(fs);
    buf_done(&past);
    buf_done(&future);
}

static void test_unpack_keeps_attributes_and_access_lists(void **state)
{
    /* As shown: version 2; owner, user 1234, group, mask, others. */
    static const uint8_t shown[] = {
        2,    0,    0,    0,    1,    0,    6,  0,    0xff, 0xff, 0xff,
        0xff, 2,    0,    7,    0,    0xd2, 4,  0,    0,    4,    0,
        4,    0,    0xff, 0xff, 0xff, 0xff, 16, 0,    7,    0,    0xff,
        0xff, 0xff, 0xff, 32,   0,    4,    0,  0xff, 0xff, 0xff, 0xff};
    static const uint8_t stored[] = {1,  0, 0,    0, 1,  0, 6, 0, 2, 0,
                                     7,  0, 0xd2, 4, 0,  0, 4, 0, 4, 0,
                                     16, 0, 7,    0, 32, 0, 4, 0};
    struct stand *stand = *state;
    struct buf pax;
    uint8_t got[256];
    ext2_filsys fs;

    buf_init(&pax, 8 * KIB);
    tar_pax(&pax, "SCHILY.xattr.system.posix_acl_access", shown, sizeof shown);
    tar_pax(&pax, "SCHILY.xattr.security.capability", "\1\0\0\2\0\0\0\n", 8);
    tar_pax(&pax, "SCHILY.xattr.user.empty", "", 0);
    tar_pax(&pax, "SCHILY.xattr.com.apple.provenance", "x", 1);
    LAYER(stand, {.name = "f", .text = "x", .mode = 0674, .pax = &pax},
          {.name = "d", .type = '5', .pax = &pax});
    LAYER(stand, {.name = "d", .type = '5'});
    fs = built(stand);
    assert_int_equal(
        seen_xattr(fs, "f", "system.posix_acl_access", got, sizeof got),
        sizeof stored);
    assert_memory_equal(got, stored, sizeof stored);
    assert_int_equal(
        seen_xattr(fs, "f", "security.capability", got, sizeof got), 8);
    assert_memory_equal(got, "\1\0\0\2\0\0\0\n", 8);
    assert_int_equal(seen_xattr(fs, "f", "user.empty", got, sizeof got), -1);
    assert_int_equal(
        seen_xattr(fs, "f", "com.apple.provenance", got, sizeof got), -1);
    assert_int_equal(
        seen_xattr(fs, "d", "security.capability", got, sizeof got), -1);
    seen_close(fs);
    buf_done(&pax);
}

static void test_unpack_keeps_names_as_they_are(void **state)
{
    static const char *const names[] = {"\xc3\xbc/\xe6\xbc\xa2\xe5\xad\x97",
                                        "latin\xe9", "new\nline", " "};
    struct stand *stand = *state;
    char longest[TREE_NAME_MAX + 1];
    struct buf pax[ARRAY_LEN(names) + 1];
    struct tar_entry entries[ARRAY_LEN(names) + 2] = {{.name = NULL}};
    ext2_filsys fs;

    memset(longest, 'n', sizeof longest);
    longest[TREE_NAME_MAX] = '\0';
    for (size_t i = 0; i <= ARRAY_LEN(names); i++) {
        const char *name = i < ARRAY_LEN(names) ? names[i] : longest;

        buf_init(&pax[i], KIB);
        tar_pax(&pax[i], "path", name, strlen(name));
        entries[i] =
            (struct tar_entry){.name = "-", .text = name, .pax = &pax[i]};
    }
    add_layer(stand, entries);
    fs = built(stand);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        seen_text(fs, names[i], names[i]);
    seen_text(fs, longest, longest);
    seen_close(fs);
    for (size_t i = 0; i <= ARRAY_LEN(names); i++)
        buf_done(&pax[i]);
}

/* ---- compressions ---- */

/* The last layer as it would be stored with (filter), one time over. */
static void compress_last(struct stand *stand, int filter, int times)
{
    struct stand_layer *layer = &stand->image.layers[stand->image.count - 1];
    char path[STAND_PATH_MAX];
    char name[16 + STAND_DIGEST_MAX];
    uint8_t *from = malloc(TAR_MAX);
    uint8_t *to = malloc(TAR_MAX);
    size_t count;
    FILE *file;

    snprintf(name, sizeof name, "blobs/sha256/%s", layer->digest + 7);
    stand_join(path, stand->image.folder, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    count = fread(from, 1, TAR_MAX, file);
    fclose(file);
    while (times--) {
        struct archive *archive = archive_write_new();
        struct archive_entry *entry = archive_entry_new();
        size_t used = 0;

        assert_int_equal(archive_write_add_filter(archive, filter), 0);
        assert_int_equal(archive_write_set_format_raw(archive), 0);
        assert_int_equal(archive_write_set_bytes_per_block(archive, 0), 0);
        assert_int_equal(archive_write_open_memory(archive, to, TAR_MAX, &used),
                         0);
        archive_entry_set_filetype(entry, AE_IFREG);
        assert_int_equal(archive_write_header(archive, entry), 0);
        assert_int_equal(archive_write_data(archive, from, count), count);
        archive_entry_free(entry);
        assert_int_equal(archive_write_free(archive), 0);
        memcpy(from, to, used);
        count = used;
    }
    layout_blob(stand->image.folder, from, count, layer->digest);
    layer->bytes = count;
    free(from);
    free(to);
}

static void test_unpack_takes_every_compression(void **state)
{
    static const int filters[] = {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD};
    struct stand *stand = *state;
    ext2_filsys fs;

    LAYER(stand, {.name = "0", .text = "plain"});
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        char name[2] = {(char)('1' + i), '\0'};

        LAYER(stand, {.name = name, .text = name},
              {.name = "big", .size = 3 * MIB + 7});
        compress_last(stand, filters[i], 1);
    }
    fs = built(stand);
    seen_text(fs, "0", "plain");
    seen_text(fs, "1", "1");
    seen_text(fs, "2", "2");
    assert_int_equal(seen_inode(fs, "big").i_size, 3 * MIB + 7);
    seen_close(fs);
}

/* ---- hostile layers ---- */

static void expect(struct stand *stand, int code, const char *text)
{
    struct sm_error err = {0};
    int rc = build(stand, &err);

    if (rc != code || !strstr(err.message, text))
        fail_msg("wanted %d \"%s\", got %d \"%s\"", code, text, rc,
                 err.message);
}

static void test_unpack_refuses_hostile_entries(void **state)
{
    static const struct {
        struct tar_entry entry;
        const char *text;
    } bad[] = {
        {{.name = "../etc/passwd", .text = "x"},
         "layer 2 of 2: tar entry \"../etc/passwd\": leaves the root"},
        {{.name = "a/../../x", .text = "x"}, "leaves the root"},
        {{.name = "/../x", .text = "x"}, "leaves the root"},
        {{.name = "../.wh.x"}, "leaves the root"},
        {{.name = "..", .type = '5'}, "leaves the root"},
        {{.name = "loop/x", .text = "x"}, "more than 40 symbolic links"},
        {{.name = "file", .type = '1', .link = "../../etc/shadow"},
         "hard link to \"../../etc/shadow\": leaves the root"},
        {{.name = "file", .type = '1', .link = "/etc/shadow"},
         "hard link to \"/etc/shadow\": there is no such file"},
        {{.name = "x", .type = '1', .link = "dir"}, "is a directory"},
        {{.name = "dir/..", .text = "x"}, "must be a directory"},
        {{.name = "x", .type = '2', .link = ""}, "symbolic link to 0 bytes"},
        {{.name = ".wh."}, "is a whiteout of nothing"},
        {{.name = "dir/.wh..."}, "is a whiteout of nothing"},
        {{.name = ".wh.dir/x", .text = "x"}, "begins with .wh."},
        {{.name = "x",
          .claimed = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                     "\xff\xff"},
         "negative size"},
        {{.name = "x",
          .claimed = "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff"
                     "\xff"},
         "size overflow"},
        {{.name = "x", .claimed = "77777777777"}, "Truncated"},
        {{.name = "x", .type = '3', .major = 5000}, "device 5000:0"},
    };
    struct stand *stand = *state;
    struct stand_image base;

    LAYER(stand, {.name = "dir/f", .text = "x"},
          {.name = "loop", .type = '2', .link = "loop"});
    base = stand->image;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct tar_entry entry = bad[i].entry;

        stand->image = base;
        LAYER(stand, entry);
        expect(stand, SM_EIMAGE, bad[i].text);
    }
}

static void check_path(struct stand *stand, const char *path, const char *text)
{
    struct stand_image base = stand->image;
    struct buf pax;

    buf_init(&pax, MIB);
    tar_pax(&pax, "path", path, strlen(path));
    LAYER(stand, {.name = "-", .text = "x", .pax = &pax});
    expect(stand, SM_EIMAGE, text);
    buf_done(&pax);
    stand->image = base;
}

static void test_unpack_refuses_long_names_and_deep_trees(void **state)
{
    char path[6000];

    memset(path, 'n', 256);
    path[256] = '\0';
    check_path(*state, path, "name of 256 bytes: at most 255");
    memcpy(path + 256, "/x", 3);
    check_path(*state, path, "name of 256 bytes: at most 255");
    for (size_t i = 0; i < sizeof path; i += 2)
        memcpy(path + i, "d/", 2);
    path[sizeof path - 1] = '\0';
    check_path(*state, path, "path of 5999 bytes: at most 4095");
    path[3001] = '\0';
    check_path(*state, path, "nested deeper than 1024 directories");
}

static void test_unpack_refuses_bad_owners_and_lists(void **state)
{
    static const struct {
        const char *key;
        const char *value;
        const char *text;
    } bad[] = {
        {"uid", "4294967295", "owner 4294967295:0"},
        {"SCHILY.xattr.system.posix_acl_access", "nonsense",
         "is no access list"},
    };
    struct stand *stand = *state;
    struct stand_image base = stand->image;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct buf pax;

        stand->image = base;
        buf_init(&pax, KIB);
        tar_pax(&pax, bad[i].key, bad[i].value, strlen(bad[i].value));
        LAYER(stand, {.name = "x", .text = "x", .pax = &pax});
        expect(stand, SM_EIMAGE, bad[i].text);
        buf_done(&pax);
    }
}

static void test_unpack_refuses_attributes_that_do_not_fit(void **state)
{
    struct stand *stand = *state;
    char value[5000];
    struct buf pax;

    memset(value, 'v', sizeof value);
    buf_init(&pax, 8 * KIB);
    tar_pax(&pax, "SCHILY.xattr.user.big", value, sizeof value);
    LAYER(stand, {.name = "x", .text = "x", .pax = &pax});
    expect(stand, SM_EIMAGE, "must fit into 4096 bytes");
    buf_done(&pax);
}

static void test_unpack_verifies_what_comes_out(void **state)
{
    struct stand *stand = *state;
    struct stand_layer *layer = &stand->image.layers[0];

    LAYER(stand, {.name = "x", .text = "x"});
    stand_digest("other", 5, layer->diff_id);
    expect(stand, SM_EDIGEST,
           "layer 1 of 1: digest mismatch once unpacked: expected sha256:");
}

/* Write (count) bytes at (at) of the layer's blob. */
static void damage(struct stand *stand, const char *bytes, size_t count,
                   long at)
{
    char path[STAND_PATH_MAX];
    char name[16 + STAND_DIGEST_MAX];
    FILE *file;

    snprintf(name, sizeof name, "blobs/sha256/%s",
             stand->image.layers[0].digest + 7);
    stand_join(path, stand->image.folder, name);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

/* Whatever a damaged blob does to the readers, the digest is what is said. */
static void test_unpack_says_digest_first(void **state)
{
    static const struct {
        int filter;
        long at;
    } damages[] = {{0, 10},
                   {0, 520},
                   {ARCHIVE_FILTER_GZIP, 3},
                   {ARCHIVE_FILTER_GZIP, 20},
                   {ARCHIVE_FILTER_ZSTD, 5},
                   {ARCHIVE_FILTER_ZSTD, 20}};
    struct stand *stand = *state;
    struct stand_image base = stand->image;

    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        stand->image = base;
        LAYER(stand, {.name = "file", .text = "some text to be damaged"});
        if (damages[i].filter)
            compress_last(stand, damages[i].filter, 1);
        damage(stand, "\xa5\x5a\xa5", 3, damages[i].at);
        expect(stand, SM_EDIGEST, "layer 1 of 1");
    }
}

/* A blob that is what its digest says, and no layer all the same. */
static void check_blob(struct stand *stand, const void *bytes, size_t count,
                       int code, const char *text)
{
    struct stand_layer *layer = &stand->image.layers[0];

    stand->image.count = 1;
    layout_blob(stand->image.folder, bytes, count, layer->digest);
    stand_digest("", 0, layer->diff_id);
    if (count)
        stand_digest("else", 4, layer->diff_id);
    layer->bytes = count;
    if (code)
        expect(stand, code, text);
    else
        seen_close(built(stand));
}

static void test_unpack_refuses_what_is_no_tar(void **state)
{
    char junk[2000];

    memset(junk, 'j', sizeof junk);
    check_blob(*state, junk, sizeof junk, SM_EIMAGE, "Unrecognized");
    check_blob(*state, junk, 1, SM_EIMAGE, "Unrecognized");
    memcpy(junk, "\x1f\x8b\x08\0\0\0\0\0\0\3", 10);
    check_blob(*state, junk, sizeof junk, SM_EIMAGE, "layer 1 of 1");
    check_blob(*state, junk, 10, SM_EIMAGE, "is damaged");
    memcpy(junk, "\x28\xb5\x2f\xfd", 4);
    check_blob(*state, junk, sizeof junk, SM_EIMAGE, "layer 1 of 1");
    check_blob(*state, "", 0, 0, NULL);
}

static void test_unpack_refuses_a_truncated_tar(void **state)
{
    struct stand *stand = *state;
    struct stand_layer *layer = &stand->image.layers[0];
    struct buf tar;

    buf_init(&tar, TAR_MAX);
    tar_add(&tar, &(struct tar_entry){.name = "x", .size = 100000});
    stand->image.count = 1;
    layout_blob(stand->image.folder, tar.data, 50000, layer->digest);
    memcpy(layer->diff_id, layer->digest, sizeof layer->diff_id);
    layer->bytes = 50000;
    expect(stand, SM_EIMAGE, "layer 1 of 1: tar entry \"x\": Truncated");
    buf_done(&tar);
}

static void test_unpack_undoes_one_compression_only(void **state)
{
    struct stand *stand = *state;

    LAYER(stand, {.name = "x", .text = "x"});
    compress_last(stand, ARCHIVE_FILTER_GZIP, 2);
    expect(stand, SM_EIMAGE, "Unrecognized archive format");
}

static void test_unpack_bounds_what_comes_out(void **state)
{
    struct stand *stand = *state;

    LAYER(stand, {.name = "bomb", .size = 20 * MIB});
    compress_last(stand, ARCHIVE_FILTER_GZIP, 1);
    assert_in_range(stand->image.layers[0].bytes, 1, 100 * KIB);
    stand->options.unpacked_limit = 10 * MIB;
    expect(stand, SM_ELIMIT, "unpacks to more than 10485760 bytes");
    stand->image.count = 0;
    LAYER(stand, {.name = "bomb", .size = 20 * MIB});
    compress_last(stand, ARCHIVE_FILTER_ZSTD, 1);
    assert_in_range(stand->image.layers[0].bytes, 1, 100 * KIB);
    expect(stand, SM_ELIMIT, "unpacks to more than 10485760 bytes");
    stand->options.unpacked_limit = 0;
    stand->options.disk_bytes = 32 * MIB;
    seen_close(built(stand));
    stand->image.count = 0;
    LAYER(stand, {.name = "bomb", .size = 40 * MIB});
    expect(stand, SM_ELIMIT, "disk of 32 MiB is full");
}

/* ---- layers of all sorts ---- */

/* Whatever entries do to each other: what is not refused is clean. */
static void test_unpack_random_layers_are_clean(void **state)
{
    enum { WANTED = 25, TRIES = 500, BYTES = 180 };
    struct stand *stand = *state;
    struct stand_image base = stand->image;
    uint64_t seed = 7;
    int good = 0;

    stand->options.disk_bytes = 32 * MIB;
    for (int i = 0; i < TRIES && good < WANTED; i++) {
        uint8_t bytes[BYTES];
        const uint8_t *at = bytes;
        size_t left = (size_t)(i % 8 + 1) * BYTES / 8;

        for (size_t j = 0; j < sizeof bytes; j++) {
            seed = seed * 6364136223846793005U + 1442695040888963407U;
            bytes[j] = (uint8_t)(seed >> 56);
        }
        stand->image = base;
        for (int layer = 0; layer < 3; layer++) {
            size_t part = layer < 2 ? left / 2 : left;
            struct buf tar;

            left -= part;
            buf_init(&tar, TAR_MAX);
            random_layer(&tar, &at, &part);
            image_layer(&stand->image, &tar);
            buf_done(&tar);
        }
        if (build(stand, NULL) == 0) {
            seen_clean(stand->path);
            good++;
        }
    }
    assert_int_equal(good, WANTED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_unpack_later_layers_replace_and_remove),
        TEST(test_unpack_whiteout_spares_its_own_layer),
        TEST(test_unpack_hard_links_live_across_layers),
        TEST(test_unpack_follows_links_within_the_root),
        TEST(test_unpack_keeps_types_modes_and_owners),
        TEST(test_unpack_keeps_times_to_the_nanosecond),
        TEST(test_unpack_keeps_attributes_and_access_lists),
        TEST(test_unpack_keeps_names_as_they_are),
        TEST(test_unpack_takes_every_compression),
        TEST(test_unpack_refuses_hostile_entries),
        TEST(test_unpack_refuses_long_names_and_deep_trees),
        TEST(test_unpack_refuses_bad_owners_and_lists),
        TEST(test_unpack_refuses_attributes_that_do_not_fit),
        TEST(test_unpack_verifies_what_comes_out),
        TEST(test_unpack_says_digest_first),
        TEST(test_unpack_refuses_what_is_no_tar),
        TEST(test_unpack_refuses_a_truncated_tar),
        TEST(test_unpack_undoes_one_compression_only),
        TEST(test_unpack_bounds_what_comes_out),
        TEST(test_unpack_random_layers_are_clean),
    };

    return cmocka_run_group_tests_name("rootfs_unpack", tests, NULL, NULL);
}
