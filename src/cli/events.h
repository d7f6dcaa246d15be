/* events.h: what happened to machines and images, all of it in one file.
 *
 * How it works
 *   HOME/machines/events has a line of JSON for each, in the form of Docker's;
 *   who does something adds it, in one write. A file that has become large is
 *   put aside as events.old, in the place of the last one: of what happened
 *   long ago nothing is kept.
 */
#ifndef SM_CLI_EVENTS_H
#define SM_CLI_EVENTS_H

#include "record.h"

enum { EVENTS_FILE_MAX = 1 << 20 };

/*
 * Note that (action), "start", happened to the machine, now. (name) and (value)
 * are one more attribute, NULL: none. What cannot be written is lost: nothing
 * that works shall fail because nobody took note of it.
 */
void events_note(const struct record *record, const char *action,
                 const char *name, const char *value);
/*
 * The same for the image (id), a digest or as it was named, whose name is
 * (name): "pull", "tag", "untag", "delete", "load" or "save".
 */
void events_note_image(const char *action, const char *id, const char *name);

#endif
