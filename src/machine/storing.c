/* storing.c: work on what is kept; see storing.h. */
#include "machine/storing.h"

struct asking {
    const struct storing_request *request;
    char **text;
};

static int tell_stored(const struct storing_request *request,
                       const struct frame *frame, struct sm_error *err)
{
    struct image_stored stored;
    int rc = image_get_stored(frame, &stored, err);

    if (rc)
        return rc;
    if (request->stored)
        request->stored(request->context,
                        &(struct sm_stored_image){
                            .repository = stored.repository,
                            .tag = stored.tag,
                            .id = stored.id,
                            .digest = stored.digest,
                            .platform = stored.platform,
                            .json = stored.json,
                            .created_s = stored.created_s,
                            .blob_bytes = stored.blob_bytes,
                            .rootfs_bytes = stored.rootfs_bytes,
                        });
    image_stored_done(&stored);
    return 0;
}

static int tell_change(const struct storing_request *request,
                       const struct frame *frame, struct sm_error *err)
{
    struct image_change change;
    int rc = image_get_change(frame, &change, err);

    if (rc)
        return rc;
    if (request->change)
        request->change(request->context,
                        &(struct sm_store_change){
                            .kind = (enum sm_store_change_kind)change.kind,
                            .what = change.what,
                            .why = change.why,
                            .bytes = change.bytes,
                        });
    image_change_done(&change);
    return 0;
}

static int take_frame(void *context, const struct frame *frame,
                      struct sm_error *err)
{
    const struct asking *asking = context;
    int rc;

    switch (frame->type) {
    case IMAGE_STORED:
        return tell_stored(asking->request, frame, err);
    case IMAGE_CHANGE:
        return tell_change(asking->request, frame, err);
    case IMAGE_TEXT:
        rc = image_get_text(frame, asking->text, err);
        return rc ? rc : 1;
    case IMAGE_PROGRESS:
        imaging_tell_progress(asking->request->progress,
                              asking->request->context, frame);
        return 0;
    default:
        return fail(err, SM_EPROTO, "supermachine-image: message %u",
                    frame->type);
    }
}

int storing_ask(const struct machine_paths *paths,
                const struct storing_request *request, char **ret_text,
                struct sm_error *err)
{
    struct asking asking = {.request = request, .text = ret_text};

    return imaging_run(paths,
                       &(struct imaging_call){.arguments = request->arguments,
                                              .file = request->file},
                       take_frame, &asking, err);
}
