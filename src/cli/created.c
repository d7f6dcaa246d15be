/* created.c: when something of a listing was made; see created.h. */
#include "created.h"

#include "human.h"
#include "times.h"

#include <time.h>

void created_put(struct listing *listing, size_t since, size_t at,
                 uint64_t created_s)
{
    char span[HUMAN_MAX];
    char text[HUMAN_MAX + 8];
    char when[TIMES_MAX];

    if (!created_s || created_s > INT64_MAX / 1000000000) {
        listing_text(listing, since, "-");
        return;
    }
    snprintf(text, sizeof text, "%s ago",
             human_duration(span, (int64_t)time(NULL) - (int64_t)created_s));
    listing_text(listing, since, text);
    times_text((int64_t)created_s * 1000000000, when);
    listing_text(listing, at, when);
}
