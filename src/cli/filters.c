/* filters.c: which of many things are wanted; see filters.h. */
#include "filters.h"

#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "a=, b= or c=", for messages; NULL: no memory. */
static char *list_keys(const char *const *keys)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    if (!to)
        return NULL;
    for (size_t i = 0; keys[i]; i++)
        fprintf(to, "%s%s=",
                i == 0        ? ""
                : keys[i + 1] ? ", "
                              : " or ",
                keys[i]);
    fclose(to);
    return text;
}

bool filters_check(const char *verb, const struct option_list *filters,
                   const char *const *keys)
{
    for (size_t i = 0; i < filters->count; i++) {
        size_t length = strcspn(filters->item[i], "=");
        bool known = false;
        char *all;

        for (size_t k = 0; keys[k]; k++)
            known |= filters->item[i][length] == '=' &&
                     strlen(keys[k]) == length &&
                     memcmp(filters->item[i], keys[k], length) == 0;
        if (known)
            continue;
        all = list_keys(keys);
        complain("%s: --filter %s: must be %s", verb, filters->item[i],
                 all ? all : "another");
        free(all);
        return false;
    }
    return true;
}

/* Whether one of those with the key that (filter) begins with holds. */
static bool one_holds(const struct option_list *filters, const void *thing,
                      const char *filter, filter_matches_fn *matches)
{
    size_t length = strcspn(filter, "=");

    for (size_t i = 0; i < filters->count; i++)
        if (strncmp(filters->item[i], filter, length + 1) == 0 &&
            matches(thing, filter, length, filters->item[i] + length + 1))
            return true;
    return false;
}

bool filters_hold(const struct option_list *filters, const void *thing,
                  filter_matches_fn *matches)
{
    static const char label[] = "label=";
    enum { KEY = sizeof label - 2 };

    for (size_t i = 0; i < filters->count; i++) {
        const char *filter = filters->item[i];
        bool holds = strncmp(filter, label, KEY + 1) == 0
                         ? matches(thing, filter, KEY, filter + KEY + 1)
                         : one_holds(filters, thing, filter, matches);

        if (!holds)
            return false;
    }
    return true;
}
