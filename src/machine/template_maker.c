/* template_maker.c: a template is made; see template.h.
 *
 * How it works
 *   lock -> worker boots -> agent says hello -> worker saves -> sync -> name
 */
#include "machine/template.h"

#include "base/bytes.h"
#include "base/own.h"
#include "exec/session.h"
#include "machine/worker.h"
#include "platform/channel.h"
#include "platform/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    /* Of the placeholder. Not 0: Linux tells nobody when a disk of no size
     * gets one. Never read: the guest knows no partition tables. */
    DISK_BYTES = 1 << 20,
    /* Templates that nobody used for so long are of a kernel, agent or host
     * that is gone. */
    UNUSED_DAYS = 7
};

struct template_maker {
    struct loop *loop;
    const struct machine_paths *paths;
    const struct template_key *key;
    int lock;
    struct file_fresh file;
    struct worker *worker;
    struct session *session;
    bool over;
    template_made_fn *made;
    void *context;
};

/* Files ------------------------------------------------------------------ */

static bool is_unused(const struct stat *st)
{
    struct timespec now;

    return clock_gettime(CLOCK_REALTIME, &now) == 0 &&
           now.tv_sec - st->st_mtim.tv_sec > UNUSED_DAYS * 24 * 3600;
}

/* A lock that goes while it is held would let two make the same. */
static bool is_lock(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && strcmp(dot, ".lock") == 0;
}

void template_sweep(const struct machine_paths *paths, bool all,
                    template_swept_fn *fn, void *context)
{
    AUTO_FREE char *folder = NULL;
    const struct dirent *entry;
    struct stat st;
    DIR *list;

    if (template_path(paths, "", "", &folder, NULL) != 0)
        return;
    list = opendir(folder);
    while (list && (entry = readdir(list)) != NULL) {
        if (fstatat(dirfd(list), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) !=
                0 ||
            !S_ISREG(st.st_mode) ||
            !(is_unused(&st) || (all && !is_lock(entry->d_name))) ||
            unlinkat(dirfd(list), entry->d_name, 0) != 0)
            continue;
        /* A snapshot may have it as well. */
        if (fn)
            fn(context, entry->d_name,
               st.st_nlink > 1 ? 0 : (uint64_t)st.st_blocks * 512);
    }
    if (list)
        closedir(list);
}

static int take_lock(struct template_maker *maker, struct sm_error *err)
{
    AUTO_FREE char *path = NULL;
    int rc = template_path(maker->paths, maker->key->name, ".lock", &path, err);

    if (rc)
        return rc;
    maker->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (maker->lock < 0)
        return fail_os(err, "template: %s", path);
    if (flock(maker->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK
               ? fail(err, SM_EBUSY, "template: is being made already")
               : fail_os(err, "template: lock %s", path);
}

static int open_files(struct template_maker *maker, struct sm_error *err)
{
    AUTO_FREE char *folder = NULL;
    int rc = template_path(maker->paths, "", "", &folder, err);

    if (!rc)
        rc = folder_make(folder, err);
    if (!rc)
        rc = take_lock(maker, err);
    return rc ? rc : file_fresh_open(folder, &maker->file, err);
}

/* Whole and on the disk: give it its name. */
static int publish(struct template_maker *maker, struct sm_error *err)
{
    AUTO_FREE char *folder = NULL;
    AUTO_FREE char *path = NULL;
    int rc = file_sync(maker->file.fd, err);

    if (!rc)
        rc = template_path(maker->paths, maker->key->name, "", &path, err);
    if (!rc)
        rc = template_path(maker->paths, "", "", &folder, err);
    if (!rc)
        rc = file_fresh_keep(&maker->file, path, err);
    if (rc)
        return wrap(err, rc, "template");
    template_sweep(maker->paths, false, NULL, NULL);
    return 0;
}

/* The machine ------------------------------------------------------------ */

static void finish(struct template_maker *maker, int rc, struct sm_error *err)
{
    if (maker->over)
        return;
    maker->over = true;
    if (!rc)
        rc = publish(maker, err);
    maker->made(maker->context, rc, err);
}

static void worker_saved(void *context, const struct worker_saved *saved)
{
    struct sm_error err = saved->error;

    finish(context, err.code, &err);
}

static void worker_gone(void *context, const struct worker_ended *ended)
{
    struct sm_error err = ended->error;

    if (ended->end != WORKER_END_FAILED || !err.code)
        fail(&err, SM_EGUEST, "%s", worker_end_text(ended->end));
    wrap(&err, err.code, "template");
    finish(context, err.code, &err);
}

static const struct worker_events worker_events = {
    .saved = worker_saved,
    .ended = worker_gone,
};

/* The agent waits for SETUP and nothing else goes on in the guest. */
static void agent_greets(void *context, const struct agent_hello *hello)
{
    struct template_maker *maker = context;
    struct worker_save save = {
        .snapshot = (char *)(uintptr_t)maker->key->label,
        .state_at = maker->key->memory_bytes,
    };
    int fds[WORKER_SAVE_FDS_MAX];
    struct sm_error err;
    int rc;

    (void)hello;
    for (int i = 0; i < WORKER_SAVE_FDS_MAX; i++)
        fds[i] = i <= WORKER_SAVE_MEMORY ? maker->file.fd : -1;
    rc = worker_save(maker->worker, &save, fds, &err);
    if (rc)
        finish(maker, rc, &err);
}

static void agent_gone(void *context, const struct sm_error *why)
{
    struct sm_error err = *why;

    wrap(&err, err.code, "template");
    finish(context, err.code, &err);
}

static const struct session_events session_events = {
    .hello = agent_greets,
    .closed = agent_gone,
};

static int open_placeholder(int *fds, struct sm_error *err)
{
    int rc = file_in_memory("supermachine-disk", &fds[WORKER_FD_DISK], err);

    if (!rc)
        rc = file_set_size(fds[WORKER_FD_DISK], DISK_BYTES, err);
    if (!rc)
        rc = file_in_memory("supermachine-overlay", &fds[WORKER_FD_OVERLAY],
                            err);
    return rc ? rc
              : file_in_memory("supermachine-log", &fds[WORKER_FD_LOG], err);
}

/* (fds): kernel and agent are given; the rest becomes the caller's to close. */
static int boot(struct template_maker *maker, int *fds, struct sm_error *err)
{
    struct worker_start start = {
        .memory_bytes = maker->key->memory_bytes,
        .vcpus = maker->key->vcpus,
        .kernel_args = (char *)(uintptr_t) "",
        .snapshot = (char *)(uintptr_t) "",
    };
    AUTO_FREE char *program = NULL;
    int ends[2];
    int rc;

    if (asprintf(&program, "%s/supermachine-vmm", maker->paths->runtime_dir) <
        0) {
        program = NULL;
        return fail(err, SM_ENOMEM, "template: out of memory");
    }
    rc = worker_open(maker->loop, program, &worker_events, maker,
                     &maker->worker, err);
    if (!rc)
        rc = open_placeholder(fds, err);
    if (!rc)
        rc = stream_pair(ends, err);
    if (rc)
        return rc;
    fds[WORKER_FD_AGENT] = ends[1];
    rc = worker_start(maker->worker, &start, fds, err);
    if (rc) {
        close(ends[0]);
        return rc;
    }
    return session_open(maker->loop, ends[0], &session_events, maker,
                        &maker->session, err);
}

static int begin(struct template_maker *maker, int kernel_fd, int initrd_fd,
                 struct sm_error *err)
{
    int fds[WORKER_FDS_MAX];
    int rc = open_files(maker, err);

    for (int i = 0; i < WORKER_FDS_MAX; i++)
        fds[i] = -1;
    fds[WORKER_FD_KERNEL] = kernel_fd;
    fds[WORKER_FD_INITRD] = initrd_fd;

    if (rc)
        return rc;
    rc = boot(maker, fds, err);
    for (int i = WORKER_FD_DISK; i < WORKER_FDS_MAX; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return rc;
}

int template_make(struct loop *loop, const struct machine_paths *paths,
                  const struct template_key *key, int kernel_fd, int initrd_fd,
                  template_made_fn *made, void *context,
                  struct template_maker **ret, struct sm_error *err)
{
    struct template_maker *maker = calloc(1, sizeof *maker);
    int rc;

    if (!maker)
        return fail(err, SM_ENOMEM, "template: out of memory");
    *maker = (struct template_maker){.loop = loop,
                                     .paths = paths,
                                     .key = key,
                                     .lock = -1,
                                     .file = FILE_FRESH_NONE,
                                     .made = made,
                                     .context = context};
    rc = begin(maker, kernel_fd, initrd_fd, err);
    if (rc) {
        template_maker_free(maker);
        return rc;
    }
    *ret = maker;
    return 0;
}

void template_maker_free(struct template_maker *maker)
{
    if (!maker)
        return;
    session_close(maker->session);
    worker_close(maker->worker);
    file_fresh_done(&maker->file);
    if (maker->lock >= 0)
        close(maker->lock);
    free(maker);
}
