/* terminal.h: the caller's terminal while a command of a machine has it.
 *
 * How it works
 *   The terminal is changed in two steps. While the machine starts, it neither
 *   shows nor edits what is typed, so that it reaches the command as it was
 *   typed; but Ctrl-C still interrupts us. Once the command runs the terminal
 *   is raw: every key is the command's, Ctrl-C and Ctrl-Z included, and the
 *   terminal in the guest does what terminals do.
 *
 *   It is put back by terminal_set(TERMINAL_BEFORE) at the end, and for as long
 *   as we are stopped (terminal_suspend()). A process that is in the background
 *   leaves the terminal alone.
 *
 * Threads: any.
 */
#ifndef SM_CLI_TERMINAL_H
#define SM_CLI_TERMINAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

enum terminal_mode {
    TERMINAL_BEFORE,  /* as it was found                            */
    TERMINAL_WAITING, /* no echo, no editing; Ctrl-C interrupts us  */
    TERMINAL_RAW      /* every key is the command's                 */
};

struct terminal {
    pthread_mutex_t lock;
    int fd; /* -1: there is none */
    struct termios before;
    enum terminal_mode mode; /* wanted now */
};

/* Standard input and output are a terminal that this process may use now. */
bool terminal_is_here(void);

/* Take note of standard input, if it is a terminal. */
void terminal_init(struct terminal *terminal);
void terminal_set(struct terminal *terminal, enum terminal_mode mode);

/* Stop this process, with its terminal put back until it is continued. */
void terminal_suspend(struct terminal *terminal);
/* Somebody else continued us: others may have changed the terminal. */
void terminal_resume(struct terminal *terminal);

/* The size in characters. False: no terminal, or it does not know. */
bool terminal_size(uint32_t *rows, uint32_t *columns);

#endif
