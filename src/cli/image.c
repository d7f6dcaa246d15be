/* image.c: finding an image, and telling about it; see image.h. */
#include "image.h"

#include "events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Of standard error, which may be another terminal than the command's. */
static struct winsize size_now(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_row ||
        !size.ws_col)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    return size;
}

static void listen_to(void *context, const struct sm_progress *event)
{
    struct cli_telling *telling = context;

    telling->pulled |= strcmp(event->what, "pull") == 0;
    if (telling->tell)
        telling->tell(telling->context, event);
}

static void show_lines(void *context, const struct sm_progress *event)
{
    struct progress *progress = context;
    uint64_t now = now_ns();
    struct winsize size;

    if (!progress_note(progress, event, now))
        return;
    size = size_now();
    progress_draw(progress, size.ws_row, size.ws_col, now);
}

/* Words and numbers of the library's own: nothing to escape. */
static void print_line(void *context, const struct sm_progress *event)
{
    FILE *to = context;

    fprintf(to,
            "{\"event\":\"progress\",\"step\":\"%s\",\"layer\":\"%s\","
            "\"number\":%u,\"count\":%u,\"done\":%llu,\"total\":%llu}\n",
            event->what, event->layer, event->number, event->count,
            (unsigned long long)event->done, (unsigned long long)event->total);
    fflush(to);
}

static void print_result(FILE *to, const struct sm_image *image)
{
    fprintf(to, "{\"event\":\"result\",\"digest\":\"%s\"}\n",
            sm_image_digest(image));
    fflush(to);
}

/* Standard error is a terminal, and one that can be drawn on. */
static bool can_draw(void)
{
    const char *kind = getenv("TERM");

    return isatty(STDERR_FILENO) && kind && strcmp(kind, "dumb") != 0;
}

static void note_loaded(void *context, const struct sm_store_change *change)
{
    struct cli_telling *telling = context;

    if (change->kind == SM_STORE_LOADED && !telling->loaded)
        telling->loaded = strdup(change->what);
}

void cli_telling_init(struct cli_telling *telling,
                      const struct image_options *options)
{
    bool shown = !options->quiet && !options->json && can_draw();

    progress_init(&telling->progress, stderr);
    sm_image_config_init(&telling->config);
    telling->config.platform = options->platform;
    telling->config.refresh = options->refresh;
    telling->config.insecure = options->insecure.item;
    telling->config.progress = listen_to;
    telling->config.report = note_loaded;
    telling->config.context = telling;
    telling->loaded = NULL;
    telling->tell = NULL;
    telling->pulled = options->refresh;
    if (options->json) {
        telling->tell = print_line;
        telling->context = options->json_to ? options->json_to : stdout;
    } else if (shown) {
        telling->tell = show_lines;
        telling->context = &telling->progress;
    }
}

void cli_telling_done(struct cli_telling *telling)
{
    progress_erase(&telling->progress, size_now().ws_col);
    progress_done(&telling->progress);
}

int cli_image_open(struct sm_host *host, const char *reference,
                   const struct image_options *options, struct sm_image **ret,
                   struct sm_error *err)
{
    struct cli_telling telling;
    int rc;

    cli_telling_init(&telling, options);
    rc = sm_image_prepare(host, reference, &telling.config, ret, err);
    cli_telling_done(&telling);
    if (!rc && telling.pulled)
        events_note_image("pull", reference, reference);
    if (!rc && options->json)
        print_result(options->json_to ? options->json_to : stdout, *ret);
    return rc;
}
