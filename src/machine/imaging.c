/* imaging.c: runs supermachine-image; see imaging.h. */
#include "machine/imaging.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/channel.h"
#include "platform/file.h"
#include "platform/process.h"
#include "proto/resolved.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct reading {
    struct frame_reader frames;
    imaging_progress_fn *progress;
    void *context;
    struct image_result *result;
};

static void tell_progress(struct reading *reading, const struct frame *frame)
{
    struct image_progress progress;

    if (!reading->progress || image_get_progress(frame, &progress, NULL) != 0)
        return;
    reading->progress(reading->context,
                      &(struct sm_progress){.what = progress.step,
                                            .done = progress.done,
                                            .total = progress.total,
                                            .layer = progress.layer,
                                            .number = progress.number,
                                            .count = progress.count});
    image_progress_done(&progress);
}

/* 1: the result is there; 0: go on; else the failure. */
static int take_frames(struct reading *reading, struct sm_error *err)
{
    struct frame frame;
    int rc;

    while ((rc = frame_reader_next(&reading->frames, &frame, err)) == 1) {
        switch (frame.type) {
        case IMAGE_PROGRESS:
            tell_progress(reading, &frame);
            break;
        case IMAGE_RESULT:
            rc = image_get_result(&frame, reading->result, err);
            return rc ? rc : 1;
        case IMAGE_ERROR:
            return image_get_error(&frame, err);
        default:
            return fail(err, SM_EPROTO, "supermachine-image: message %u",
                        frame.type);
        }
    }
    return rc;
}

static int read_result(struct reading *reading, int fd, struct sm_error *err)
{
    for (;;) {
        size_t room;
        uint8_t *to = frame_reader_room(&reading->frames, &room);
        ssize_t got;
        int rc;

        if (!to)
            return fail(err, SM_ENOMEM, "image: out of memory");
        got = read(fd, to, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_os(err, "supermachine-image: read");
        if (got == 0)
            return fail(err, SM_EIO,
                        "supermachine-image died before it was done");
        frame_reader_added(&reading->frames, (size_t)got);
        rc = take_frames(reading, err);
        if (rc)
            return rc < 0 ? rc : 0;
    }
}

/* The program's arguments, which point into what they were made of. */
struct arguments {
    char **items; /* NULL at the end */
    size_t count;
};

static void add_argument(struct arguments *to, const char *word)
{
    to->items[to->count++] = (char *)(uintptr_t)word;
}

/* "--NAME", (value) */
static void add_option(struct arguments *to, const char *name,
                       const char *value)
{
    add_argument(to, name);
    add_argument(to, value);
}

static int make_arguments(const char *home, const struct image_request *image,
                          const struct imaging_request *request,
                          const char *disk_bytes, struct arguments *ret)
{
    enum { FIXED = 16 };
    size_t more = 0;

    while (request->insecure && request->insecure[more])
        more++;
    *ret = (struct arguments){.items =
                                  calloc(FIXED + 2 * more, sizeof *ret->items)};
    if (!ret->items)
        return SM_ENOMEM;
    add_argument(ret, "supermachine-image");
    add_argument(ret, "prepare");
    add_option(ret, "--home", home);
    add_option(ret, "--disk-size", disk_bytes);
    add_option(ret, "--platform", image->platform);
    add_option(ret, "--fd", "3");
    /* 0 is /dev/null there. */
    add_option(ret, "--input", strcmp(image->reference, "-") == 0 ? "4" : "0");
    if (request->refresh)
        add_argument(ret, "--refresh");
    for (size_t i = 0; i < more; i++)
        add_option(ret, "--insecure", request->insecure[i]);
    add_option(ret, "--", image->reference);
    return 0;
}

/* Start it with one end of a stream, and read what it says on the other. */
static int talk(const struct process_plan *plan, int *far_end, int near_end,
                struct reading *reading, struct sm_error *err)
{
    struct process process;
    int rc = process_start_plan(plan, &process, err);

    close(own_take_fd(far_end));
    if (rc)
        return rc;
    rc = read_result(reading, near_end, err);
    /* It has nothing more to do, whatever became of it. */
    process_kill(&process);
    process_wait(&process, NULL);
    return rc;
}

static int run_program(const struct machine_paths *paths,
                       const struct image_request *image,
                       const struct imaging_request *request,
                       struct reading *reading, struct sm_error *err)
{
    AUTO_FREE char *program = NULL;
    AUTO_FREE char **argv = NULL;
    struct arguments arguments;
    char disk_bytes[24];
    int fds[2] = {-1, STDIN_FILENO};
    int ends[2];
    int rc;

    snprintf(disk_bytes, sizeof disk_bytes, "%llu",
             (unsigned long long)image->disk_bytes);
    rc = make_arguments(paths->home, image, request, disk_bytes, &arguments);
    argv = arguments.items;
    if (!rc &&
        asprintf(&program, "%s/supermachine-image", paths->runtime_dir) < 0) {
        program = NULL;
        rc = SM_ENOMEM;
    }
    if (rc)
        return fail(err, rc, "image: out of memory");
    rc = stream_pair(ends, err);
    if (rc)
        return rc;
    fds[0] = ends[1];
    rc = talk(
        &(struct process_plan){
            .path = program,
            .argv = argv,
            .env = paths->image_env,
            .fds = fds,
            .fd_count = strcmp(image->reference, "-") == 0 ? 2 : 1,
        },
        &ends[1], ends[0], reading, err);
    close(ends[0]);
    return rc;
}

int imaging_prepare(const struct machine_paths *paths,
                    const struct imaging_request *request,
                    struct image_result *ret, struct sm_error *err)
{
    AUTO_FREE char *folder = getcwd(NULL, 0);
    AUTO_FREE char *absolute = NULL;
    struct image_request image = {
        .platform = request->platform ? request->platform : "",
        .disk_bytes = IMAGE_DISK_DEFAULT_GIB * GIB};
    struct reading reading = {.progress = request->progress,
                              .context = request->context,
                              .result = ret};
    int rc = reference_absolute(request->reference, folder, &absolute, err);

    if (rc)
        return rc;
    image.reference = absolute;
    if (!request->refresh && resolved_load(paths->home, &image, ret, NULL) == 0)
        return 0;
    rc = folder_make(paths->home, err);
    if (rc)
        return rc;
    frame_reader_init(&reading.frames, IMAGE_CHUNK, IMAGE_FRAME_MAX,
                      image_check);
    rc = run_program(paths, &image, request, &reading, err);
    frame_reader_done(&reading.frames);
    return rc;
}
