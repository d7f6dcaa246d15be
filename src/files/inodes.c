/* inodes.c: which files of a tree were seen before; see inodes.h. */
#include "files/inodes.h"

#include "base/bytes.h"

#include <stdlib.h>

enum { ROOM_FIRST = 256 };
/* Of all names together. */
#define NAMES_MAX (UINT64_C(1) << 30)

struct inode_slot {
    dev_t device;
    ino_t inode;
    size_t name; /* where in `names`, plus 1; 0: the slot is free */
};

void inodes_init(struct inodes *inodes)
{
    *inodes = (struct inodes){0};
    buf_init(&inodes->names, NAMES_MAX);
}

void inodes_done(struct inodes *inodes)
{
    free(inodes->slots);
    buf_done(&inodes->names);
}

/* The file's slot, or the free one where it belongs. */
static struct inode_slot *slot_of(struct inode_slot *slots, size_t room,
                                  dev_t device, ino_t inode)
{
    uint64_t hash = (inode ^ (uint64_t)device << 32) * 0x9e3779b97f4a7c15u;
    size_t at = (size_t)(hash >> 20) & (room - 1);

    while (slots[at].name &&
           (slots[at].device != device || slots[at].inode != inode))
        at = (at + 1) & (room - 1);
    return &slots[at];
}

/* At least a quarter stays free, so that every search ends soon. */
static bool make_room(struct inodes *inodes)
{
    size_t room = inodes->room ? 2 * inodes->room : ROOM_FIRST;
    struct inode_slot *slots;

    if (4 * (inodes->count + 1) <= 3 * inodes->room)
        return true;
    slots = calloc(room, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < inodes->room; i++) {
        const struct inode_slot *old = &inodes->slots[i];

        if (old->name)
            *slot_of(slots, room, old->device, old->inode) = *old;
    }
    free(inodes->slots);
    inodes->slots = slots;
    inodes->room = room;
    return true;
}

const char *inodes_seen(struct inodes *inodes, dev_t device, ino_t inode,
                        const char *name, bool *failed)
{
    struct inode_slot *slot;
    size_t at = inodes->names.size;

    *failed = !make_room(inodes);
    if (*failed)
        return NULL;
    slot = slot_of(inodes->slots, inodes->room, device, inode);
    if (slot->name)
        return (const char *)inodes->names.data + slot->name - 1;
    *failed = !buf_append(&inodes->names, name, strlen(name) + 1);
    if (*failed)
        return NULL;
    *slot = (struct inode_slot){device, inode, at + 1};
    inodes->count++;
    return NULL;
}
