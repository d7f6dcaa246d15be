/* labels.c: words of the user's that machines carry; see labels.h. */
#include "labels.h"

#include "text.h"

#include <string.h>

bool labels_check(const char *verb, const struct option_list *labels)
{
    for (size_t i = 0; i < labels->count; i++) {
        if (!strchr(labels->item[i], '\n'))
            continue;
        complain("%s: --label: a line feed is not possible", verb);
        return false;
    }
    return true;
}

static bool has_key_of(const struct option_list *labels, size_t count,
                       const char *label)
{
    size_t length = strcspn(label, "=");

    for (size_t i = 0; i < count; i++)
        if (strcspn(labels->item[i], "=") == length &&
            memcmp(labels->item[i], label, length) == 0)
            return true;
    return false;
}

bool labels_inherit(struct option_list *labels, char *lines)
{
    size_t given = labels->count;
    char *rest = lines;
    char *line;

    while ((line = strsep(&rest, "\n")) != NULL)
        if (*line && !has_key_of(labels, given, line) &&
            !option_list_add(labels, line))
            return false;
    return true;
}
