/* report.c: frames or lines of JSON; see report.h. */
#include "image/report.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/clock.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_NS (100 * NS_PER_MS)

static int send_all(int fd, const struct buf *bytes, struct sm_error *err)
{
    size_t done = 0;

    if (bytes->failed)
        return fail(err, SM_ELIMIT, "report of more than %zu bytes",
                    bytes->cap);
    while (done < bytes->size) {
        ssize_t put = write(fd, bytes->data + done, bytes->size - done);

        if (put < 0 && errno != EINTR)
            return fail_os(err, "report");
        if (put > 0)
            done += (size_t)put;
    }
    return 0;
}

/* One line; takes (line) over, which may be NULL. */
static int send_line(int fd, json_t *line, struct sm_error *err)
{
    AUTO(buf_done) struct buf bytes = {0};
    AUTO_FREE char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;

    json_decref(line);
    if (!text)
        return fail(err, SM_ENOMEM, "report: out of memory");
    buf_init(&bytes, IMAGE_FRAME_MAX);
    buf_append(&bytes, text, strlen(text));
    buf_append(&bytes, "\n", 1);
    return send_all(fd, &bytes, err);
}

/* Take note that (progress) is told now; false: it is not to be. */
static bool is_due(struct report_layer *layer,
                   const struct image_progress *progress)
{
    uint64_t now = clock_monotonic_ns();
    bool is_done = progress->done == progress->total;

    if (layer->step && strcmp(layer->step, progress->step) == 0 &&
        layer->is_done == is_done &&
        (is_done || now - layer->last_ns < PROGRESS_NS))
        return false;
    *layer = (struct report_layer){
        .step = progress->step, .last_ns = now, .is_done = is_done};
    return true;
}

void report_progress(struct reporter *reporter,
                     const struct image_progress *progress)
{
    AUTO(buf_done) struct buf bytes = {0};

    if (!progress->number || progress->number > REPORT_LAYERS_MAX ||
        !is_due(&reporter->layers[progress->number - 1], progress))
        return;
    if (reporter->json) {
        (void)send_line(
            reporter->fd,
            json_pack("{ss ss ss si si sI sI}", "event", "progress", "step",
                      progress->step, "layer", progress->layer, "number",
                      (int)progress->number, "count", (int)progress->count,
                      "done", (json_int_t)progress->done, "total",
                      (json_int_t)progress->total),
            NULL);
        return;
    }
    buf_init(&bytes, 64 * KIB);
    image_put_progress(&bytes, progress);
    (void)send_all(reporter->fd, &bytes, NULL);
}

static json_t *strings_json(const struct image_strings *list)
{
    json_t *array = json_array();

    for (uint32_t i = 0; array && i < list->count; i++)
        json_array_append_new(array, json_string(list->items[i]));
    return array;
}

static json_t *config_json(const struct image_config *config)
{
    return json_pack(
        "{so so so so so so ss ss ss ss}", "entrypoint",
        strings_json(&config->entrypoint), "cmd", strings_json(&config->cmd),
        "env", strings_json(&config->env), "volumes",
        strings_json(&config->volumes), "ports", strings_json(&config->ports),
        "labels", strings_json(&config->labels), "workdir", config->workdir,
        "user", config->user, "stop_signal", config->stop_signal, "healthcheck",
        config->healthcheck);
}

int report_result(struct reporter *reporter, const struct image_result *result,
                  struct sm_error *err)
{
    AUTO(buf_done) struct buf bytes = {0};

    buf_init(&bytes, IMAGE_FRAME_MAX);
    if (reporter->json)
        return send_line(reporter->fd,
                         json_pack("{ss ss sI ss ss ss sb so}", "event",
                                   "result", "rootfs", result->rootfs, "size",
                                   (json_int_t)result->disk_bytes, "digest",
                                   result->digest, "config_digest",
                                   result->config_digest, "platform",
                                   result->platform, "reused", result->reused,
                                   "config", config_json(&result->config)),
                         err);
    image_put_result(&bytes, result);
    return send_all(reporter->fd, &bytes, err);
}

int report_error(struct reporter *reporter, const struct sm_error *error,
                 struct sm_error *err)
{
    AUTO(buf_done) struct buf bytes = {0};

    buf_init(&bytes, 64 * KIB);
    if (reporter->json)
        return send_line(reporter->fd,
                         json_pack("{ss si ss}", "event", "error", "code",
                                   error->code, "message", error->message),
                         err);
    image_put_error(&bytes, error);
    return send_all(reporter->fd, &bytes, err);
}

int report_stored(struct reporter *reporter, const struct image_stored *stored,
                  struct sm_error *err)
{
    AUTO(buf_done) struct buf bytes = {0};

    buf_init(&bytes, IMAGE_FRAME_MAX);
    if (reporter->json)
        return send_line(reporter->fd, json_loads(stored->json, 0, NULL), err);
    image_put_stored(&bytes, stored);
    return send_all(reporter->fd, &bytes, err);
}

int report_change(struct reporter *reporter, const struct image_change *change,
                  struct sm_error *err)
{
    AUTO(buf_done) struct buf bytes = {0};

    buf_init(&bytes, 64 * KIB);
    if (reporter->json)
        return send_line(reporter->fd,
                         json_pack("{ss si ss ss sI}", "event", "change",
                                   "kind", change->kind, "what", change->what,
                                   "why", change->why, "bytes",
                                   (json_int_t)change->bytes),
                         err);
    image_put_change(&bytes, change);
    return send_all(reporter->fd, &bytes, err);
}

int report_text(struct reporter *reporter, const char *text,
                struct sm_error *err)
{
    AUTO(buf_done) struct buf bytes = {0};

    buf_init(&bytes, IMAGE_FRAME_MAX);
    if (reporter->json)
        return text[0] ? send_line(reporter->fd, json_loads(text, 0, NULL), err)
                       : 0;
    image_put_text(&bytes, text);
    return send_all(reporter->fd, &bytes, err);
}
