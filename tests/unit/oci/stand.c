/* stand.c: see stand.h. */
#define _XOPEN_SOURCE 700
#include "stand.h"

#include "oci/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void stand_folder(char path[STAND_PATH_MAX])
{
    const char *base = getenv("TMPDIR");

    snprintf(path, STAND_PATH_MAX, "%s/smtest.XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(path));
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void stand_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void stand_join(char to[STAND_PATH_MAX], const char *folder, const char *name)
{
    int length = snprintf(to, STAND_PATH_MAX, "%s/%s", folder, name);

    assert_in_range(length, 1, STAND_PATH_MAX - 1);
}

void stand_write(const char *folder, const char *name, const void *bytes,
                 size_t count)
{
    char path[STAND_PATH_MAX];
    FILE *file;

    stand_join(path, folder, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

void stand_print(const char *folder, const char *name, const char *fmt, ...)
{
    char *text;
    va_list ap;

    va_start(ap, fmt);
    assert_true(vasprintf(&text, fmt, ap) >= 0);
    va_end(ap);
    stand_write(folder, name, text, strlen(text));
    free(text);
}

int stand_run(const char *const argv[])
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(errno == ENOENT ? 127 : 126);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        return 128;
    return WEXITSTATUS(status) == 127 ? -1 : WEXITSTATUS(status);
}

/* ---- layers ---- */

/* struct posix_header of ustar (POSIX.1-2017, pax, "ustar Interchange
 * Format"). */
struct tar_header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char sum[8];
    char type;
    char link[100];
    char magic[8];
    char uname[32];
    char gname[32];
    char major[8];
    char minor[8];
    char prefix[155];
    char rest[12];
};

_Static_assert(sizeof(struct tar_header) == 512, "ustar header");

void tar_pax(struct buf *pax, const char *key, const void *value, size_t count)
{
    size_t length = strlen(key) + count + 3;
    size_t digits = 1;

    for (size_t rest = length + digits; rest >= 10; rest /= 10)
        digits++;
    /* One digit more may make the length one digit longer. */
    if (snprintf(NULL, 0, "%zu", length + digits) != (int)digits)
        digits++;
    assert_true(buf_print(pax, "%zu %s=", length + digits, key));
    assert_true(buf_append(pax, value, count));
    assert_true(buf_append(pax, "\n", 1));
}

/* Octal digits and a NUL; what does not fit is cut off at the front. */
static void put_octal(char *to, size_t size, uint64_t value)
{
    to[size - 1] = '\0';
    for (size_t i = size - 1; i-- > 0; value >>= 3)
        to[i] = (char)('0' + (value & 7));
}

static void put_sum(struct tar_header *header)
{
    const uint8_t *bytes = (const uint8_t *)header;
    unsigned sum = 0;

    memset(header->sum, ' ', sizeof header->sum);
    for (size_t i = 0; i < sizeof *header; i++)
        sum += bytes[i];
    snprintf(header->sum, sizeof header->sum, "%06o", sum);
}

static void put_content(struct buf *tar, const void *bytes, uint64_t count)
{
    static const uint8_t zeros[4096];
    uint64_t padded = (count + 511) / 512 * 512;

    if (bytes) {
        assert_true(buf_append(tar, bytes, (size_t)count));
        assert_true(buf_append(tar, zeros, (size_t)(padded - count)));
        return;
    }
    while (padded) {
        size_t part = padded < sizeof zeros ? (size_t)padded : sizeof zeros;

        assert_true(buf_append(tar, zeros, part));
        padded -= part;
    }
}

static void put_header(struct buf *tar, const struct tar_entry *entry,
                       uint64_t size)
{
    struct tar_header header = {.magic = "ustar"};
    char type = entry->type ? entry->type : '0';

    memcpy(header.magic + 6, "00", 2);
    memcpy(header.name, entry->name, strnlen(entry->name, 100));
    if (entry->link)
        memcpy(header.link, entry->link, strnlen(entry->link, 100));
    put_octal(header.mode, 8,
              entry->mode   ? entry->mode
              : type == '5' ? 0755
                            : 0644);
    put_octal(header.uid, 8, entry->uid);
    put_octal(header.gid, 8, entry->gid);
    put_octal(header.size, 12, size);
    put_octal(header.mtime, 12, entry->mtime);
    put_octal(header.major, 8, entry->major);
    put_octal(header.minor, 8, entry->minor);
    if (entry->claimed)
        memcpy(header.size, entry->claimed, sizeof header.size);
    header.type = type;
    put_sum(&header);
    assert_true(buf_append(tar, &header, sizeof header));
}

void tar_add(struct buf *tar, const struct tar_entry *entry)
{
    uint64_t size = entry->text ? strlen(entry->text) : entry->size;

    if (entry->pax) {
        put_header(tar, &(struct tar_entry){.name = "pax", .type = 'x'},
                   entry->pax->size);
        put_content(tar, entry->pax->data, entry->pax->size);
    }
    put_header(tar, entry, size);
    put_content(tar, entry->text, size);
}

void tar_end(struct buf *tar)
{
    put_content(tar, NULL, 1024);
}

/* ---- layouts ---- */

void stand_digest(const void *bytes, size_t count,
                  char digest[STAND_DIGEST_MAX])
{
    char text[DIGEST_TEXT_MAX];
    struct hasher hasher = {0};
    struct digest made;

    assert_int_equal(hasher_init(&hasher, DIGEST_SHA256, NULL), 0);
    hasher_add(&hasher, bytes, count);
    hasher_end(&hasher, &made);
    hasher_done(&hasher);
    digest_text(&made, text);
    assert_int_equal(strlen(text), STAND_DIGEST_MAX - 1);
    memcpy(digest, text, STAND_DIGEST_MAX);
}

void layout_blob(const char *folder, const void *bytes, size_t count,
                 char digest[STAND_DIGEST_MAX])
{
    char blobs[STAND_PATH_MAX];
    char name[16 + STAND_DIGEST_MAX];

    stand_digest(bytes, count, digest);
    stand_join(blobs, folder, "blobs");
    mkdir(blobs, 0755);
    stand_join(blobs, folder, "blobs/sha256");
    mkdir(blobs, 0755);
    snprintf(name, sizeof name, "blobs/sha256/%s", digest + 7);
    stand_write(folder, name, bytes, count);
}

void image_begin(struct stand_image *image, const char *folder)
{
    *image = (struct stand_image){.count = 0};
    snprintf(image->folder, sizeof image->folder, "%s", folder);
    mkdir(folder, 0755);
}

void image_layer(struct stand_image *image, struct buf *tar)
{
    struct stand_layer *layer = &image->layers[image->count];

    assert_in_range(image->count, 0, STAND_LAYERS_MAX - 1);
    tar_end(tar);
    layout_blob(image->folder, tar->data, tar->size, layer->digest);
    memcpy(layer->diff_id, layer->digest, sizeof layer->diff_id);
    layer->bytes = tar->size;
    image->count++;
}

static void write_config(const struct stand_image *image,
                         char digest[STAND_DIGEST_MAX], size_t *bytes)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    buf_print(&text,
              "{\"os\": \"linux\", \"architecture\": \"amd64\", "
              "\"config\": %s, \"rootfs\": {\"type\": \"layers\", "
              "\"diff_ids\": [",
              image->config ? image->config : "null");
    for (unsigned i = 0; i < image->count; i++)
        buf_print(&text, "%s\"%s\"", i ? ", " : "", image->layers[i].diff_id);
    buf_print(&text, "]}}");
    layout_blob(image->folder, text.data, text.size, digest);
    *bytes = text.size;
    buf_done(&text);
}

static void write_manifest(const struct stand_image *image,
                           char digest[STAND_DIGEST_MAX], size_t *bytes)
{
    char config[STAND_DIGEST_MAX];
    size_t config_bytes;
    struct buf text;

    write_config(image, config, &config_bytes);
    buf_init(&text, 1 << 20);
    buf_print(&text,
              "{\"schemaVersion\": 2, \"config\": {\"mediaType\": "
              "\"application/vnd.oci.image.config.v1+json\", \"digest\": "
              "\"%s\", \"size\": %zu}, \"layers\": [",
              config, config_bytes);
    for (unsigned i = 0; i < image->count; i++) {
        const struct stand_layer *layer = &image->layers[i];

        buf_print(&text,
                  "%s{\"mediaType\": \"%s\", \"digest\": \"%s\", \"size\": "
                  "%zu}",
                  i ? ", " : "",
                  layer->media_type ? layer->media_type
                                    : "application/vnd.oci.image.layer.v1.tar",
                  layer->digest, layer->bytes);
    }
    buf_print(&text, "]}");
    layout_blob(image->folder, text.data, text.size, digest);
    *bytes = text.size;
    buf_done(&text);
}

void image_end(struct stand_image *image)
{
    char manifest[STAND_DIGEST_MAX];
    size_t bytes;

    write_manifest(image, manifest, &bytes);
    stand_print(image->folder, "index.json",
                "{\"schemaVersion\": 2, \"manifests\": [{\"mediaType\": "
                "\"application/vnd.oci.image.manifest.v1+json\", \"digest\": "
                "\"%s\", \"size\": %zu, \"annotations\": "
                "{\"org.opencontainers.image.ref.name\": \"latest\"}}]}",
                manifest, bytes);
    stand_print(image->folder, "oci-layout",
                "{\"imageLayoutVersion\": \"1.0.0\"}");
}
