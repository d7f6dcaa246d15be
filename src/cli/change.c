/* change.c: what became of things of the store; see change.h. */
#include "change.h"

#include "events.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

/* A snapshot's as `snapshot create` does: it is for scripts. */
static void print_loaded(const char *what)
{
    static const char prefix[] = "snapshot:";

    if (strncmp(what, prefix, strlen(prefix)) == 0)
        printf("%s\n", what + strlen(prefix));
    else
        printf("Loaded image: %s\n", what);
}

void change_print(void *context, const struct sm_store_change *change)
{
    struct change_sum *sum = context;

    sum->freed_bytes += change->bytes;
    switch (change->kind) {
    case SM_STORE_UNTAGGED:
        printf("Untagged: %s\n", change->what);
        events_note_image("untag", change->what, change->what);
        break;
    case SM_STORE_DELETED:
        printf("Deleted: %s\n", change->what);
        events_note_image("delete", change->what, change->what);
        break;
    case SM_STORE_KEPT:
        complain("%s stays: %s", change->what, change->why);
        break;
    case SM_STORE_DAMAGED:
        sum->damaged++;
        printf("Damaged: %s: %s\n", change->what, change->why);
        break;
    case SM_STORE_LOADED:
        print_loaded(change->what);
        events_note_image("load", change->what, change->what);
        break;
    }
}
