/* near.h: of many names, those that somebody may have meant. */
#ifndef SM_BASE_NEAR_H
#define SM_BASE_NEAR_H

#include <stddef.h>

enum {
    NEAR_MAX = 5,
    NEAR_NAME_MAX = 129, /* a tag has at most 128 letters; others are cut */
    NEAR_TEXT_MAX = NEAR_MAX * (NEAR_NAME_MAX + 2)
};

/* The nearest of those that were added, the nearest first; of equals, those
 * that were added first. */
struct near {
    const char *wanted; /* the caller's */
    size_t count;
    struct near_name {
        size_t distance;
        char name[NEAR_NAME_MAX];
    } names[NEAR_MAX];
};

void near_init(struct near *near, const char *wanted);
void near_add(struct near *near, const char *name);
/* "a, b, c"; "" if there are none. */
void near_text(const struct near *near, char to[NEAR_TEXT_MAX]);

#endif
