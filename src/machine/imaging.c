/* imaging.c: runs supermachine-image; see imaging.h. */
#include "machine/imaging.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/channel.h"
#include "platform/file.h"
#include "platform/process.h"
#include "proto/resolved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* ---- running it ---- */

struct reading {
    struct frame_reader frames;
    imaging_frame_fn *fn;
    void *context;
};

/* 1: the last frame was there; 0: go on; else the failure. */
static int take_frames(struct reading *reading, struct sm_error *err)
{
    struct frame frame;
    int rc;

    while ((rc = frame_reader_next(&reading->frames, &frame, err)) == 1) {
        if (frame.type == IMAGE_ERROR)
            return image_get_error(&frame, err);
        rc = reading->fn(reading->context, &frame, err);
        if (rc)
            return rc;
    }
    return rc;
}

static int read_frames(struct reading *reading, int fd, struct sm_error *err)
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

/* Start it with one end of a stream, and read what it says on the other. */
static int talk(const struct process_plan *plan, int *far_end, int near_end,
                struct reading *reading, struct sm_error *err)
{
    struct process process;
    int rc = process_start_plan(plan, &process, err);

    close(own_take_fd(far_end));
    if (rc)
        return rc;
    rc = read_frames(reading, near_end, err);
    /* It has nothing more to do, whatever became of it. */
    process_kill(&process);
    process_wait(&process, NULL);
    return rc;
}

/* Name, verb, our options, the others: "--home=DIR --fd=3". An array whose
 * strings stay where they are; NULL if memory is out. */
static char **make_argv(const struct imaging_call *call, const char *home)
{
    enum { OURS = 5 };
    size_t count = 0;
    const char **argv;

    while (call->arguments[count])
        count++;
    argv = calloc(count + OURS + 1, sizeof *argv);
    if (!argv)
        return NULL;
    argv[0] = "supermachine-image";
    argv[1] = call->arguments[0];
    argv[2] = "--home";
    argv[3] = home;
    argv[4] = "--fd=3";
    for (size_t i = 1; i < count; i++)
        argv[OURS + i - 1] = call->arguments[i];
    return (char **)(uintptr_t)argv;
}

static int start_and_read(const struct machine_paths *paths,
                          const struct imaging_call *call,
                          struct reading *reading, struct sm_error *err)
{
    AUTO_FREE char *program = NULL;
    AUTO_FREE char **argv = make_argv(call, paths->home);
    int fds[2] = {-1, call->file};
    int ends[2];
    int rc;

    if (asprintf(&program, "%s/supermachine-image", paths->runtime_dir) < 0)
        program = NULL;
    if (!argv || !program)
        return fail(err, SM_ENOMEM, "image: out of memory");
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
            .fd_count = call->file < 0 ? 1 : 2,
        },
        &ends[1], ends[0], reading, err);
    close(ends[0]);
    return rc;
}

int imaging_run(const struct machine_paths *paths,
                const struct imaging_call *call, imaging_frame_fn *fn,
                void *context, struct sm_error *err)
{
    struct reading reading = {.fn = fn, .context = context};
    int rc = folder_make(paths->home, err);

    if (rc)
        return rc;
    frame_reader_init(&reading.frames, IMAGE_CHUNK, IMAGE_FRAME_MAX,
                      image_check);
    rc = start_and_read(paths, call, &reading, err);
    frame_reader_done(&reading.frames);
    return rc;
}

/* ---- preparing ---- */

struct preparing {
    const struct imaging_request *request;
    struct image_result *result;
};

void imaging_tell_progress(imaging_progress_fn *fn, void *context,
                           const struct frame *frame)
{
    struct image_progress progress;

    if (!fn || image_get_progress(frame, &progress, NULL) != 0)
        return;
    fn(context, &(struct sm_progress){.what = progress.step,
                                      .done = progress.done,
                                      .total = progress.total,
                                      .layer = progress.layer,
                                      .number = progress.number,
                                      .count = progress.count});
    image_progress_done(&progress);
}

static int take_prepared(void *context, const struct frame *frame,
                         struct sm_error *err)
{
    struct preparing *preparing = context;
    int rc;

    if (frame->type == IMAGE_PROGRESS) {
        imaging_tell_progress(preparing->request->progress,
                              preparing->request->context, frame);
        return 0;
    }
    rc = image_get_result(frame, preparing->result, err);
    return rc ? rc : 1;
}

static int prepare(const struct machine_paths *paths,
                   const struct image_request *image,
                   struct preparing *preparing, struct sm_error *err)
{
    enum { FIXED = 12 };
    const struct imaging_request *request = preparing->request;
    bool from_input = strcmp(image->reference, "-") == 0;
    AUTO_FREE const char **words = NULL;
    char disk_bytes[48];
    size_t more = 0;
    size_t count = 0;

    while (request->insecure && request->insecure[more])
        more++;
    words = calloc(FIXED + 2 * more, sizeof *words);
    if (!words)
        return fail(err, SM_ENOMEM, "image: out of memory");
    snprintf(disk_bytes, sizeof disk_bytes, "--disk-size=%llu",
             (unsigned long long)image->disk_bytes);
    words[count++] = "prepare";
    words[count++] = disk_bytes;
    words[count++] = "--platform";
    words[count++] = image->platform;
    /* 0 is /dev/null there. */
    words[count++] = from_input ? "--file=4" : "--file=0";
    if (request->refresh)
        words[count++] = "--refresh";
    for (size_t i = 0; i < more; i++) {
        words[count++] = "--insecure";
        words[count++] = request->insecure[i];
    }
    words[count++] = "--";
    words[count++] = image->reference;
    return imaging_run(
        paths,
        &(struct imaging_call){.arguments = words,
                               .file = from_input ? STDIN_FILENO : -1},
        take_prepared, preparing, err);
}

/* SM_ENOENT: somebody has removed it since it was made or found. */
static int hold_rootfs(const struct image_result *result, int *ret_fd,
                       struct sm_error *err)
{
    AUTO_CLOSE int fd = open(result->rootfs, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc;

    if (fd < 0)
        return fail_os(err, "root file system %s", result->rootfs);
    rc = file_hold(fd, err);
    if (rc)
        return wrap(err, rc, "root file system %s", result->rootfs);
    *ret_fd = own_take_fd(&fd);
    return 0;
}

static int find_resolved(const char *home, const struct image_request *image,
                         struct image_result *ret, int *ret_fd,
                         struct sm_error *err)
{
    int rc = resolved_load(home, image, ret, err);

    if (rc)
        return rc;
    rc = hold_rootfs(ret, ret_fd, err);
    if (rc)
        image_result_done(ret);
    return rc;
}

int imaging_prepare(const struct machine_paths *paths,
                    const struct imaging_request *request,
                    struct image_result *ret, int *ret_fd, struct sm_error *err)
{
    enum { ATTEMPTS = 4 };
    AUTO_FREE char *folder = getcwd(NULL, 0);
    AUTO_FREE char *absolute = NULL;
    struct image_request image = {
        .platform = request->platform ? request->platform : "",
        .disk_bytes = IMAGE_DISK_DEFAULT_GIB * GIB};
    struct preparing preparing = {.request = request, .result = ret};
    int rc;

    if (!folder && errno == ENOMEM)
        return fail(err, SM_ENOMEM, "image: out of memory");
    rc = reference_absolute(request->reference, folder, &absolute, err);
    if (rc)
        return rc;
    image.reference = absolute;
    rc = request->refresh
             ? SM_ENOENT
             : find_resolved(paths->home, &image, ret, ret_fd, err);
    if (!rc || rc == SM_ENOMEM)
        return rc;
    /* Between the program's end and our lock it may be removed: once more. */
    for (int i = 0; i < ATTEMPTS; i++) {
        rc = prepare(paths, &image, &preparing, err);
        if (rc)
            return rc;
        rc = hold_rootfs(ret, ret_fd, err);
        if (!rc)
            return 0;
        image_result_done(ret);
        if (rc != SM_ENOENT || strcmp(absolute, "-") == 0)
            return rc;
    }
    return rc;
}
