/* stand.c: the agent as an ordinary process; see stand.h. */
#include "stand.h"

#include "guest.h"
#include "job.h"
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CGROUP_ROOT_2 "/sys/fs/cgroup/unified"
#define CGROUP_ROOT   "/sys/fs/cgroup"

enum { SOCKETS_AT_ONCE = 8, TEST_SECONDS = 600 };

static int fake_setup(void *context, const struct agent_setup *setup,
                      struct sm_error *err)
{
    (void)context;
    if (strcmp(setup->hostname, "refuse") == 0)
        /* The parentheses keep cmocka's macro of that name out. */
        return (fail)(err, SM_EIO, "the stand refuses");
    return 0;
}

/* Where a clone says whether the programs stood still meanwhile. */
static char note_path[96];
static char events_path[160];

static int fake_clone(void *context, const struct agent_clone *clone,
                      struct sm_error *err)
{
    char text[256] = "";
    FILE *events = fopen(events_path, "re");
    FILE *note = fopen(note_path, "we");

    (void)context;
    if (!events || !note || !fread(text, 1, sizeof text - 1, events))
        abort();
    fputs(strstr(text, "frozen 1") ? clone->hostname : "not frozen", note);
    fclose(events);
    fclose(note);
    if (strcmp(clone->hostname, "refuse") == 0)
        return (fail)(err, SM_EIO, "the stand refuses");
    return 0;
}

/* The agent's children only, orphans that came to it included: this is not a
 * machine of its own. */
static void fake_signal_all(void *context, int signal)
{
    char path[64];
    FILE *children;
    long pid;

    (void)context;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    children = fopen(path, "re");
    while (children && fscanf(children, "%ld", &pid) == 1)
        kill((pid_t)pid, signal);
    if (children)
        fclose(children);
}

static void fake_end(void *context, enum agent_end end)
{
    (void)context;
    (void)end;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static char callback_path[96];

static int fake_connect(void *context)
{
    struct sockaddr_un address = address_of(callback_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)context;
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}

static const struct guest_ops fake_ops = {
    .setup = fake_setup,
    .clone = fake_clone,
    .signal_all = fake_signal_all,
    .end_machine = fake_end,
    .connect = fake_connect,
};

static int listen_at(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) ||
        listen(fd, SOCKETS_AT_ONCE))
        abort();
    return fd;
}

/* Everything about the child until its exit. */
static int serve(int fd, int listener, const char *etc, const char *cgroups)
{
    struct guest *guest;
    char kernel_log[96];
    const struct guest_config config = {
        .ops = &fake_ops,
        .etc = etc,
        .cgroup_root = cgroups,
        .proc = "/proc",
        .kernel_log = kernel_log,
    };
    struct sm_error err;

    snprintf(kernel_log, sizeof kernel_log, "%s/kmsg", etc);
    snprintf(note_path, sizeof note_path, "%s/clone", etc);
    snprintf(events_path, sizeof events_path, "%s/programs/cgroup.events",
             cgroups ? cgroups : etc);
    if (guest_new(&config, &guest, &err) || guest_listen(guest, listener, &err))
        return 2;
    if (cgroups && !guest->cgroups)
        return 3;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    link_open(guest, fd, LINK_CONNECTING);
    guest_run(guest);
    guest_free(guest);
    return 0;
}

static void on_hello(void *context, const struct agent_hello *hello)
{
    struct stand *stand = context;

    stand->hello = true;
    stand->guest_hello = *hello;
}

static void on_ready(void *context)
{
    ((struct stand *)context)->ready = true;
}

static void on_held(void *context, const struct sm_error *why)
{
    struct stand *stand = context;

    assert_false(stand->held);
    stand->held = true;
    stand->not_held = why ? *why : (struct sm_error){0};
}

static void on_pong(void *context, uint64_t number)
{
    ((struct stand *)context)->pong = number;
}

static void on_closed(void *context, const struct sm_error *why)
{
    struct stand *stand = context;

    stand->closed = true;
    stand->why = *why;
}

static void on_figures(void *context, const struct agent_figures *figures)
{
    struct stand *stand = context;

    stand->figures = *figures;
}

static void on_processes(void *context, const uint8_t *bytes, size_t count,
                         bool last)
{
    struct stand *stand = context;

    if (count)
        assert_true(buf_append(&stand->processes, bytes, count));
    stand->processes_whole = last;
}

static void on_oom(void *context, const struct agent_oom *oom)
{
    struct stand *stand = context;

    stand->oom = *oom;
}

const struct session_events stand_events = {
    .figures = on_figures,
    .processes = on_processes,
    .oom = on_oom,
    .hello = on_hello,
    .ready = on_ready,
    .held = on_held,
    .pong = on_pong,
    .closed = on_closed,
};

void stand_until(struct stand *stand, const bool *flag)
{
    while (!*flag)
        loop_turn(stand->loop, -1);
}

void stand_sync(struct stand *stand)
{
    static uint64_t number;

    assert_int_equal(session_ping(stand->session, ++number, NULL), 0);
    while (stand->pong != number && !stand->closed)
        loop_turn(stand->loop, -1);
    assert_false(stand->closed);
}

void stand_until_gone(struct stand *stand, pid_t pid)
{
    while (kill(pid, 0) == 0)
        stand_sync(stand);
    assert_int_equal(errno, ESRCH);
}

void stand_hold(struct stand *stand)
{
    stand->held = false;
    assert_int_equal(session_hold(stand->session, NULL), 0);
    stand_until(stand, &stand->held);
}

/* What a file of the group says. */
static FILE *read_group(const struct stand *stand, const char *name,
                        const char *file, char text[256])
{
    char path[160];
    FILE *stream;
    size_t count;

    snprintf(path, sizeof path, "%s/%s/%s", stand->cgroups, name, file);
    stream = fopen(path, "re");
    assert_non_null(stream);
    count = fread(text, 1, 255, stream);
    assert_true(count > 0);
    text[count] = '\0';
    return stream;
}

bool stand_group_is_frozen(const struct stand *stand, const char *name)
{
    char text[256];

    fclose(read_group(stand, name, "cgroup.events", text));
    return strstr(text, "frozen 1") != NULL;
}

bool stand_stays_frozen(const struct stand *stand)
{
    struct pollfd change = {.events = POLLPRI};
    char text[256];
    FILE *stream;

    fclose(read_group(stand, "programs", "cgroup.freeze", text));
    if (text[0] != '1')
        return false;
    do {
        stream = read_group(stand, "programs", "cgroup.events", text);
        if (!strstr(text, "frozen 1")) {
            change.fd = fileno(stream);
            assert_int_equal(poll(&change, 1, -1), 1);
        }
        fclose(stream);
    } while (!strstr(text, "frozen 1"));
    return true;
}

bool stand_is_frozen(const struct stand *stand)
{
    return stand_group_is_frozen(stand, "programs");
}

bool stand_state_is(pid_t pid, char wanted)
{
    char path[64];
    char state = 0;
    FILE *stat;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    stat = fopen(path, "re");
    assert_non_null(stat);
    assert_int_equal(fscanf(stat, "%*d %*s %c", &state), 1);
    fclose(stat);
    return state == wanted;
}

void stand_setup(struct stand *stand, const char *hostname)
{
    static const uint8_t entropy[AGENT_ENTROPY_MIN] = {1};
    const struct agent_setup setup = {
        .wall_clock_ns = 1,
        .entropy = entropy,
        .entropy_count = sizeof entropy,
        .hostname = hostname,
    };

    assert_int_equal(session_setup(stand->session, &setup, NULL), 0);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_folder(struct stand *stand)
{
    char path[128];

    snprintf(stand->folder, sizeof stand->folder, "/tmp/agent-stand-XXXXXX");
    assert_non_null(mkdtemp(stand->folder));
    chmod(stand->folder, 0755);
    snprintf(stand->socket, sizeof stand->socket, "%s/agent", stand->folder);
    snprintf(callback_path, sizeof callback_path, "%s/host", stand->folder);
    write_file(stand->folder, "passwd",
               "root:x:0:0:root:/root:/bin/sh\n"
               "worker:x:4242:4343:Worker:/home/worker:/bin/sh\n");
    snprintf(path, sizeof path, "%s/kmsg", stand->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    write_file(stand->folder, "group",
               "root:x:0:\nworker:x:4343:\nextra:x:4444:a,worker,b\n");
}

/* A root of its own below this machine's: tests may run side by side. */
static void make_cgroups(struct stand *stand)
{
    const char *root = access(CGROUP_ROOT "/cgroup.procs", W_OK) == 0
                           ? CGROUP_ROOT
                           : CGROUP_ROOT_2;

    snprintf(stand->cgroups, sizeof stand->cgroups, "%s/agent-stand-%d", root,
             getpid());
    if (mkdir(stand->cgroups, 0755)) {
        stand->cgroups[0] = '\0';
        skip();
    }
}

static int open_cgroup_file(const struct stand *stand, const char *name,
                            int flags)
{
    char path[128];
    int fd;

    snprintf(path, sizeof path, "%s/%s", stand->cgroups, name);
    fd = open(path, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* Kill what is in the groups and take them away. */
static void remove_cgroups(struct stand *stand)
{
    struct pollfd events = {.events = POLLPRI};
    char text[128] = "";
    char path[128];
    glob_t found;
    int kill_file;

    if (!stand->cgroups[0])
        return;
    kill_file = open_cgroup_file(stand, "cgroup.kill", O_WRONLY);
    assert_int_equal(write(kill_file, "1", 1), 1);
    close(kill_file);
    events.fd = open_cgroup_file(stand, "cgroup.events", O_RDONLY);
    while (pread(events.fd, text, sizeof text - 1, 0) > 0 &&
           !strstr(text, "populated 0"))
        poll(&events, 1, -1);
    close(events.fd);
    snprintf(path, sizeof path, "%s/programs/exec-*", stand->cgroups);
    if (glob(path, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            assert_int_equal(rmdir(found.gl_pathv[i]), 0);
    globfree(&found);
    snprintf(path, sizeof path, "%s/programs", stand->cgroups);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(stand->cgroups), 0);
}

void stand_start(struct stand *stand, unsigned flags)
{
    int ends[2];
    int listener;

    alarm(TEST_SECONDS);
    *stand = (struct stand){.raw = -1, .listener = -1, .again = -1};
    buf_init(&stand->processes, AGENT_PROCESSES_MAX);
    if (flags & STAND_CGROUPS)
        make_cgroups(stand);
    make_folder(stand);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
                     0);
    listener = listen_at(stand->socket);
    stand->listener = listen_at(callback_path);
    stand->guest = fork();
    assert_true(stand->guest >= 0);
    if (stand->guest == 0) {
        alarm(TEST_SECONDS);
        /* What this process inherited without the flag is not the agent's. */
        close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
        /* Process 1 begins with defaults; a test in a shell's background does
         * not. */
        signal(SIGINT, SIG_DFL);
        signal(SIGQUIT, SIG_DFL);
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        close(ends[0]);
        close(stand->listener);
        exit(serve(ends[1], listener, stand->folder,
                   stand->cgroups[0] ? stand->cgroups : NULL));
    }
    close(ends[1]);
    close(listener);
    if (flags & STAND_RAW) {
        char first;

        /* From HELLO on it takes signals as it should. */
        stand->raw = ends[0];
        assert_int_equal(recv(stand->raw, &first, 1, MSG_PEEK), 1);
        return;
    }
    if (flags & STAND_CLONES)
        stand->again = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    assert_int_equal(loop_new(&stand->loop, NULL), 0);
    assert_int_equal(session_open(stand->loop, ends[0], &stand_events, stand,
                                  &stand->session, NULL),
                     0);
    stand_until(stand, &stand->hello);
    if (flags & STAND_BARE)
        return;
    stand_setup(stand, "machine");
    stand_until(stand, &stand->ready);
}

int stand_call(const struct stand *stand)
{
    struct sockaddr_un address = address_of(stand->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address),
                     0);
    return fd;
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"passwd", "group", "agent", "host",
                                        "script", "pipe",  "kmsg",  "clone"};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

void stand_stop(struct stand *stand)
{
    int status;

    session_close(stand->session);
    if (stand->raw >= 0)
        close(stand->raw);
    if (stand->again >= 0)
        close(stand->again);
    /* One that has ended already is collected all the same. */
    kill(stand->guest, SIGTERM);
    assert_int_equal(waitpid(stand->guest, &status, 0), stand->guest);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(stand->listener);
    loop_free(stand->loop);
    buf_done(&stand->processes);
    remove_folder(stand->folder);
    remove_cgroups(stand);
    alarm(0);
}

uint64_t sum_bytes(uint64_t sum, uint64_t place, const uint8_t *bytes,
                   size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum += (bytes[i] + 1u) * (place + i + 1) * 0x9e3779b97f4a7c15u;
    return sum;
}

static void on_started(void *context, uint32_t pid)
{
    struct run *run = context;

    assert_false(run->started);
    run->started = true;
    run->pid = pid;
}

static void on_output(void *context, enum agent_stream stream,
                      const uint8_t *bytes, size_t count)
{
    struct run *run = context;
    bool *ended = stream == AGENT_OUT ? &run->out_ended : &run->err_ended;

    assert_false(*ended);
    assert_false(run->ended);
    *ended = count == 0;
    if (stream == AGENT_OUT && run->drop)
        run->sum = sum_bytes(run->sum, run->count, bytes, count);
    else
        assert_true(buf_append(stream == AGENT_OUT ? &run->out : &run->err,
                               bytes, count));
    if (stream == AGENT_OUT)
        run->count += count;
    if (count > 0 && !run->hold)
        exec_consumed(run->exec, stream, count);
}

static void on_writable(void *context)
{
    ((struct run *)context)->writable = true;
}

static void on_ended(void *context, const struct exec_end *end)
{
    struct run *run = context;

    assert_false(run->ended);
    run->ended = true;
    run->end = *end;
}

static const struct exec_events run_events = {
    .started = on_started,
    .output = on_output,
    .writable = on_writable,
    .ended = on_ended,
};

void run_init(struct run *run, struct stand *stand, const char *script)
{
    *run = (struct run){.stand = stand};
    run->argv[0] = "sh";
    run->argv[1] = "-c";
    run->argv[2] = script;
    buf_init(&run->out, 16 << 20);
    buf_init(&run->err, 16 << 20);
    run->options.program.argv = run->argv;
    run->options.program.umask = 022;
    run->options.ports[AGENT_OUT].kind = EXEC_BYTES;
    run->options.ports[AGENT_ERR].kind = EXEC_BYTES;
    run->options.events = &run_events;
    run->options.context = run;
}

void run_start(struct run *run)
{
    struct sm_error err;

    if (exec_start(run->stand->session, &run->options, &run->exec, &err))
        fail_msg("%s", err.message);
}

void run_wait(struct run *run)
{
    stand_until(run->stand, &run->ended);
}

void run_script(struct run *run, struct stand *stand, const char *script)
{
    run_init(run, stand, script);
    run_start(run);
    run_wait(run);
}

void run_done(struct run *run)
{
    exec_free(run->exec);
    buf_done(&run->out);
    buf_done(&run->err);
}

static const char *as_string(struct buf *buf)
{
    assert_true(buf_append(buf, "", 1));
    buf->size--;
    return (const char *)buf->data;
}

const char *run_out(struct run *run)
{
    return as_string(&run->out);
}

const char *run_err(struct run *run)
{
    return as_string(&run->err);
}
