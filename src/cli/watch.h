/* watch.h: know when something in a folder changes. */
#ifndef SM_CLI_WATCH_H
#define SM_CLI_WATCH_H

/* A descriptor that becomes readable when a file in folder (path) is written,
 * made or renamed; -1 and errno. */
int watch_open(const char *path);
/* Take note: it is readable again when something else has changed. */
void watch_clear(int fd);

#endif
