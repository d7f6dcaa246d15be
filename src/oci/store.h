/* store.h: blobs and names of images that were pulled, kept in HOME.
 *
 * How it works
 *   HOME/blobs/ALGORITHM/HEX is a blob that is whole: it was hashed while it
 *   came as HEX.part, synced, made read-only and only then renamed. Whoever
 *   writes a HEX.part holds a lock on it; who else wants the blob waits, and
 *   finds it. A part that was left by a dead process is where the next one
 *   goes on, after it has hashed what is there.
 *
 *   Whoever opens a blob, looks for one or begins one keeps it from being
 *   removed for as long as the store is open: see lease.h.
 *
 *   HOME/tags/HASH, HASH that of the image's whole name, says which manifest
 *   or index the name stood for when it was pulled. It is replaced by rename,
 *   after all that it leads to is there.
 */
#ifndef SM_OCI_STORE_H
#define SM_OCI_STORE_H

#include "oci/source.h"

struct store;

/* (home) must exist. */
int store_open(const char *home, struct store **ret, struct sm_error *err);
/* The same for somebody who looks, or removes: nothing stays on his account,
 * so he holds the gate while he relies on it. Do not begin blobs with it. */
int store_view(const char *home, struct store **ret, struct sm_error *err);
/* NULL is fine. */
void store_close(struct store *store);

OWN_DEFINE(struct store, store_close)

/* The folder HOME, which stays the store's, and its name. */
int store_folder(const struct store *store);
const char *store_path(const struct store *store);

bool store_has(const struct store *store,
               const struct oci_descriptor *descriptor);
/* SM_ENOENT if it is not there. */
int store_blob_open(const struct store *store,
                    const struct oci_descriptor *descriptor, struct blob **ret,
                    struct sm_error *err);
/* Its file, unverified; *ret_fd is the caller's. */
int store_blob_file(const struct store *store,
                    const struct oci_descriptor *descriptor, int *ret_fd,
                    struct sm_error *err);
/* A small blob that is in memory, and hashes to (digest). */
int store_add(const struct store *store, const struct digest *digest,
              const void *bytes, size_t count, struct sm_error *err);

/* ---- a blob on its way ---- */

struct store_part;

/*
 * Take the lock of the blob, and begin or go on. (wait): wait for another
 * process that is at it. *ret_done: bytes that are there.
 * Returns 0, SM_EEXIST (the blob is there by now), SM_EBUSY (another process
 * is at it, and not (wait)), SM_ENOSPC, SM_ENOMEM, SM_EIO.
 */
int store_part_open(const struct store *store,
                    const struct oci_descriptor *descriptor, bool wait,
                    struct store_part **ret, uint64_t *ret_done,
                    struct sm_error *err);
/* What is there stays for the next one. NULL is fine. */
void store_part_close(struct store_part *part);
/* Content at (offset), which is where the part ends, or 0 to begin anew.
 * SM_EDIGEST: more than the descriptor says. */
int store_part_write(struct store_part *part, uint64_t offset,
                     const void *bytes, size_t count, struct sm_error *err);
/* It is all there: make it a blob. SM_EDIGEST: it is not what it should be,
 * and was thrown away; SM_EIMAGE: too short. */
int store_part_finish(struct store_part *part, struct sm_error *err);

OWN_DEFINE(struct store_part, store_part_close)

/* ---- names ---- */

/* What (name) stands for, and the file that says so as a witness.
 * SM_ENOENT if it was never pulled. */
int store_tag_load(const struct store *store, const char *name,
                   struct oci_descriptor *ret,
                   struct image_witnesses *witnesses, struct sm_error *err);
/* Passes the gate. */
int store_tag_save(const struct store *store, const char *name,
                   const struct oci_descriptor *descriptor,
                   struct sm_error *err);
/* The name goes, for good once this has returned 0; SM_ENOENT if there is
 * none. The caller holds the gate exclusively. */
int store_tag_remove(const struct store *store, const char *name,
                     struct sm_error *err);

/* (rc) is not 0 if the file is damaged: then (name) is that of the file below
 * HOME, (descriptor) NULL, and (err) says why. A result other than 0 ends the
 * walk. */
typedef int store_tag_fn(void *context, const char *name,
                         const struct oci_descriptor *descriptor, int rc,
                         const struct sm_error *why, struct sm_error *err);

/* Call (fn) for each name; in no order. */
int store_tags_walk(const struct store *store, store_tag_fn *fn, void *context,
                    struct sm_error *err);

#endif
