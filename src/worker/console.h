/* console.h: where the guest kernel's console goes: the end of a file.
 *
 * A guest may print for ever, so only the last CONSOLE_BYTES are kept: what is
 * older is punched out of the file, whose size goes on counting.
 */
#ifndef SM_WORKER_CONSOLE_H
#define SM_WORKER_CONSOLE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { CONSOLE_BYTES = 1 << 20 };

struct console {
    pthread_mutex_t lock;
    int fd;
    uint64_t written;
    uint64_t punched; /* bytes at the front that are holes */
};

/* (fd) is the console's from now on; -1: everything is dropped. */
void console_init(struct console *console, int fd);
/* Any thread. What the file does not take is dropped. */
void console_write(struct console *console, const uint8_t *bytes, size_t count);

#endif
