/* front.c: `run` on a terminal; see front.h. */
#include "front.h"

#include "attached.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PUT_BACK_MS = 2000 };

/* ----------------------------------------------------------- the child -- */

bool front_tell(int owner, const char *name)
{
    struct control_message message = {0};

    if (name)
        control_put(&message, "%s", name);
    return control_send(owner, name ? CONTROL_DONE : CONTROL_MORE, &message,
                        NULL) == 0;
}

void front_let_go(bool keep_error)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    /* Fails where it was done before. */
    setsid();
    for (int fd = 0; null >= 0 && fd <= (keep_error ? 1 : 2); fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
}

void front_await(int owner)
{
    struct pollfd list = {.fd = owner, .events = POLLIN};
    char typed[4096];

    /* Where no answer ended it, this does. */
    shutdown(owner, SHUT_WR);
    /* What was typed too late for the command is in front of the end. */
    while (poll(&list, 1, PUT_BACK_MS) > 0 &&
           recv(owner, typed, sizeof typed, MSG_DONTWAIT) > 0)
        ;
    close(owner);
}

/* ---------------------------------------------------------- the parent -- */

/* The end of the child as that of the command. */
static int await_child(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_OURS;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    /* Ctrl-C before the machine ran reached us both. */
    if (WTERMSIG(status) != SIGINT)
        complain("run: the machine's keeper died");
    return WTERMSIG(status) == SIGINT ? 128 + SIGINT : EXIT_OURS;
}

/* Until the child has made what the machine needs: it speaks, if anything is
 * to be said, and Ctrl-C ends both. False: it will not start one. */
static bool await_start(struct attached *attached)
{
    int rc = control_read(&attached->reader, attached->keeper, true);

    control_reader_done(&attached->reader);
    return rc == 1;
}

static int attend(struct attached *attached, pid_t child)
{
    struct sm_error err;
    int rc;

    if (!await_start(attached)) {
        shutdown(attached->keeper, SHUT_WR);
        return await_child(child);
    }
    rc = attached_begin(attached, &err);
    if (rc)
        complain("run: %s", err.message);
    else
        rc = attached_carry(attached);
    attached_done(attached);
    if (attached->left) {
        fprintf(stderr, "detached from %s\n", attached->name);
        return 0;
    }
    /* One that does not run yet does not listen. */
    if (rc == SM_ECANCELED && !attached->is_up)
        kill(child, SIGKILL);
    /* Both ways: it must see that also while it takes no more input. */
    shutdown(attached->keeper, SHUT_RDWR);
    return await_child(child);
}

int front_open(const struct keys *keys, int *ret_owner)
{
    struct attached attached;
    int ends[2];
    int status = EXIT_OURS;
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        complain("run: sockets: %s", strerror(errno));
        return status;
    }
    child = fork();
    if (child == 0) {
        close(ends[0]);
        *ret_owner = ends[1];
        return -1;
    }
    close(ends[1]);
    attached_init(&attached);
    attached.keeper = ends[0];
    attached.keys = *keys;
    attached.has_terminal = attached.reads_input = true;
    attached.takes_signals = true;
    if (child > 0)
        status = attend(&attached, child);
    else
        complain("run: new process: %s", strerror(errno));
    close(ends[0]);
    return status;
}
