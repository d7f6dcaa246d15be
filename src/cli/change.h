/* change.h: telling what became of things of the store. */
#ifndef SM_CLI_CHANGE_H
#define SM_CLI_CHANGE_H

#include <stdbool.h>
#include <stdint.h>
#include <supermachine.h>

/* What was told so far. Zeroed, it is none. */
struct change_sum {
    uint64_t freed_bytes;
    unsigned damaged;
};

/* For the calls of the store; (context) is a struct change_sum. One line for
 * each, "Deleted: sha256:...", as Docker words it; what was kept goes to
 * standard error. What went or came is an event, too (events.h). */
void change_print(void *context, const struct sm_store_change *change);

#endif
