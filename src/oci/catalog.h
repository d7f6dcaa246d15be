/* catalog.h: the images of the store, by name and by ID.
 *
 * How it works
 *   A name leads to one image, or to an index of which some platforms are
 *   there; each of them is an entry. The ID of an image is the digest of its
 *   config, as for Docker. What is damaged, or lacks its manifest or config,
 *   has no entry: verify.h tells about it.
 */
#ifndef SM_OCI_CATALOG_H
#define SM_OCI_CATALOG_H

#include "oci/store.h"

enum { CATALOG_ID_MIN = 4 /* hex digits that may stand for an ID */ };

struct catalog_entry {
    char *name;                /* "docker.io/library/nginx:latest"            */
    char *familiar;            /* "nginx:latest", as a user would write it    */
    struct oci_descriptor top; /* what the name stands for         */
    struct oci_descriptor manifest;
    struct digest id;
    struct oci_platform platform;
    char *created; /* as the config says it, or ""                 */
    char *config;  /* the whole JSON                               */
    struct digest *diff_ids;
    size_t layer_count;
    uint64_t blob_bytes; /* manifest, config and layers as stored  */
};

struct catalog {
    struct catalog_entry *items; /* by name, then platform */
    size_t count;
    size_t room;
};

/* On failure (ret) is empty. SM_ENOMEM, SM_EIO. */
int catalog_load(const struct store *store, struct catalog *ret,
                 struct sm_error *err);
void catalog_done(struct catalog *catalog);

/* (text) may be an ID: "sha256:" and at least CATALOG_ID_MIN hex digits, or
 * these alone. */
bool catalog_is_id(const char *text);

/*
 * What a user calls (text): a name first, then an ID or its beginning. For a
 * name *ret_name is the whole one, for an ID NULL; the caller frees it. *ret
 * is what it stands for: of a name what it leads to, of an ID a manifest.
 * Returns 0, SM_ENOENT (with near names), SM_EINVAL (no name, or the beginning
 * of several IDs), SM_ENOMEM.
 */
int catalog_find(const struct catalog *catalog, const char *text,
                 char **ret_name, struct oci_descriptor *ret,
                 struct sm_error *err);

/* "nginx:1.25" for "docker.io/library/nginx:1.25". */
const char *catalog_familiar(const char *name);

#endif
