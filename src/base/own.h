/* own.h: locals that own something are declared with AUTO_* and left with
 * own_take() or own_take_fd(). Half-built objects need no goto. */
#ifndef SM_BASE_OWN_H
#define SM_BASE_OWN_H

#include <stdlib.h>
#include <unistd.h>

static inline void own_free(void *p)
{
    free(*(void **)p);
}

static inline void own_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* `AUTO_FREE char *s = ...;`: free(s) when the block is left. */
#define AUTO_FREE __attribute__((cleanup(own_free)))

/* `AUTO_CLOSE int fd = ...;`: close(fd) when the block is left, if >= 0. */
#define AUTO_CLOSE __attribute__((cleanup(own_close)))

/* `AUTO(thing_freep) struct thing *t`: any clean-up that takes a pointer to
 * the variable. */
#define AUTO(fn) __attribute__((cleanup(fn)))

/* Defines a clean-up (fn)p for `type *` variables out of a (fn)_free(). */
#define OWN_DEFINE(type, fn)                                                   \
    static inline void fn##p(type **p)                                         \
    {                                                                          \
        fn(*p);                                                                \
    }

/* The owner gives the pointer away: its value, the variable becomes NULL. */
#define own_take(p)                                                            \
    __extension__({                                                            \
        __typeof__(p) taken_ = (p);                                            \
        (p) = NULL;                                                            \
        taken_;                                                                \
    })

/* The same for a file descriptor, which becomes -1. */
static inline int own_take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

#endif
