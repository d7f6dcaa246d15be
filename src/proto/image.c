/* image.c: frames of supermachine-image; see image.h. */
#include "proto/image.h"

#include <stdlib.h>
#include <string.h>

bool image_strings_add(struct image_strings *list, const char *bytes)
{
    char *copy = strdup(bytes);
    char **items;

    if (!copy)
        return false;
    items = realloc(list->items, (list->count + 2) * sizeof *items);
    if (!items) {
        free(copy);
        return false;
    }
    items[list->count++] = copy;
    items[list->count] = NULL;
    list->items = items;
    return true;
}

void image_strings_done(struct image_strings *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct image_strings){0};
}

void image_config_done(struct image_config *config)
{
    image_strings_done(&config->entrypoint);
    image_strings_done(&config->cmd);
    image_strings_done(&config->env);
    image_strings_done(&config->volumes);
    image_strings_done(&config->ports);
    image_strings_done(&config->labels);
    free(config->workdir);
    free(config->user);
    free(config->stop_signal);
    free(config->healthcheck);
    *config = (struct image_config){0};
}

void image_result_done(struct image_result *result)
{
    free(result->rootfs);
    free(result->digest);
    free(result->config_digest);
    free(result->platform);
    image_config_done(&result->config);
    *result = (struct image_result){0};
}

void image_progress_done(struct image_progress *progress)
{
    free(progress->step);
    free(progress->layer);
    *progress = (struct image_progress){0};
}

void image_stored_done(struct image_stored *stored)
{
    free(stored->repository);
    free(stored->tag);
    free(stored->id);
    free(stored->digest);
    free(stored->platform);
    free(stored->json);
    *stored = (struct image_stored){0};
}

void image_change_done(struct image_change *change)
{
    free(change->what);
    free(change->why);
    *change = (struct image_change){0};
}

int image_check(const struct frame *frame, struct sm_error *err)
{
    if (frame->type < IMAGE_PROGRESS || frame->type > IMAGE_TEXT)
        return fail(err, SM_EPROTO, "image frame of unknown type %u",
                    frame->type);
    if (frame->channel)
        return fail(err, SM_EPROTO, "image frame on channel %u: must be 0",
                    (unsigned)frame->channel);
    if (frame->count > IMAGE_FRAME_MAX - FRAME_HEADER_BYTES)
        return fail(err, SM_EPROTO, "image frame of %u bytes: at most %u",
                    (unsigned)frame->count,
                    (unsigned)(IMAGE_FRAME_MAX - FRAME_HEADER_BYTES));
    return 0;
}

static void write_strings(struct buf *to, const struct image_strings *list)
{
    wire_put_u32(to, list->count);
    for (uint32_t i = 0; i < list->count; i++)
        wire_put_string(to, list->items[i]);
}

/* A count that the record is too short for is refused before anything is set
 * aside for it: each string takes four bytes at least. */
static void read_strings(struct wire_reader *from, struct image_strings *ret)
{
    uint32_t count = wire_u32(from);

    if (!count)
        return;
    if (count > from->left / 4) {
        from->failed = true;
        return;
    }
    ret->items = calloc((size_t)count + 1, sizeof *ret->items);
    if (!ret->items) {
        wire_no_memory(from);
        return;
    }
    while (ret->count < count && wire_ok(from)) {
        char *string = wire_string(from);

        if (!string)
            return;
        ret->items[ret->count++] = string;
    }
}

static void write_config(struct buf *to, const struct image_config *config)
{
    write_strings(to, &config->entrypoint);
    write_strings(to, &config->cmd);
    write_strings(to, &config->env);
    write_strings(to, &config->volumes);
    write_strings(to, &config->ports);
    write_strings(to, &config->labels);
    wire_put_string(to, config->workdir);
    wire_put_string(to, config->user);
    wire_put_string(to, config->stop_signal);
    wire_put_string(to, config->healthcheck);
}

static void read_config(struct wire_reader *from, struct image_config *ret)
{
    read_strings(from, &ret->entrypoint);
    read_strings(from, &ret->cmd);
    read_strings(from, &ret->env);
    read_strings(from, &ret->volumes);
    read_strings(from, &ret->ports);
    read_strings(from, &ret->labels);
    ret->workdir = wire_string(from);
    ret->user = wire_string(from);
    ret->stop_signal = wire_string(from);
    ret->healthcheck = wire_string(from);
}

void image_result_write(struct buf *to, const struct image_result *result)
{
    wire_put_string(to, result->rootfs);
    wire_put_u64(to, result->disk_bytes);
    wire_put_string(to, result->digest);
    wire_put_string(to, result->config_digest);
    wire_put_string(to, result->platform);
    wire_put_u8(to, result->reused);
    write_config(to, &result->config);
}

bool image_result_read(struct wire_reader *from, struct image_result *ret)
{
    *ret = (struct image_result){0};
    ret->rootfs = wire_string(from);
    ret->disk_bytes = wire_u64(from);
    ret->digest = wire_string(from);
    ret->config_digest = wire_string(from);
    ret->platform = wire_string(from);
    ret->reused = wire_u8(from) != 0;
    read_config(from, &ret->config);
    return wire_ok(from);
}

void image_put_progress(struct buf *to, const struct image_progress *progress)
{
    size_t begin = frame_begin(to, IMAGE_PROGRESS, 0);

    wire_put_string(to, progress->step);
    wire_put_u64(to, progress->done);
    wire_put_u64(to, progress->total);
    wire_put_string(to, progress->layer);
    wire_put_u32(to, progress->number);
    wire_put_u32(to, progress->count);
    frame_end(to, begin);
}

void image_put_result(struct buf *to, const struct image_result *result)
{
    size_t begin = frame_begin(to, IMAGE_RESULT, 0);

    image_result_write(to, result);
    frame_end(to, begin);
}

void image_put_error(struct buf *to, const struct sm_error *error)
{
    size_t begin = frame_begin(to, IMAGE_ERROR, 0);

    wire_put_u32(to, (uint32_t)error->code);
    wire_put_u32(to, (uint32_t)error->os_error);
    wire_put_string(to, error->message);
    frame_end(to, begin);
}

void image_put_stored(struct buf *to, const struct image_stored *stored)
{
    size_t begin = frame_begin(to, IMAGE_STORED, 0);

    wire_put_string(to, stored->repository);
    wire_put_string(to, stored->tag);
    wire_put_string(to, stored->id);
    wire_put_string(to, stored->digest);
    wire_put_string(to, stored->platform);
    wire_put_string(to, stored->json);
    wire_put_u64(to, stored->created_s);
    wire_put_u64(to, stored->blob_bytes);
    wire_put_u64(to, stored->rootfs_bytes);
    frame_end(to, begin);
}

void image_put_change(struct buf *to, const struct image_change *change)
{
    size_t begin = frame_begin(to, IMAGE_CHANGE, 0);

    wire_put_u8(to, change->kind);
    wire_put_string(to, change->what);
    wire_put_string(to, change->why);
    wire_put_u64(to, change->bytes);
    frame_end(to, begin);
}

void image_put_text(struct buf *to, const char *text)
{
    size_t begin = frame_begin(to, IMAGE_TEXT, 0);

    wire_put_string(to, text);
    frame_end(to, begin);
}

int image_get_progress(const struct frame *frame, struct image_progress *ret,
                       struct sm_error *err)
{
    struct wire_reader from;

    wire_read(&from, frame->payload, frame->count);
    ret->step = wire_string(&from);
    ret->done = wire_u64(&from);
    ret->total = wire_u64(&from);
    ret->layer = wire_string(&from);
    ret->number = wire_u32(&from);
    ret->count = wire_u32(&from);
    if (frame->type == IMAGE_PROGRESS && wire_ok(&from) && ret->number &&
        ret->number <= ret->count && ret->done <= ret->total)
        return 0;
    image_progress_done(ret);
    return wire_refuse(&from, err, "progress of supermachine-image");
}

int image_get_result(const struct frame *frame, struct image_result *ret,
                     struct sm_error *err)
{
    struct wire_reader from;

    wire_read(&from, frame->payload, frame->count);
    if (image_result_read(&from, ret) && frame->type == IMAGE_RESULT)
        return 0;
    image_result_done(ret);
    return wire_refuse(&from, err, "result of supermachine-image");
}

int image_get_stored(const struct frame *frame, struct image_stored *ret,
                     struct sm_error *err)
{
    struct wire_reader from;

    wire_read(&from, frame->payload, frame->count);
    ret->repository = wire_string(&from);
    ret->tag = wire_string(&from);
    ret->id = wire_string(&from);
    ret->digest = wire_string(&from);
    ret->platform = wire_string(&from);
    ret->json = wire_string(&from);
    ret->created_s = wire_u64(&from);
    ret->blob_bytes = wire_u64(&from);
    ret->rootfs_bytes = wire_u64(&from);
    if (frame->type == IMAGE_STORED && wire_ok(&from))
        return 0;
    image_stored_done(ret);
    return wire_refuse(&from, err, "list of supermachine-image");
}

int image_get_change(const struct frame *frame, struct image_change *ret,
                     struct sm_error *err)
{
    struct wire_reader from;

    wire_read(&from, frame->payload, frame->count);
    ret->kind = wire_u8(&from);
    ret->what = wire_string(&from);
    ret->why = wire_string(&from);
    ret->bytes = wire_u64(&from);
    if (frame->type == IMAGE_CHANGE && wire_ok(&from))
        return 0;
    image_change_done(ret);
    return wire_refuse(&from, err, "change of supermachine-image");
}

int image_get_text(const struct frame *frame, char **ret, struct sm_error *err)
{
    struct wire_reader from;

    wire_read(&from, frame->payload, frame->count);
    *ret = wire_string(&from);
    if (frame->type == IMAGE_TEXT && wire_ok(&from))
        return 0;
    free(*ret);
    *ret = NULL;
    return wire_refuse(&from, err, "text of supermachine-image");
}

int image_get_error(const struct frame *frame, struct sm_error *err)
{
    struct wire_reader from;
    int code;
    int os_error;
    const uint8_t *message;
    size_t count;

    wire_read(&from, frame->payload, frame->count);
    code = (int)wire_u32(&from);
    os_error = (int)wire_u32(&from);
    message = wire_blob(&from, &count);
    if (frame->type != IMAGE_ERROR || !wire_ok(&from) || code >= 0 ||
        count > INT32_MAX)
        return wire_refuse(&from, err, "error of supermachine-image");
    if (err) {
        fail(err, code, "%.*s", (int)count, (const char *)message);
        err->os_error = os_error;
    }
    return code;
}
