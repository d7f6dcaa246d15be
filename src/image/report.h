/* report.h: what supermachine-image tells its starter, as frames on a
 * descriptor (proto/image.h) or as lines of JSON on its output. */
#ifndef SM_IMAGE_REPORT_H
#define SM_IMAGE_REPORT_H

#include "proto/image.h"

enum { REPORT_LAYERS_MAX = 1024 }; /* more layers no image may have */

struct reporter {
    int fd;
    bool json;
    struct report_layer {
        const char *step; /* that was last told of */
        uint64_t last_ns; /* and when              */
        bool is_done;
    } layers[REPORT_LAYERS_MAX];
};

/* Of each layer the first and the last of a step, and others at most ten times
 * a second; the rest is dropped. The step is a literal. */
void report_progress(struct reporter *reporter,
                     const struct image_progress *progress);
/* Return 0, or an error when nobody could be told. */
int report_result(struct reporter *reporter, const struct image_result *result,
                  struct sm_error *err);
int report_stored(struct reporter *reporter, const struct image_stored *stored,
                  struct sm_error *err);
int report_change(struct reporter *reporter, const struct image_change *change,
                  struct sm_error *err);
/* The end of work on what is kept; (text) may be "". */
int report_text(struct reporter *reporter, const char *text,
                struct sm_error *err);
int report_error(struct reporter *reporter, const struct sm_error *error,
                 struct sm_error *err);

#endif
