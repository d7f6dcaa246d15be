/* near.c: names that are like another one; see near.h. */
#include "base/near.h"

#include <stdio.h>
#include <string.h>

void near_init(struct near *near, const char *wanted)
{
    *near = (struct near){.wanted = wanted};
}

/* How many letters differ, roughly: those in front and behind that are equal
 * do not count. */
static size_t distance(const char *a, const char *b)
{
    size_t from = 0;
    size_t end_a = strlen(a);
    size_t end_b = strlen(b);

    while (a[from] && a[from] == b[from])
        from++;
    while (end_a > from && end_b > from && a[end_a - 1] == b[end_b - 1]) {
        end_a--;
        end_b--;
    }
    return (end_a > end_b ? end_a : end_b) - from;
}

void near_add(struct near *near, const char *name)
{
    size_t here = distance(name, near->wanted);
    size_t at = near->count;

    for (size_t i = 0; i < near->count; i++)
        if (strncmp(near->names[i].name, name, NEAR_NAME_MAX - 1) == 0)
            return;
    while (at > 0 && near->names[at - 1].distance > here)
        at--;
    if (at == NEAR_MAX)
        return;
    if (near->count < NEAR_MAX)
        near->count++;
    memmove(&near->names[at + 1], &near->names[at],
            (near->count - at - 1) * sizeof near->names[0]);
    near->names[at].distance = here;
    snprintf(near->names[at].name, NEAR_NAME_MAX, "%s", name);
}

void near_text(const struct near *near, char to[NEAR_TEXT_MAX])
{
    int used = 0;

    to[0] = '\0';
    for (size_t i = 0; i < near->count; i++)
        used += snprintf(to + used, NEAR_TEXT_MAX - (size_t)used, "%s%s",
                         i ? ", " : "", near->names[i].name);
}
