/* stand.h: layouts, layers and folders for tests of oci and rootfs. */
#ifndef SM_TESTS_OCI_STAND_H
#define SM_TESTS_OCI_STAND_H

#include "base/buf.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

enum { STAND_PATH_MAX = 512, STAND_DIGEST_MAX = 72, STAND_LAYERS_MAX = 16 };

/* A new folder below TMPDIR. Ends the test if that is not possible. */
void stand_folder(char path[STAND_PATH_MAX]);
/* Remove (path) and all below it. */
void stand_remove(const char *path);
/* FOLDER/NAME. */
void stand_join(char to[STAND_PATH_MAX], const char *folder, const char *name);
void stand_write(const char *folder, const char *name, const void *bytes,
                 size_t count);
void stand_print(const char *folder, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Run a program, its output thrown away; its exit status, or -1 if there is
 * no such program. */
int stand_run(const char *const argv[]);

/* ---- layers ---- */

/* One entry; what is left out is 0, and the mode then fits the type. */
struct tar_entry {
    const char *name;
    char type; /* of the tar header; 0: '0', a file */
    const char *link;
    const char *text; /* content                           */
    uint64_t size;    /* content of zeros, if there is no text */
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint64_t mtime;
    uint32_t major;
    uint32_t minor;
    const char *claimed;   /* 12 bytes for the size field, whatever it is */
    const struct buf *pax; /* records of a header before it    */
};

/* Append "LENGTH key=value\n" to (pax). */
void tar_pax(struct buf *pax, const char *key, const void *value, size_t count);
void tar_add(struct buf *tar, const struct tar_entry *entry);
void tar_end(struct buf *tar);

/* ---- layouts ---- */

/* Keep (bytes) as a blob; its digest is "sha256:...". */
void layout_blob(const char *folder, const void *bytes, size_t count,
                 char digest[STAND_DIGEST_MAX]);
void stand_digest(const void *bytes, size_t count,
                  char digest[STAND_DIGEST_MAX]);

struct stand_layer {
    char digest[STAND_DIGEST_MAX];
    char diff_id[STAND_DIGEST_MAX];
    size_t bytes;
    const char *media_type; /* NULL: a plain tar */
};

/* An image in the making; blobs go to (folder) at once. */
struct stand_image {
    char folder[STAND_PATH_MAX];
    struct stand_layer layers[STAND_LAYERS_MAX];
    unsigned count;
    const char *config; /* inner "config" object, or NULL */
};

void image_begin(struct stand_image *image, const char *folder);
/* A plain tar; ended here. */
void image_layer(struct stand_image *image, struct buf *tar);
/* Write config, manifest, index and oci-layout; the image is "latest". */
void image_end(struct stand_image *image);

#endif
