/* stand.h: a manifest with something in every field. */
#ifndef SM_TESTS_SHELF_STAND_H
#define SM_TESTS_SHELF_STAND_H

#include "shelf/shelf.h"

enum { STAND_STATE = 100, STAND_LAYER = 4096 };

#define STAND_MEMORY UINT64_C(33554432)
#define STAND_DISK   UINT64_C(1048576)

/* Of a snapshot with a differential and two layers; for
 * snapshot_manifest_done(). False: no memory. */
bool stand_manifest(struct snapshot_manifest *ret);

#endif
