/* console.c: the end of what the guest's kernel printed; see console.h. */
#include "worker/console.h"

#include "base/bytes.h"

#include <fcntl.h>
#include <unistd.h>

enum { PUNCH_BYTES = 64 << 10 };

void console_init(struct console *console, int fd)
{
    *console = (struct console){.fd = fd};
    pthread_mutex_init(&console->lock, NULL);
}

static void forget_old(struct console *console)
{
    uint64_t keep_from;

    if (console->written - console->punched < CONSOLE_BYTES + PUNCH_BYTES)
        return;
    keep_from = align_down(console->written - CONSOLE_BYTES, PUNCH_BYTES);
    if (fallocate(console->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)console->punched,
                  (off_t)(keep_from - console->punched)) != 0) {
        /* A file that cannot forget must not grow. */
        close(console->fd);
        console->fd = -1;
        return;
    }
    console->punched = keep_from;
}

void console_write(struct console *console, const uint8_t *bytes, size_t count)
{
    pthread_mutex_lock(&console->lock);
    if (console->fd >= 0) {
        ssize_t put =
            pwrite(console->fd, bytes, count, (off_t)console->written);

        if (put > 0)
            console->written += (uint64_t)put;
        forget_old(console);
    }
    pthread_mutex_unlock(&console->lock);
}
