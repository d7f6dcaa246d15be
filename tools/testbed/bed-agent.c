/* bed-agent.c - process 1 of the bed: runs the commands that the host sends.
 *
 * Each command gets a cgroup, so that all of it can be ended at once, and a
 * mount namespace, in which the host's changing directories (the checkout, the
 * cache) are mounted afresh: through a 9p channel of its own, hence with no
 * stale name or page, under an overlay of its own, hence writable. The kernel
 * frees both with the command's last process.
 */
#include "bed-agent.h"
#include "bed.h"
#include "mux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CGROUPS      "/sys/fs/cgroup"
#define LIVE_FOLDER  BED_RUN_FOLDER "/live"
#define FRESH_FOLDER BED_RUN_FOLDER "/fresh"

extern char **environ;

/* free -> running: a request came
 * running -> ended: the process was reaped; its pipes may still hold bytes
 * ended -> free: these are on their way, and EXIT behind them */
enum session_state { FREE, RUNNING, ENDED };

struct session {
    enum session_state state;
    pid_t pid;       /* running: also the number of its process group */
    unsigned serial; /* its cgroup is command-<serial> */
    uint32_t status; /* ended */
    struct mux_stream streams[MUX_STREAMS];
};

struct agent {
    struct mux mux;
    int signal_fd;
    unsigned serial;
    size_t out_count;
    char *out[BED_OUT_MAX];
    struct session sessions[MUX_SESSIONS];
};

/* A request, taken apart in place. */
struct request {
    char *folder;
    char **live;
    size_t live_count;
    char **arguments;
    char **environment;
};

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)!write(fd, text, strlen(text));
        close(fd);
    }
}

/* Takes `number` strings from *at on. NULL when there are fewer. */
static char **take_strings(char **at, char *end, size_t number)
{
    char **list = calloc(number + 1, sizeof(*list));

    for (size_t i = 0; list != NULL && i < number; i++) {
        size_t length = strnlen(*at, (size_t)(end - *at));

        if (*at + length == end) {
            free(list);
            return NULL;
        }
        list[i] = *at;
        *at += length + 1;
    }
    return list;
}

static bool parse_request(struct request *request, char *payload, size_t length)
{
    struct bed_request head;
    char *at = payload + sizeof(head), *end = payload + length;

    if (length < sizeof(head))
        return false;
    memcpy(&head, payload, sizeof(head));
    if (head.live > length || head.arguments > length ||
        head.environment > length)
        return false;
    char **folder = take_strings(&at, end, 1);

    request->live = take_strings(&at, end, head.live);
    request->live_count = head.live;
    request->arguments = take_strings(&at, end, head.arguments);
    request->environment = take_strings(&at, end, head.environment);
    request->folder = folder != NULL ? folder[0] : NULL;
    return folder != NULL && request->live != NULL &&
           request->arguments != NULL && request->environment != NULL &&
           request->arguments[0] != NULL;
}

/* In the command's process: its own mounts. */

static void complain(const char *what)
{
    dprintf(2, "with-kvm: in the test bed: %s: %s\n", what, strerror(errno));
}

/* Mounts a channel that nobody else has. False: all are taken. */
static bool mount_live_channel(void)
{
    char tag[32];

    for (int i = 0; i < BED_LIVE_CHANNELS; i++) {
        snprintf(tag, sizeof(tag), "live%d", i);
        if (bed_mount_9p(tag, LIVE_FOLDER, "cache=loose",
                         MS_RDONLY | MS_NOATIME) == 0)
            return true;
    }
    return false;
}

/* Puts the host's `path` of now, made writable, over the bed's. */
static bool mount_fresh(const char *path, size_t number)
{
    char lower[4200], upper[64], work[64], options[256];

    snprintf(lower, sizeof(lower), LIVE_FOLDER "%s", path);
    int fd = open(lower, O_PATH | O_DIRECTORY);

    if (fd < 0)
        return errno == ENOENT;
    snprintf(upper, sizeof(upper), FRESH_FOLDER "/upper%zu", number);
    snprintf(work, sizeof(work), FRESH_FOLDER "/work%zu", number);
    mkdir(upper, 0755);
    mkdir(work, 0755);
    bed_make_folders(path);
    snprintf(options, sizeof(options),
             "lowerdir=/proc/self/fd/%d,upperdir=%s,workdir=%s", fd, upper,
             work);
    int status = mount("fresh", path, "overlay", 0, options);

    close(fd);
    return status == 0;
}

static void bind_out(const struct agent *agent)
{
    char source[64];

    for (size_t i = 0; i < agent->out_count; i++) {
        snprintf(source, sizeof(source), BED_RUN_FOLDER "/out%zu", i);
        bed_make_folders(agent->out[i]);
        if (mount(source, agent->out[i], NULL, MS_BIND, NULL) < 0)
            complain(agent->out[i]);
    }
}

static void make_namespace(const struct agent *agent,
                           const struct request *request)
{
    if (unshare(CLONE_NEWNS) < 0 ||
        mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        complain("mount namespace");
        _exit(BED_FAILED);
    }
    if (request->live_count > 0 && mount_live_channel()) {
        if (mount("fresh", FRESH_FOLDER, "tmpfs", 0, "size=80%") < 0)
            complain("tmpfs");
        for (size_t i = 0; i < request->live_count; i++) {
            if (!mount_fresh(request->live[i], i))
                complain(request->live[i]);
        }
        umount2(FRESH_FOLDER, MNT_DETACH);
        umount2(LIVE_FOLDER, MNT_DETACH);
    }
    bind_out(agent);
}

static void reset_signals(void)
{
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Programs take it that a folder which the environment names is there. */
static void make_named_folder(const char *variable)
{
    const char *path = getenv(variable);

    if (path != NULL)
        bed_make_folders(path);
}

/* Commands, and so the guests that they start, run on the last processor
 * alone; the others serve the kernel. Two processors of this emulator that are
 * both in guests corrupt each other's state: docs/TESTBED.md has the figures.
 */
static void stay_on_one_processor(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)(count - 1), &set);
    if (count > 1 && sched_setaffinity(0, sizeof(set), &set) < 0) {
        complain("sched_setaffinity");
        _exit(BED_FAILED);
    }
}

static _Noreturn void become_command(const struct agent *agent,
                                     const struct request *request,
                                     unsigned serial, const int ends[3])
{
    char cgroup[128];

    setsid();
    snprintf(cgroup, sizeof(cgroup), CGROUPS "/command-%u/cgroup.procs",
             serial);
    write_file(cgroup, "0");
    for (int i = 0; i < 3; i++)
        dup2(ends[i], i);
    stay_on_one_processor();
    make_namespace(agent, request);
    reset_signals();
    environ = request->environment;
    make_named_folder("TMPDIR");
    make_named_folder("XDG_RUNTIME_DIR");
    if (chdir(request->folder) < 0) {
        complain(request->folder);
        _exit(BED_FAILED);
    }
    execvp(request->arguments[0], request->arguments);
    int error = errno;

    complain(request->arguments[0]);
    _exit(error == ENOENT ? BED_NOT_FOUND : BED_NOT_EXECUTABLE);
}

/* Three pipes; ours[] stay here, theirs[] go to the command. */
static bool make_pipes(int ours[3], int theirs[3])
{
    for (int i = 0; i < 3; i++) {
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
            return false;
        ours[i] = ends[i == 0 ? 1 : 0];
        theirs[i] = ends[i == 0 ? 0 : 1];
    }
    return true;
}

static void send_exit(struct agent *agent, unsigned number, uint32_t status)
{
    mux_send_u32(&agent->mux, MUX_EXIT, number, 0, status);
}

static void open_session(struct agent *agent, unsigned number, char *payload,
                         size_t length)
{
    struct session *session = &agent->sessions[number];
    struct request request = {0};
    int ours[3], theirs[3];
    char cgroup[128];

    if (!parse_request(&request, payload, length) ||
        !make_pipes(ours, theirs)) {
        send_exit(agent, number, BED_FAILED);
        return;
    }
    session->serial = ++agent->serial;
    snprintf(cgroup, sizeof(cgroup), CGROUPS "/command-%u", session->serial);
    mkdir(cgroup, 0755);
    session->pid = fork();
    if (session->pid == 0)
        become_command(agent, &request, session->serial, theirs);
    for (unsigned i = 0; i < 3; i++) {
        close(theirs[i]);
        stream_init(&session->streams[i], ours[i], number, i, i != 0);
    }
    free(request.live);
    free(request.arguments);
    free(request.environment);
    session->state = RUNNING;
    if (session->pid < 0) {
        for (int i = 0; i < 3; i++)
            stream_close(&session->streams[i]);
        session->status = BED_FAILED;
        session->state = ENDED;
    }
}

/* Ends all processes of the command and forgets what they wrote. */
static void kill_session(struct session *session)
{
    char path[128];

    if (session->state == FREE)
        return;
    snprintf(path, sizeof(path), CGROUPS "/command-%u/cgroup.kill",
             session->serial);
    write_file(path, "1");
    if (session->state == RUNNING)
        kill(-session->pid, SIGKILL);
    for (int i = 0; i < MUX_STREAMS; i++)
        stream_close(&session->streams[i]);
}

/* Removes the cgroups in which no process is left. */
static void sweep_cgroups(void)
{
    DIR *folder = opendir(CGROUPS);
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, "command-", 8) == 0)
            unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR);
    }
    if (folder != NULL)
        closedir(folder);
}

/* What was written through shared mappings goes out before we say so. */
static void sync_out(const struct agent *agent)
{
    char path[64];

    for (size_t i = 0; i < agent->out_count; i++) {
        snprintf(path, sizeof(path), BED_RUN_FOLDER "/out%zu", i);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0) {
            syncfs(fd);
            close(fd);
        }
    }
}

/* The command has ended. What its pipes hold goes out, then its status, once
 * finish_session finds that done. */
static void session_ended(struct agent *agent, struct session *session,
                          int status)
{
    sync_out(agent);
    stream_close(&session->streams[0]);
    for (int i = 1; i < MUX_STREAMS; i++)
        stream_finish(&session->streams[i], &agent->mux);
    session->state = ENDED;
    session->status = WIFSIGNALED(status) ? 128u + (uint32_t)WTERMSIG(status)
                                          : (uint32_t)WEXITSTATUS(status);
    sweep_cgroups();
}

static void finish_session(struct agent *agent, struct session *session)
{
    if (session->state != ENDED || session->streams[1].fd >= 0 ||
        session->streams[2].fd >= 0)
        return;
    send_exit(agent, (unsigned)(session - agent->sessions), session->status);
    session->state = FREE;
}

static void reap(struct agent *agent)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    (void)!read(agent->signal_fd, &info, sizeof(info));
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int i = 0; i < MUX_SESSIONS; i++) {
            struct session *session = &agent->sessions[i];

            if (session->state == RUNNING && session->pid == pid)
                session_ended(agent, session, status);
        }
    }
}

static void take_setup(struct agent *agent, const uint8_t *payload,
                       size_t length)
{
    uint64_t time;
    char *copy = malloc(length + 1);

    if (copy == NULL || length < sizeof(time))
        return;
    memcpy(&time, payload, sizeof(time));
    memcpy(copy, payload, length);
    copy[length] = '\0';
    struct timespec now = {
        .tv_sec = (time_t)(time / 1000000000u),
        .tv_nsec = (long)(time % 1000000000u),
    };

    clock_settime(CLOCK_REALTIME, &now);
    char *at = copy + sizeof(time), *end = copy + length;

    bed_bind_modules(at);
    at += strlen(at) + 1;
    while (at < end && agent->out_count < BED_OUT_MAX) {
        bed_mount_out(agent->out_count);
        agent->out[agent->out_count++] = at;
        at += strlen(at) + 1;
    }
    mux_send(&agent->mux, MUX_READY, 0, 0, NULL, 0);
}

static void take_signal(struct session *session, const uint8_t *payload,
                        size_t length)
{
    uint32_t number;

    if (length != sizeof(number) || session->state != RUNNING)
        return;
    memcpy(&number, payload, sizeof(number));
    kill(-session->pid, (int)number);
}

static void take_frame(void *context, const struct mux_header *header,
                       const uint8_t *payload)
{
    struct agent *agent = context;

    if (header->type == MUX_SETUP) {
        take_setup(agent, payload, header->length);
        return;
    }
    if (header->session >= MUX_SESSIONS || header->stream >= MUX_STREAMS)
        return;
    struct session *session = &agent->sessions[header->session];

    switch (header->type) {
    case MUX_OPEN:
        if (session->state == FREE)
            open_session(agent, header->session, (char *)(uintptr_t)payload,
                         header->length);
        break;
    case MUX_SIGNAL:
        take_signal(session, payload, header->length);
        break;
    case MUX_KILL:
        kill_session(session);
        break;
    default:
        stream_frame(&session->streams[header->stream], &agent->mux, header,
                     payload);
        break;
    }
}

enum { POLL_MUX, POLL_SIGNAL, POLL_FIXED };

static void fill_polls(const struct agent *agent, struct pollfd *fds)
{
    fds[POLL_MUX] =
        (struct pollfd){.fd = agent->mux.fd, .events = mux_events(&agent->mux)};
    fds[POLL_SIGNAL] =
        (struct pollfd){.fd = agent->signal_fd, .events = POLLIN};
    for (int i = 0; i < MUX_SESSIONS; i++) {
        for (int s = 0; s < MUX_STREAMS; s++)
            fds[POLL_FIXED + i * MUX_STREAMS + s] =
                stream_poll(&agent->sessions[i].streams[s], &agent->mux);
    }
}

static void serve(struct agent *agent, const struct pollfd *fds)
{
    for (int i = 0; i < MUX_SESSIONS; i++) {
        struct session *session = &agent->sessions[i];

        for (int s = 0; s < MUX_STREAMS; s++) {
            if (fds[POLL_FIXED + i * MUX_STREAMS + s].revents)
                stream_move(&session->streams[s], &agent->mux);
        }
    }
    if ((fds[POLL_MUX].revents & POLLIN) &&
        !mux_read(&agent->mux, take_frame, agent))
        exit(1);
    if (fds[POLL_SIGNAL].revents)
        reap(agent);
    for (int i = 0; i < MUX_SESSIONS; i++)
        finish_session(agent, &agent->sessions[i]);
    if (!mux_write(&agent->mux))
        exit(1);
}

int main(void)
{
    static struct agent agent;
    static struct pollfd fds[POLL_FIXED + MUX_SESSIONS * MUX_STREAMS];
    sigset_t set;

    mux_init(&agent.mux, bed_init());
    mkdir(LIVE_FOLDER, 0755);
    mkdir(FRESH_FOLDER, 0755);
    for (int i = 0; i < MUX_SESSIONS; i++) {
        for (int s = 0; s < MUX_STREAMS; s++)
            agent.sessions[i].streams[s].fd = -1;
    }
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    agent.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    mux_send_u32(&agent.mux, MUX_HELLO, 0, 0, MUX_VERSION);
    mux_write(&agent.mux);
    for (;;) {
        fill_polls(&agent, fds);
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) > 0)
            serve(&agent, fds);
    }
}
