/* prepare.h: from a reference to a root file system and what to run in it. */
#ifndef SM_IMAGE_PREPARE_H
#define SM_IMAGE_PREPARE_H

#include "image/report.h"
#include "oci/source.h"
#include "proto/resolved.h"

/* For oci_place: (context) is the reporter. */
void prepare_progress(void *context, const struct oci_progress *progress);

/*
 * Make (request) ready under place->home, and keep the way there for the next
 * resolved_load(). Returns 0 and the result, for image_result_done(), or what
 * oci_source_open(), oci_image_load() and rootfs_prepare() say.
 */
int prepare_image(const struct oci_place *place,
                  const struct image_request *request,
                  struct reporter *reporter, struct image_result *ret,
                  struct sm_error *err);

#endif
