/* terminal.c: the caller's terminal while a command has it; see terminal.h. */
#include "terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool is_in_foreground(int fd)
{
    return tcgetpgrp(fd) == getpgrp();
}

bool terminal_is_here(void)
{
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) &&
           is_in_foreground(STDIN_FILENO);
}

void terminal_init(struct terminal *terminal)
{
    *terminal = (struct terminal){.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};
    if (tcgetattr(STDIN_FILENO, &terminal->before) == 0)
        terminal->fd = STDIN_FILENO;
}

/* Never waits for output to drain: a terminal that is held (Ctrl-S) would keep
 * us for ever. */
static void apply(const struct terminal *terminal, enum terminal_mode mode)
{
    struct termios wanted = terminal->before;

    if (terminal->fd < 0 || !is_in_foreground(terminal->fd))
        return;
    if (mode == TERMINAL_RAW) {
        cfmakeraw(&wanted);
    } else if (mode == TERMINAL_WAITING) {
        wanted.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        wanted.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IGNCR | IXON);
        wanted.c_cc[VMIN] = 1;
        wanted.c_cc[VTIME] = 0;
    }
    tcsetattr(terminal->fd, TCSANOW, &wanted);
}

void terminal_set(struct terminal *terminal, enum terminal_mode mode)
{
    pthread_mutex_lock(&terminal->lock);
    terminal->mode = mode;
    apply(terminal, mode);
    pthread_mutex_unlock(&terminal->lock);
}

void terminal_suspend(struct terminal *terminal)
{
    pthread_mutex_lock(&terminal->lock);
    apply(terminal, TERMINAL_BEFORE);
    raise(SIGSTOP);
    apply(terminal, terminal->mode);
    pthread_mutex_unlock(&terminal->lock);
}

void terminal_resume(struct terminal *terminal)
{
    pthread_mutex_lock(&terminal->lock);
    apply(terminal, terminal->mode);
    pthread_mutex_unlock(&terminal->lock);
}

bool terminal_size(uint32_t *rows, uint32_t *columns)
{
    struct winsize size;

    if ((ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 &&
         ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0) ||
        !size.ws_row || !size.ws_col)
        return false;
    *rows = size.ws_row;
    *columns = size.ws_col;
    return true;
}
