/* image_frame.c: fuzzes what is read from supermachine-image and its records.
 */
#include "proto/image.h"
#include "proto/resolved.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct frame frame = {.payload = bytes, .count = (uint32_t)count};
    struct image_progress progress;
    struct image_stored stored;
    struct image_change change;
    struct image_result result;
    struct sm_error err;
    char *text;

    frame.type = IMAGE_RESULT;
    if (image_get_result(&frame, &result, &err) == 0) {
        struct buf again;

        buf_init(&again, 2 * count + 4096);
        image_result_write(&again, &result);
        if (again.failed || again.size > count)
            abort();
        buf_done(&again);
        image_result_done(&result);
    }
    frame.type = IMAGE_PROGRESS;
    if (image_get_progress(&frame, &progress, &err) == 0)
        image_progress_done(&progress);
    frame.type = IMAGE_STORED;
    if (image_get_stored(&frame, &stored, &err) == 0)
        image_stored_done(&stored);
    frame.type = IMAGE_CHANGE;
    if (image_get_change(&frame, &change, &err) == 0)
        image_change_done(&change);
    frame.type = IMAGE_TEXT;
    if (image_get_text(&frame, &text, &err) == 0)
        free(text);
    frame.type = IMAGE_ERROR;
    if (image_get_error(&frame, &err) >= 0)
        abort();
    return 0;
}
