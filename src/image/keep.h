/* keep.h: work on what is kept: images listed, named, removed, checked, loaded
 * and saved.
 *
 *     images                      every image, by name
 *     inspect NAME                one of them, in JSON as Docker's
 *     tag NAME TARGET             another name for it
 *     remove [--force] NAME       a name goes, and what it alone led to
 *     prune [--all]               what nothing leads to goes
 *     verify [--repair]           what is damaged is named, and removed
 *     load [--file N] [--name NAME]
 *                                 the images of an archive
 *     save [--file N] [--format oci-archive|docker-archive] NAME...
 *     copy FROM TO                to a registry, "docker://NAME", or from there
 *     digest [--file N]           of one file, which is none of an image's
 *
 * How it works
 *   Whoever only looks opens a view of the store. Whoever removes holds its
 *   gate exclusively from the moment when he looks what is needed until the
 *   last file is gone (oci/lease.h), so nothing of it takes long.
 */
#ifndef SM_IMAGE_KEEP_H
#define SM_IMAGE_KEEP_H

#include "image/report.h"
#include "oci/catalog.h"
#include "oci/source.h"

/* What the program was called with. */
struct keep_request {
    const char *home; /* absolute */
    const char *const *words;
    unsigned count;
    const char *platform; /* "": the host's */
    const char *format;
    const char *name;
    const struct oci_place *place; /* for registries */
    int file;
    bool all;
    bool force;
    bool repair;
};

/* (verb) is one of the above, and (request) has as many words as it takes. */
bool keep_knows(const char *verb, const struct keep_request *request);

/* Do it, and report what comes of it, but for a failure. */
int keep_serve(const char *verb, const struct keep_request *request,
               struct reporter *reporter, struct sm_error *err);

/* ---- the verbs ---- */

typedef int keep_fn(const struct keep_request *request,
                    struct reporter *reporter, struct sm_error *err);

keep_fn keep_images;
keep_fn keep_inspect;
keep_fn keep_tag;
keep_fn keep_remove;
keep_fn keep_prune;
keep_fn keep_verify;
keep_fn keep_load;
keep_fn keep_save;
keep_fn keep_digest;
keep_fn keep_copy;

/* snapshots.c: the same for a snapshot. */
keep_fn keep_snapshot_save;
keep_fn keep_snapshot_load;
/* Report that the snapshot (name) is there now. */
int keep_snapshot_tell(struct reporter *reporter, const char *name,
                       struct sm_error *err);
/* The NAME in "snapshot:NAME", which may be ""; NULL: something else. */
const char *keep_snapshot_name(const char *word);

/* ---- what they share ---- */

/* A view of the store of (request), which is made if there is none. */
int keep_view(const struct keep_request *request, struct store **ret,
              struct sm_error *err);
/* "nginx:1.25@sha256:..." taken apart; (tag) may be "". False: out of memory.
 */
bool keep_split(const char *familiar, char **repository, char **tag);
/* The entry that (text) means: of a name that stands for several platforms,
 * the one that fits (platform), else the first. *ret_named: it was called by
 * its name. With the errors of catalog_find(). */
int keep_choose(const struct catalog *catalog, const char *text,
                const char *platform, const struct catalog_entry **ret,
                bool *ret_named, struct sm_error *err);

#endif
