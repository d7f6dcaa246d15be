/* signals.h: the guest's signals by their names. */
#ifndef SM_CLI_SIGNALS_H
#define SM_CLI_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/* "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3" -> Linux's number on x86 and
 * ARM, whatever this system's is. False: no signal. */
bool signal_parse(const char *text, uint32_t *ret);

#endif
