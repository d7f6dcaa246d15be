/* text.h: what the program says to its user. */
#ifndef SM_CLI_TEXT_H
#define SM_CLI_TEXT_H

struct sm_error;

/* Status of a failure of ours, as opposed to the command's (docker-run(1)). */
enum { EXIT_OURS = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

/* The status for (rc), SM_E*, that kept a command from running or from ending
 * by itself. */
int text_exit_code(int rc);

/* One line on standard error: "supermachine: MESSAGE", in a form that does
 * nothing to a terminal (printable.h). */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Fill *err, which may be NULL, as the library does; returns (code). */
int text_fail(struct sm_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with the code and text of errno. */
int text_fail_os(struct sm_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
