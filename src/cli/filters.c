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

bool filters_hold(const struct option_list *filters, const void *thing,
                  filter_matches_fn *matches)
{
    for (size_t i = 0; i < filters->count; i++) {
        const char *key = filters->item[i];
        size_t length = strcspn(key, "=");
        bool one = false;

        for (size_t j = 0; j < filters->count && !one; j++)
            one = strncmp(filters->item[j], key, length + 1) == 0 &&
                  matches(thing, key, length, filters->item[j] + length + 1);
        if (!one)
            return false;
    }
    return true;
}
