/* common.h: what the programs that try the library on real machines share. */
#ifndef SM_TESTS_LIBRARY_COMMON_H
#define SM_TESTS_LIBRARY_COMMON_H

#include <stdbool.h>
#include <stdio.h>
#include <supermachine.h>

extern struct sm_host *host;
extern struct sm_image *image;
extern struct sm_error err;

/* In a test: return false, and say why, unless (condition). */
#define NEED(condition)                                                        \
    do {                                                                       \
        if (!(condition)) {                                                    \
            printf("    %s:%d: %s: %s\n", __FILE__, __LINE__, #condition,      \
                   err.message);                                               \
            return false;                                                      \
        }                                                                      \
    } while (0)

/* Set host and image, from the environment and (reference); end the program
 * if that fails. All that follows ends with SIGALRM after (limit_s). */
void open_image(const char *reference, unsigned limit_s);
void close_image(void);

/* A machine that runs, or the end of the program. */
struct sm_machine *start(void);
/* `sh -c (script)`, its three streams as bytes. */
struct sm_exec *shell(struct sm_machine *machine, const char *script);
bool is_readable(int fd, int timeout_ms);
/* How many entries the folder (path) has; of /proc/self/fd or task. */
int count_entries(const char *path);
/* "ok library/NAME" or "not ok library/NAME". */
void report(const char *name, bool good);

#endif
