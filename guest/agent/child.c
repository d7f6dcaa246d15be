/* child.c: a new process, from fork to the program it is to be; see child.h.
 *
 * Everything that reads the image's files happens here and not in the agent,
 * so a slow or broken disk stops one program and not all sessions.
 */
#include "child.h"

#include "account.h"
#include "files.h"
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where a chain's process keeps its error pipe. */
enum { CHAIN_ERROR_FD = 3 };

static _Noreturn void report(const struct child *child,
                             const struct agent_failure *failure)
{
    /* Smaller than PIPE_BUF: it arrives whole. */
    ssize_t written = write(child->error_pipe, failure, sizeof *failure);

    _exit(written < 0 ? 126 : 127);
}

static _Noreturn void give_up(const struct child *child,
                              enum agent_reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The reason is errno with (fmt) in front. */
static _Noreturn void give_up(const struct child *child,
                              enum agent_reason reason, const char *fmt, ...)
{
    struct agent_failure failure = {.reason = reason,
                                    .os_error = (uint32_t)errno};
    size_t used;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(failure.message, sizeof failure.message, fmt, ap);
    va_end(ap);
    used = strlen(failure.message);
    snprintf(failure.message + used, sizeof failure.message - used, ": %s",
             strerror((int)failure.os_error));
    report(child, &failure);
}

static void take_stdio(const struct child *child)
{
    if (child->exec->flags & AGENT_EXEC_TTY &&
        ioctl(child->stdio[AGENT_IN], TIOCSCTTY, 0))
        give_up(child, AGENT_NO_RESOURCES, "controlling terminal");
    for (int i = 0; i < AGENT_STREAMS; i++) {
        int fd = child->stdio[i];

        if (fd < 0)
            fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0 || dup2(fd, i) < 0)
            give_up(child, AGENT_NO_RESOURCES, "/dev/null");
    }
}

static void set_limits(const struct child *child)
{
    for (uint32_t i = 0; i < child->exec->rlimit_count; i++) {
        const struct agent_rlimit *limit = &child->exec->rlimits[i];
        struct rlimit value = {.rlim_cur = limit->soft,
                               .rlim_max = limit->hard};

        if (setrlimit((__rlimit_resource_t)limit->resource, &value))
            give_up(child, AGENT_NO_RESOURCES, "resource limit %u",
                    limit->resource);
    }
    umask(child->exec->umask);
}

/* mkdir -p. */
static int make_folders(const char *path)
{
    char part[PATH_MAX];
    size_t length = strlen(path);

    if (length >= sizeof part) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0755) && errno != EEXIST)
            return -1;
    }
    return 0;
}

/* As root, because Docker makes a missing WORKDIR as root, too. */
static void enter_cwd(const struct child *child)
{
    const char *cwd = child->exec->cwd[0] ? child->exec->cwd : "/";

    if (cwd[0] != '/') {
        errno = EINVAL;
        give_up(child, AGENT_BAD_CWD, "working directory %s: not absolute",
                cwd);
    }
    if (chdir(cwd) == 0)
        return;
    if (errno != ENOENT || make_folders(cwd) || chdir(cwd))
        give_up(child, AGENT_BAD_CWD, "working directory %s", cwd);
}

static void become(const struct child *child, struct account *account)
{
    struct sm_error err = {0};

    if (account_find(child->etc, child->exec->user, account, &err)) {
        struct agent_failure failure = {.reason = AGENT_BAD_USER};

        snprintf(failure.message, sizeof failure.message, "%.500s",
                 err.message);
        report(child, &failure);
    }
    /* The program may open /dev/stdout by name: it must be its own. */
    for (int i = 0; account->uid != geteuid() && i < AGENT_STREAMS; i++)
        if (child->stdio[i] >= 0 && fchown(i, account->uid, (gid_t)-1))
            give_up(child, AGENT_BAD_USER, "owner of stream %d", i);
}

static int write_all(int fd, const struct agent_file *file)
{
    size_t done = 0;

    while (done < file->count) {
        ssize_t some = write(fd, file->bytes + done, file->count - done);

        if (some < 0)
            return -1;
        done += (size_t)some;
    }
    return 0;
}

/* As root, so that they may go anywhere; they are the program's user's. A link
 * in the file's place is replaced, not followed. */
static void put_files(const struct child *child, const struct account *account)
{
    for (uint32_t i = 0; i < child->exec->file_count; i++) {
        const struct agent_file *file = &child->exec->files[i];
        char folder[PATH_MAX];
        char *slash;
        int fd;

        snprintf(folder, sizeof folder, "%s", file->path);
        slash = strrchr(folder, '/');
        if (slash && slash > folder) {
            *slash = '\0';
            make_folders(folder);
        }
        unlink(file->path);
        fd = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 || write_all(fd, file) ||
            (geteuid() == 0 && fchown(fd, account->uid, account->gid)) ||
            fchmod(fd, file->mode) || close(fd))
            give_up(child, AGENT_BAD_FILE, "file %s", file->path);
    }
}

static void drop_rights(const struct child *child,
                        const struct account *account)
{
    /* Nothing to drop and, outside of a machine, no right to. */
    if (geteuid() != 0 && account->uid == geteuid())
        return;
    if (setgroups(account->group_count, account->groups) ||
        setresgid(account->gid, account->gid, account->gid) ||
        setresuid(account->uid, account->uid, account->uid))
        give_up(child, AGENT_BAD_USER, "user %u, group %u", account->uid,
                account->gid);
}

static const char *env_value(char *const env[], const char *name)
{
    size_t length = strlen(name);

    for (; *env; env++)
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            return *env + length + 1;
    return NULL;
}

/* The decoded strings are ours alone in this process: execve() just does not
 * say const. */
static char **pointers(const struct child *child, const char *const *list,
                       size_t room)
{
    size_t count = 0;
    char **copy;

    while (list[count])
        count++;
    copy = calloc(count + room + 1, sizeof *copy);
    if (!copy)
        give_up(child, AGENT_NO_RESOURCES, "arguments");
    for (size_t i = 0; i < count; i++)
        copy[i] = (char *)(uintptr_t)list[i];
    return copy;
}

/* Put NAME=value into (env), which has room, unless it has a value there. */
static void add_default(char **env, const char *name, const char *value,
                        char *memory, size_t size)
{
    size_t length = strlen(name);

    for (; *env; env++)
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            break;
    if (*env && (*env)[length + 1])
        return;
    snprintf(memory, size, "%s=%s", name, value);
    *env = memory;
}

/* What a program is started with, besides its command line. */
struct surroundings {
    char **env;
    char path[sizeof PROGRAM_DEFAULT_PATH + 8];
    char hostname[sizeof(struct utsname) + 16];
    char home[sizeof((struct account *)0)->home + 8];
    char term[16];
};

static void make_surroundings(const struct child *child,
                              const struct account *account,
                              struct surroundings *ret)
{
    char **env = pointers(child, child->exec->env, 4);
    struct utsname names;

    uname(&names);
    add_default(env, "PATH", PROGRAM_DEFAULT_PATH, ret->path, sizeof ret->path);
    add_default(env, "HOSTNAME", names.nodename, ret->hostname,
                sizeof ret->hostname);
    add_default(env, "HOME", account->home, ret->home, sizeof ret->home);
    if (child->exec->flags & AGENT_EXEC_TTY)
        add_default(env, "TERM", "xterm", ret->term, sizeof ret->term);
    ret->env = env;
}

static _Noreturn void become_program(const struct child *child,
                                     const char *const *command, char **env)
{
    char **argv = pointers(child, command, 0);
    struct agent_failure failure = {0};

    program_run(argv, env, env_value(env, "PATH"), &failure);
    if (child->error_pipe >= 0)
        report(child, &failure);
    /* One of a chain: the agent has been told that it runs. As a shell would.
     */
    dprintf(STDERR_FILENO, "%s\n", failure.message);
    _exit(failure.reason == AGENT_NOT_FOUND ? 127 : 126);
}

/* Run (command) to its end. Only success returns: everything else is the
 * chain's own end. */
static void run_link(struct child *child, const char *const *command,
                     char **env)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        become_program(child, command, env);
    if (pid < 0)
        give_up(child, AGENT_NO_RESOURCES, "new process");
    /* What is left of it is the program's own, which closes it by becoming
     * one. */
    if (child->error_pipe >= 0)
        close(child->error_pipe);
    child->error_pipe = -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            _exit(126);
    if (WIFSIGNALED(status)) {
        /* Its core is enough. */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        signal(WTERMSIG(status), SIG_DFL);
        kill(getpid(), WTERMSIG(status));
    }
    if (status != 0)
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 126);
}

static _Noreturn void run_chain(const struct child *given, char **env)
{
    const struct agent_exec *exec = given->exec;
    const char *const *command = exec->argv;
    struct child child = *given;

    /* This process stays the agent's code for a while: it must not keep open
     * what others wait to see closed. */
    if (exec->then_count > 0) {
        if (child.error_pipe != CHAIN_ERROR_FD &&
            dup3(child.error_pipe, CHAIN_ERROR_FD, O_CLOEXEC) < 0)
            give_up(given, AGENT_NO_RESOURCES, "chain of commands");
        child.error_pipe = CHAIN_ERROR_FD;
        close_range(CHAIN_ERROR_FD + 1, ~0U, 0);
    }
    for (uint32_t i = 0; i < exec->then_count; i++) {
        run_link(&child, command, env);
        command = exec->then[i];
    }
    become_program(&child, command, env);
}

/* No program is executed that would close what is the agent's. The end of the
 * error pipe says, as ever, that it runs. */
static _Noreturn void become_files(const struct child *child)
{
    close_range(STDERR_FILENO + 1, ~0u, 0);
    files_run(child->exec->argv);
}

static _Noreturn void child_run(const struct child *child)
{
    struct surroundings surroundings;
    struct account account;
    sigset_t none;

    setsid();
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    take_stdio(child);
    set_limits(child);
    become(child, &account);
    enter_cwd(child);
    put_files(child, &account);
    drop_rights(child, &account);
    if (child->exec->flags & AGENT_EXEC_FILES)
        become_files(child);
    make_surroundings(child, &account, &surroundings);
    run_chain(child, surroundings.env);
}

pid_t child_start(const struct child *child)
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .cgroup = (unsigned)child->cgroup,
    };
    pid_t pid;

    if (child->cgroup < 0)
        pid = fork();
    else
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        child_run(child);
    return pid;
}
