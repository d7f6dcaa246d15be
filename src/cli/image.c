/* image.c: finding an image, and telling about it; see image.h. */
#include "image.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What is shown while it goes on. */
struct display {
    bool json;
    char what[64]; /* of the present step */
    uint64_t began_ns;
    uint64_t began_bytes;
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Bytes per second since the step began, 0 while that says nothing. */
static uint64_t rate(struct display *display,
                     const struct sm_progress *progress)
{
    uint64_t now = now_ns();
    uint64_t ms;

    if (!display->began_ns || progress->done < display->began_bytes) {
        display->began_ns = now;
        display->began_bytes = progress->done;
    }
    ms = (now - display->began_ns) / 1000000;
    return ms < 200 ? 0 : (progress->done - display->began_bytes) * 1000 / ms;
}

static void show_line(struct display *display,
                      const struct sm_progress *progress)
{
    uint64_t bytes = rate(display, progress);

    fprintf(stderr, "\r\033[K%s", progress->what);
    if (progress->total)
        fprintf(stderr, ": %.1f of %.1f MB", (double)progress->done / 1e6,
                (double)progress->total / 1e6);
    if (bytes)
        fprintf(stderr, ", %.1f MB/s", (double)bytes / 1e6);
}

/* Steps are words and numbers of the library's own: nothing to escape. */
static void print_line(const struct sm_progress *progress)
{
    printf("{\"event\":\"progress\",\"step\":\"%s\",\"done\":%llu,"
           "\"total\":%llu}\n",
           progress->what, (unsigned long long)progress->done,
           (unsigned long long)progress->total);
    fflush(stdout);
}

static void on_progress(void *context, const struct sm_progress *progress)
{
    struct display *display = context;

    if (display->json)
        print_line(progress);
    else
        show_line(display, progress);
}

int cli_image_open(struct sm_host *host, const char *reference,
                   const struct image_options *options, struct sm_image **ret,
                   struct sm_error *err)
{
    struct display display = {.json = options->json};
    bool shown = !options->quiet && !options->json && isatty(STDERR_FILENO);
    struct sm_image_config config;
    int rc;

    sm_image_config_init(&config);
    config.platform = options->platform;
    config.refresh = options->refresh;
    config.insecure = options->insecure.item;
    config.context = &display;
    if (shown || options->json)
        config.progress = on_progress;
    rc = sm_image_prepare(host, reference, &config, ret, err);
    if (shown)
        fprintf(stderr, "\r\033[K");
    return rc;
}

void image_options_done(struct image_options *options)
{
    option_list_done(&options->insecure);
}
