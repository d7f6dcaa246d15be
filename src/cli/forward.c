/* forward.c: the caller's signals and terminal, handed on; see forward.h. */
#include "forward.h"

enum { PATIENCE = 3 }; /* as many SIGINT or SIGTERM end it */

/* Tells the thread that it is no longer needed. */
#define SIGNAL_LEAVE SIGRTMIN

static void tell_size(const struct forward *forward)
{
    uint32_t rows, columns;

    if (terminal_size(&rows, &columns))
        forward->events->resize(forward->context, rows, columns);
}

/* Signals that are about the terminal. False: it is another one. */
static bool serve_terminal(const struct forward *forward, int number)
{
    switch (number) {
    case SIGTSTP:
        terminal_suspend(forward->terminal);
        break;
    case SIGCONT:
        terminal_resume(forward->terminal);
        break;
    case SIGWINCH:
        break;
    default:
        return false;
    }
    /* It may have changed while we were stopped. */
    tell_size(forward);
    return true;
}

static void *forward_main(void *argument)
{
    struct forward *forward = argument;
    int asked_to_end = 0;
    int number;

    while (sigwait(&forward->set, &number) == 0 && number != SIGNAL_LEAVE) {
        if (forward->terminal && serve_terminal(forward, number))
            continue;
        if (number == SIGINT || number == SIGTERM)
            asked_to_end++;
        if (asked_to_end >= PATIENCE)
            forward->events->give_up(forward->context);
        else
            forward->events->signal(forward->context, number);
    }
    return NULL;
}

bool forward_start(struct forward *forward)
{
    static const int wanted[] = {SIGINT,  SIGTERM, SIGHUP,
                                 SIGQUIT, SIGUSR1, SIGUSR2};

    sigemptyset(&forward->set);
    for (unsigned i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        sigaddset(&forward->set, wanted[i]);
    sigaddset(&forward->set, SIGNAL_LEAVE);
    if (forward->terminal) {
        sigaddset(&forward->set, SIGWINCH);
        sigaddset(&forward->set, SIGTSTP);
        sigaddset(&forward->set, SIGCONT);
    }
    pthread_sigmask(SIG_BLOCK, &forward->set, NULL);
    return pthread_create(&forward->thread, NULL, forward_main, forward) == 0;
}

void forward_stop(struct forward *forward)
{
    pthread_kill(forward->thread, SIGNAL_LEAVE);
    pthread_join(forward->thread, NULL);
}
