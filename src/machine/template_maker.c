/* template_maker.c: a template is made; see template.h.
 *
 * How it works
 *   lock the folder -> worker boots -> agent says hello -> worker saves
 *   -> sync both files -> rename the folder
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
    const struct template_key *key;
    char *parent; /* HOME/templates */
    char *fresh;  /* HOME/templates/KEY.new */
    int lock;     /* the same, locked */
    int files[WORKER_SAVE_FDS];
    struct worker *worker;
    struct session *session;
    bool over;
    template_made_fn *made;
    void *context;
};

/* The folder ------------------------------------------------------------- */

/* Days in which nobody opened it. */
static bool is_unused(const struct stat *st)
{
    struct timespec now;

    return clock_gettime(CLOCK_REALTIME, &now) == 0 &&
           now.tv_sec - st->st_mtim.tv_sec > UNUSED_DAYS * 24 * 3600;
}

/* Remove a template that nobody uses any more. Machines that came out of it
 * keep its files as long as they run. */
static void sweep_one(int parent, const char *name)
{
    AUTO_CLOSE int folder =
        openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;

    if (folder < 0 || fstat(folder, &st) != 0 || !is_unused(&st) ||
        flock(folder, LOCK_EX | LOCK_NB) != 0)
        return;
    unlinkat(folder, "state", 0);
    unlinkat(folder, "memory", 0);
    unlinkat(parent, name, AT_REMOVEDIR);
}

static void sweep(const char *parent)
{
    DIR *list = opendir(parent);
    const struct dirent *entry;

    while (list && (entry = readdir(list)) != NULL)
        if (entry->d_name[0] != '.')
            sweep_one(dirfd(list), entry->d_name);
    if (list)
        closedir(list);
}

/* Make the folder and lock it; one that a killed maker left is taken over. */
static int lock_folder(struct template_maker *maker, struct sm_error *err)
{
    struct stat held;
    struct stat named;
    int rc = folder_make(maker->fresh, err);

    if (rc)
        return rc;
    maker->lock = open(maker->fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (maker->lock < 0)
        return fail_os(err, "template %s", maker->fresh);
    if (flock(maker->lock, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? fail(err, SM_EBUSY, "template: is being made already")
                   : fail_os(err, "lock %s", maker->fresh);
    /* Between the two, its maker may have finished it. */
    if (fstat(maker->lock, &held) != 0 || stat(maker->fresh, &named) != 0 ||
        held.st_ino != named.st_ino || held.st_dev != named.st_dev)
        return fail(err, SM_EBUSY, "template: has just been made");
    return 0;
}

static int make_file(struct template_maker *maker, const char *name, int *ret,
                     struct sm_error *err)
{
    *ret = openat(maker->lock, name,
                  O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *ret < 0 ? fail_os(err, "template: %s/%s", maker->fresh, name) : 0;
}

static int make_folder(struct template_maker *maker, struct sm_error *err)
{
    int rc = lock_folder(maker, err);

    if (!rc)
        rc = make_file(maker, "state", &maker->files[WORKER_SAVE_STATE], err);
    if (!rc)
        rc = make_file(maker, "memory", &maker->files[WORKER_SAVE_MEMORY], err);
    return rc;
}

static void drop_folder(struct template_maker *maker)
{
    unlinkat(maker->lock, "state", 0);
    unlinkat(maker->lock, "memory", 0);
    rmdir(maker->fresh);
}

/* Whole and on the disk: give it its name. */
static int publish(struct template_maker *maker, struct sm_error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int parent = -1;
    int rc = file_sync(maker->files[WORKER_SAVE_STATE], err);

    if (!rc)
        rc = file_sync(maker->files[WORKER_SAVE_MEMORY], err);
    if (!rc)
        rc = file_sync(maker->lock, err);
    if (rc)
        return wrap(err, rc, "template");
    if (asprintf(&path, "%s/%s", maker->parent, maker->key->name) < 0) {
        path = NULL;
        return fail(err, SM_ENOMEM, "template: out of memory");
    }
    /* A dropped template may have left its folder. */
    rmdir(path);
    if (rename(maker->fresh, path) != 0)
        return fail_os(err, "template %s", path);
    parent = open(maker->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return parent < 0 ? fail_os(err, "template %s", maker->parent)
                      : file_sync(parent, err);
}

/* The machine ------------------------------------------------------------ */

static void finish(struct template_maker *maker, int rc, struct sm_error *err)
{
    if (maker->over)
        return;
    maker->over = true;
    if (!rc)
        rc = publish(maker, err);
    if (rc)
        drop_folder(maker);
    else
        sweep(maker->parent);
    maker->made(maker->context, rc, err);
}

static void worker_saved(void *context, const struct worker_saved *saved)
{
    struct sm_error err = {0};

    (void)saved;
    finish(context, 0, &err);
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
    struct sm_error err;
    int rc;

    (void)hello;
    rc = worker_save(maker->worker, maker->key->label, maker->files, &err);
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
static int boot(struct template_maker *maker, const char *runtime_dir, int *fds,
                struct sm_error *err)
{
    const struct worker_start start = {
        .memory_bytes = maker->key->memory_bytes,
        .vcpus = maker->key->vcpus,
        .kernel_args = (char *)(uintptr_t) "",
        .snapshot = (char *)(uintptr_t) "",
    };
    AUTO_FREE char *program = NULL;
    int ends[2];
    int rc;

    if (asprintf(&program, "%s/supermachine-vmm", runtime_dir) < 0) {
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

static int begin(struct template_maker *maker,
                 const struct machine_paths *paths, int kernel_fd,
                 int initrd_fd, struct sm_error *err)
{
    int fds[WORKER_FDS] = {kernel_fd, initrd_fd, -1, -1, -1, -1};
    int rc;

    if (asprintf(&maker->parent, "%s/templates", paths->home) < 0) {
        maker->parent = NULL;
        return fail(err, SM_ENOMEM, "template: out of memory");
    }
    if (asprintf(&maker->fresh, "%s/%s.new", maker->parent, maker->key->name) <
        0) {
        maker->fresh = NULL;
        return fail(err, SM_ENOMEM, "template: out of memory");
    }
    rc = make_folder(maker, err);
    if (rc)
        return rc;
    rc = boot(maker, paths->runtime_dir, fds, err);
    for (int i = WORKER_FD_DISK; i < WORKER_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (rc)
        drop_folder(maker);
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
                                     .key = key,
                                     .lock = -1,
                                     .files = {-1, -1},
                                     .made = made,
                                     .context = context};
    rc = begin(maker, paths, kernel_fd, initrd_fd, err);
    if (rc) {
        maker->over = true;
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
    if (!maker->over)
        drop_folder(maker);
    for (int i = 0; i < WORKER_SAVE_FDS; i++)
        if (maker->files[i] >= 0)
            close(maker->files[i]);
    if (maker->lock >= 0)
        close(maker->lock);
    free(maker->fresh);
    free(maker->parent);
    free(maker);
}
