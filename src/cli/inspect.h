/* inspect.h: what is known of something, as JSON. */
#ifndef SM_CLI_INSPECT_H
#define SM_CLI_INSPECT_H

/* `supermachine inspect` for snapshots (names), NULL at the end; (format) may
 * be NULL. Returns the exit status. */
int inspect_snapshots(const char *verb, const char *format, char *const *names);

#endif
