/* image.h: what supermachine-image tells the program that started it.
 *
 * How it works
 *   supermachine-image writes frames (frame.h) on channel 0 to a descriptor
 *   that it was given: any number of PROGRESS, then one RESULT or one ERROR;
 *   or, for work on what is kept, any number of STORED and CHANGE, then one
 *   TEXT or one ERROR.
 *   The result holds all that is needed to run the image: where its root file
 *   system is and what its config asks for, so that the reader needs neither
 *   JSON nor the image's files. If the stream ends before, the program died.
 *
 *   image_put_*() append a whole frame, image_get_*() read the payload of one
 *   that has passed image_check(); fields are only ever appended.
 */
#ifndef SM_PROTO_IMAGE_H
#define SM_PROTO_IMAGE_H

#include "base/wire.h"
#include "proto/frame.h"

#include <stdbool.h>

enum {
    IMAGE_CHUNK = 16 << 10,    /* bytes for frame_reader_init()           */
    IMAGE_FRAME_MAX = 8 << 20, /* the longest frame that image_check()
                                  lets through                            */
    IMAGE_DISK_DEFAULT_GIB = 16
};

enum image_event {
    IMAGE_PROGRESS = 1,
    IMAGE_RESULT = 2,
    IMAGE_ERROR = 3,
    IMAGE_STORED = 4,
    IMAGE_CHANGE = 5,
    IMAGE_TEXT = 6
};

/* (items) has a NULL behind its last entry, or is NULL if (count) is 0. */
struct image_strings {
    char **items;
    uint32_t count;
};

/* Take a copy of (bytes); false if memory is out. */
bool image_strings_add(struct image_strings *list, const char *bytes);
void image_strings_done(struct image_strings *list);

/* What the image's author wants. Strings may be NULL when they are given, and
 * never are after image_get_result(). */
struct image_config {
    struct image_strings entrypoint;
    struct image_strings cmd;
    struct image_strings env;     /* "NAME=value"                    */
    struct image_strings volumes; /* absolute paths                  */
    struct image_strings ports;   /* "80/tcp"                        */
    struct image_strings labels;  /* "key=value"; a key holds no '=' */
    char *workdir;                /* "": /                           */
    char *user;                   /* "", "name", "1000", "name:group" */
    char *stop_signal;            /* "", "SIGQUIT", "3"              */
    char *healthcheck;            /* JSON as in the image, or ""     */
};

void image_config_done(struct image_config *config);

/* An image that is ready to run. */
struct image_result {
    char *rootfs;        /* absolute path of the ext4 image; never changes  */
    uint64_t disk_bytes; /* its size as the guest sees it                   */
    char *digest;        /* of the manifest, "sha256:..."                   */
    char *config_digest; /* which names the image                           */
    char *platform;      /* "linux/amd64"                                   */
    bool reused;         /* the root file system was there already          */
    struct image_config config;
};

void image_result_done(struct image_result *result);

struct image_progress {
    char *step;    /* "pull", "unpack"               */
    uint64_t done; /* bytes of the layer             */
    uint64_t total;
    char *layer;     /* its digest                     */
    uint32_t number; /* of the layer, 1 to (count)     */
    uint32_t count;  /* of all layers of the image     */
};

void image_progress_done(struct image_progress *progress);

/* One image of the store; see sm_stored_image. */
struct image_stored {
    char *repository;
    char *tag;
    char *id;
    char *digest;
    char *platform;
    char *json;
    uint64_t created_s;
    uint64_t blob_bytes;
    uint64_t rootfs_bytes;
};

void image_stored_done(struct image_stored *stored);

/* What happened to something of the store; see sm_store_change. */
struct image_change {
    uint8_t kind; /* enum sm_store_change_kind */
    char *what;
    char *why;
    uint64_t bytes;
};

void image_change_done(struct image_change *change);

/* frame_check_fn for the reader. */
int image_check(const struct frame *frame, struct sm_error *err);

/* `failed` of (to) says if it had no room. */
void image_put_progress(struct buf *to, const struct image_progress *progress);
void image_put_result(struct buf *to, const struct image_result *result);
void image_put_error(struct buf *to, const struct sm_error *error);
void image_put_stored(struct buf *to, const struct image_stored *stored);
void image_put_change(struct buf *to, const struct image_change *change);
void image_put_text(struct buf *to, const char *text);

/* Return 0, SM_EPROTO or SM_ENOMEM; the caller calls _done() on success. */
int image_get_progress(const struct frame *frame, struct image_progress *ret,
                       struct sm_error *err);
int image_get_result(const struct frame *frame, struct image_result *ret,
                     struct sm_error *err);
int image_get_stored(const struct frame *frame, struct image_stored *ret,
                     struct sm_error *err);
int image_get_change(const struct frame *frame, struct image_change *ret,
                     struct sm_error *err);
/* *ret is the caller's. */
int image_get_text(const struct frame *frame, char **ret, struct sm_error *err);
/* Fills (err) with what was sent, and returns its code; SM_EPROTO if it was
 * not an error at all. */
int image_get_error(const struct frame *frame, struct sm_error *err);

/* The fields of a result without a frame around them: for resolved.h. */
void image_result_write(struct buf *to, const struct image_result *result);
/* On failure, which wire_ok() or a NULL string of (ret) shows, (ret) is
 * fit for image_result_done(). */
bool image_result_read(struct wire_reader *from, struct image_result *ret);

#endif
