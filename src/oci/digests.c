/* digests.c: sorted arrays of digests; see digests.h. */
#include "oci/digests.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *left, const void *right)
{
    const struct digest *a = left;
    const struct digest *b = right;

    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

int digest_set_add(struct digest_set *set, const struct digest *digest,
                   struct sm_error *err)
{
    if (set->count == set->room) {
        size_t room = set->room ? 2 * set->room : 64;
        struct digest *items = reallocarray(set->items, room, sizeof *items);

        if (!items)
            return fail(err, SM_ENOMEM, "out of memory");
        set->items = items;
        set->room = room;
    }
    set->items[set->count++] = *digest;
    return 0;
}

bool digest_set_has(struct digest_set *set, const struct digest *digest)
{
    if (!set->count)
        return false;
    if (set->sorted != set->count)
        qsort(set->items, set->count, sizeof *set->items, compare);
    set->sorted = set->count;
    return bsearch(digest, set->items, set->count, sizeof *set->items,
                   compare) != NULL;
}

void digest_set_done(struct digest_set *set)
{
    free(set->items);
    *set = (struct digest_set){0};
}
