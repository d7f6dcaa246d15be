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
                                            .total = progress.total});
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

static int run_program(const struct machine_paths *paths,
                       const struct image_request *request,
                       struct reading *reading, struct sm_error *err)
{
    AUTO_FREE char *program = NULL;
    bool reads_input = strcmp(request->reference, "-") == 0;
    char disk_bytes[24];
    char *argv[] = {
        "supermachine-image",
        "prepare",
        "--home",
        (char *)(uintptr_t)paths->home,
        "--disk-size",
        disk_bytes,
        "--fd",
        "3",
        reads_input ? "--input=4" : "--input=0", /* 0 is /dev/null there */
        "--",
        (char *)(uintptr_t)request->reference,
        NULL,
    };
    struct process process;
    int fds[2] = {-1, STDIN_FILENO};
    int ends[2];
    int rc;

    snprintf(disk_bytes, sizeof disk_bytes, "%llu",
             (unsigned long long)request->disk_bytes);
    if (asprintf(&program, "%s/supermachine-image", paths->runtime_dir) < 0) {
        program = NULL;
        return fail(err, SM_ENOMEM, "image: out of memory");
    }
    rc = stream_pair(ends, err);
    if (rc)
        return rc;
    fds[0] = ends[1];
    rc = process_start(program, argv, fds, reads_input ? 2 : 1, &process, err);
    close(ends[1]);
    if (!rc) {
        rc = read_result(reading, ends[0], err);
        /* It has nothing more to do, whatever became of it. */
        process_kill(&process);
        process_wait(&process, NULL);
    }
    close(ends[0]);
    return rc;
}

int imaging_prepare(const struct machine_paths *paths, const char *reference,
                    imaging_progress_fn *progress, void *context,
                    struct image_result *ret, struct sm_error *err)
{
    AUTO_FREE char *folder = getcwd(NULL, 0);
    AUTO_FREE char *absolute = NULL;
    struct image_request request = {.platform = "",
                                    .disk_bytes = IMAGE_DISK_DEFAULT_GIB * GIB};
    struct reading reading = {
        .progress = progress, .context = context, .result = ret};
    int rc = reference_absolute(reference, folder, &absolute, err);

    if (rc)
        return rc;
    request.reference = absolute;
    if (resolved_load(paths->home, &request, ret, NULL) == 0)
        return 0;
    rc = folder_make(paths->home, err);
    if (rc)
        return rc;
    frame_reader_init(&reading.frames, IMAGE_CHUNK, IMAGE_FRAME_MAX,
                      image_check);
    rc = run_program(paths, &request, &reading, err);
    frame_reader_done(&reading.frames);
    return rc;
}
