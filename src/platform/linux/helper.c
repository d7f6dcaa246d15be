/* helper.c: programs of the user's that answer; see helper.h. */
#include "platform/helper.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/clock.h"
#include "platform/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- finding ---- */

static const char *path_of(char *const *env)
{
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return "";
}

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
           access(path, X_OK) == 0;
}

int helper_find(char *const *env, const char *name, char **ret,
                struct sm_error *err)
{
    static const char usual[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *at = path_of(env);

    *ret = NULL;
    if (!name[0] || name[strspn(name, usual)])
        return fail(err, SM_EINVAL, "\"%.64s\" is no name of a program", name);
    while (*at) {
        size_t length = strcspn(at, ":");
        char *path;

        if (at[0] == '/') {
            if (asprintf(&path, "%.*s/%s", (int)length, at, name) < 0)
                return fail(err, SM_ENOMEM, "out of memory");
            if (is_program(path)) {
                *ret = path;
                return 0;
            }
            free(path);
        }
        at += length;
        at += *at == ':';
    }
    return 0;
}

/* ---- asking ---- */

/* A pipe that holds (input) and nothing more; its end to read. */
static int open_input(const char *input, int *ret, struct sm_error *err)
{
    AUTO_CLOSE int to = -1;
    AUTO_CLOSE int from = -1;
    size_t count = strlen(input);
    int ends[2];

    if (count > HELPER_INPUT_MAX)
        return fail(err, SM_EINVAL, "input of %zu bytes: at most %d", count,
                    HELPER_INPUT_MAX);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail_os(err, "pipe");
    from = ends[0];
    to = ends[1];
    /* A pipe takes a page at least, and nobody has read yet. */
    if (write(to, input, count) != (ssize_t)count)
        return fail_os(err, "pipe");
    *ret = own_take_fd(&from);
    return 0;
}

/* What is there to read. 1: more may come; 0: that was the end. */
static int take_some(int fd, struct buf *answer, struct sm_error *err)
{
    char bytes[4096];
    ssize_t got = read(fd, bytes, sizeof bytes);

    if (got < 0 && errno != EINTR)
        return fail_os(err, "read its answer");
    if (got > 0 && !buf_append(answer, bytes, (size_t)got))
        return buf_refuse(answer, err, "answer");
    return got != 0;
}

/*
 * Until the program has ended and what it wrote was read. Something else that
 * it left behind may hold its output open for ever; that is not waited for.
 */
static int listen_to(const struct process *process, int out,
                     uint32_t timeout_ms, struct buf *answer,
                     struct sm_error *err)
{
    uint64_t end = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
    struct pollfd fds[2] = {{.fd = out, .events = POLLIN},
                            {.fd = process->fd, .events = POLLIN}};

    for (;;) {
        uint64_t now = clock_monotonic_ns();
        int wait_ms = now < end ? (int)((end - now) / NS_PER_MS + 1) : 0;
        int ready = poll(fds, 2, wait_ms);
        int rc = 1;

        if (ready < 0 && errno != EINTR)
            return fail_os(err, "poll");
        if (ready == 0)
            return fail(err, SM_ETIMEOUT, "has not answered within %u s",
                        (timeout_ms + 999) / 1000);
        if (ready > 0 && fds[0].revents)
            rc = take_some(out, answer, err);
        else if (ready > 0)
            return 0;
        if (rc < 0)
            return rc;
        if (rc == 0)
            fds[0].fd = -1;
    }
}

int helper_run(const struct helper_plan *plan, struct buf *answer, int *status,
               struct sm_error *err)
{
    AUTO_CLOSE int out = -1;
    AUTO_CLOSE int far_out = -1;
    AUTO_CLOSE int in = -1;
    struct process process;
    int ends[2];
    int rc = open_input(plan->input, &in, err);

    if (rc)
        return rc;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail_os(err, "pipe");
    out = ends[0];
    far_out = ends[1];
    rc = process_start_plan(
        &(struct process_plan){
            .path = plan->path,
            .argv = plan->argv,
            .env = plan->env,
            .standard = (const int[2]){in, far_out},
            .is_foreign = true,
        },
        &process, err);
    if (rc)
        return rc;
    close(own_take_fd(&far_out));
    rc = listen_to(&process, out, plan->timeout_ms, answer, err);
    process_kill(&process);
    process_wait(&process, status);
    return rc;
}
