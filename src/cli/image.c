/* image.c: finding an image, and telling about it; see image.h. */
#include "image.h"

#include "events.h"
#include "progress.h"

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

/* Who is told of image work, and whether it was a pull. */
struct listener {
    /* NULL: nobody. */
    void (*tell)(void *context, const struct sm_progress *event);
    void *context;
    bool pulled;
};

static void listen_to(void *context, const struct sm_progress *event)
{
    struct listener *listener = context;

    listener->pulled |= strcmp(event->what, "pull") == 0;
    if (listener->tell)
        listener->tell(listener->context, event);
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

int cli_image_open(struct sm_host *host, const char *reference,
                   const struct image_options *options, struct sm_image **ret,
                   struct sm_error *err)
{
    bool shown = !options->quiet && !options->json && can_draw();
    FILE *json_to = options->json_to ? options->json_to : stdout;
    struct listener listener = {.pulled = options->refresh};
    struct sm_image_config config;
    struct progress progress;
    int rc;

    progress_init(&progress, stderr);
    sm_image_config_init(&config);
    config.platform = options->platform;
    config.refresh = options->refresh;
    config.insecure = options->insecure.item;
    config.progress = listen_to;
    config.context = &listener;
    if (options->json) {
        listener.tell = print_line;
        listener.context = json_to;
    } else if (shown) {
        listener.tell = show_lines;
        listener.context = &progress;
    }
    rc = sm_image_prepare(host, reference, &config, ret, err);
    progress_erase(&progress, size_now().ws_col);
    progress_done(&progress);
    if (!rc && listener.pulled)
        events_note_image("pull", reference, reference);
    if (!rc && options->json)
        print_result(json_to, *ret);
    return rc;
}

void image_options_done(struct image_options *options)
{
    option_list_done(&options->insecure);
}
