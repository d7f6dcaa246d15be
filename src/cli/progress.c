/* progress.c: layers on a terminal; see progress.h. */
#include "progress.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 160, ID_LENGTH = 12, ID_MAX = 24 };

static const uint64_t ns_per_ms = 1000000;
static const uint64_t redraw_ns = 100 * 1000000;
static const uint64_t rate_after_ms = 300; /* sooner it says nothing */

struct progress_layer {
    char step[16];   /* "": none yet */
    char id[ID_MAX]; /* "layer 3" until it is known */
    uint64_t done;   /* bytes */
    uint64_t total;
    uint64_t began_ns; /* this step, at (began_bytes) */
    uint64_t began_bytes;
    uint64_t last_ns;
};

void progress_init(struct progress *progress, FILE *to)
{
    *progress = (struct progress){.to = to};
}

void progress_done(struct progress *progress)
{
    free(progress->layers);
    free(progress->widths);
    *progress = (struct progress){0};
}

/* ---- events ---- */

static bool is_finished(const struct progress_layer *layer)
{
    return layer->step[0] && layer->done == layer->total;
}

/* The first letters of what follows "sha256:". */
static void set_id(struct progress_layer *layer, const char *digest)
{
    const char *colon = digest ? strchr(digest, ':') : NULL;

    if (colon)
        snprintf(layer->id, sizeof layer->id, "%.*s", ID_LENGTH, colon + 1);
}

/* Room for a line per layer, and one more. */
static bool make_room(struct progress *progress, uint32_t count)
{
    if (progress->layers)
        return count == progress->count;
    progress->layers = calloc(count, sizeof *progress->layers);
    progress->widths = calloc((size_t)count + 1, sizeof *progress->widths);
    if (!progress->layers || !progress->widths) {
        progress_done(progress);
        return false;
    }
    progress->count = count;
    progress->lines_max = count + 1;
    for (uint32_t i = 0; i < count; i++)
        snprintf(progress->layers[i].id, sizeof progress->layers[i].id,
                 "layer %u", i + 1);
    return true;
}

bool progress_note(struct progress *progress, const struct sm_progress *event,
                   uint64_t now_ns)
{
    struct progress_layer *layer;

    if (!event->number || event->number > event->count ||
        !make_room(progress, event->count))
        return false;
    layer = &progress->layers[event->number - 1];
    if (strcmp(progress->step, event->what) != 0) {
        snprintf(progress->step, sizeof progress->step, "%s", event->what);
        progress->finished = 0;
    }
    if (strcmp(layer->step, event->what) != 0 || event->done < layer->done) {
        snprintf(layer->step, sizeof layer->step, "%s", event->what);
        layer->began_ns = now_ns;
        layer->began_bytes = event->done;
    }
    set_id(layer, event->layer);
    layer->done = event->done;
    layer->total = event->total;
    layer->last_ns = now_ns;
    progress->finished = 0;
    for (uint32_t i = 0; i < progress->count; i++)
        progress->finished +=
            strcmp(progress->layers[i].step, progress->step) == 0 &&
            is_finished(&progress->layers[i]);
    return !progress->drawn_ns || now_ns - progress->drawn_ns >= redraw_ns;
}

/* ---- drawing ---- */

static void describe(const struct progress_layer *layer,
                     char to[LINE_MAX_BYTES])
{
    uint64_t ms = (layer->last_ns - layer->began_ns) / ns_per_ms;
    double rate =
        ms < rate_after_ms
            ? 0
            : (double)(layer->done - layer->began_bytes) / 1e3 / (double)ms;
    int used;

    if (!layer->step[0]) {
        snprintf(to, LINE_MAX_BYTES, "%-6s  %-*s  waits", "", ID_LENGTH,
                 layer->id);
        return;
    }
    used = snprintf(to, LINE_MAX_BYTES, "%-6s  %-*s  ", layer->step, ID_LENGTH,
                    layer->id);
    if (is_finished(layer))
        snprintf(to + used, LINE_MAX_BYTES - (size_t)used, "%.1f MB, done",
                 (double)layer->total / 1e6);
    else if (rate > 0)
        snprintf(to + used, LINE_MAX_BYTES - (size_t)used,
                 "%.1f of %.1f MB, %.1f MB/s", (double)layer->done / 1e6,
                 (double)layer->total / 1e6, rate);
    else
        snprintf(to + used, LINE_MAX_BYTES - (size_t)used, "%.1f of %.1f MB",
                 (double)layer->done / 1e6, (double)layer->total / 1e6);
}

/* To the beginning of what was drawn, however the terminal has wrapped it. */
static void go_up(const struct progress *progress, unsigned columns)
{
    unsigned rows = 0;

    for (unsigned i = 0; i < progress->lines; i++)
        rows += progress->widths[i] > columns
                    ? (progress->widths[i] + columns - 1) / columns
                    : 1;
    fputc('\r', progress->to);
    if (rows)
        fprintf(progress->to, "\033[%uA", rows);
}

/* The last column stays free: what is written there wraps on some. */
static void put_line(struct progress *progress, const char *line,
                     unsigned columns)
{
    unsigned width = (unsigned)strlen(line);

    if (width > columns - 1)
        width = columns - 1;
    fprintf(progress->to, "%.*s\033[K\n", (int)width, line);
    progress->widths[progress->lines++] = width;
}

static bool is_on_its_way(const struct progress_layer *layer)
{
    return layer->step[0] && !is_finished(layer);
}

void progress_draw(struct progress *progress, unsigned rows, unsigned columns,
                   uint64_t now_ns)
{
    bool all = progress->count < rows;
    char line[LINE_MAX_BYTES];

    go_up(progress, columns);
    progress->lines = 0;
    progress->drawn_ns = now_ns;
    for (uint32_t i = 0; i < progress->count; i++) {
        /* The cursor has the last row, the sum the one before. */
        if (!all && (progress->lines + 2 >= rows ||
                     !is_on_its_way(&progress->layers[i])))
            continue;
        describe(&progress->layers[i], line);
        put_line(progress, line, columns);
    }
    if (!all) {
        snprintf(line, sizeof line, "%-6s  %u of %u layers done",
                 progress->step, progress->finished, progress->count);
        put_line(progress, line, columns);
    }
    fputs("\033[J", progress->to);
    fflush(progress->to);
}

void progress_erase(struct progress *progress, unsigned columns)
{
    if (!progress->lines)
        return;
    go_up(progress, columns);
    fputs("\033[J", progress->to);
    fflush(progress->to);
    progress->lines = 0;
}
