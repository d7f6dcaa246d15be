/* watch.c: know when something in a folder changes; see watch.h. */
#include "../watch.h"

#include <sys/inotify.h>
#include <unistd.h>

int watch_open(const char *path)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    if (fd >= 0 &&
        inotify_add_watch(fd, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void watch_clear(int fd)
{
    _Alignas(struct inotify_event) char bytes[4096];

    while (read(fd, bytes, sizeof bytes) > 0)
        ;
}
