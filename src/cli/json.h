/* json.h: look into JSON that the library or this program wrote.
 *
 * How it works
 *   Nothing is copied and nothing is built: a value is the piece of the text
 *   that it takes up. The text must be JSON (RFC 8259), as what we write is;
 *   of other text the answers mean nothing, but nothing bad happens.
 */
#ifndef SM_CLI_JSON_H
#define SM_CLI_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A value; `length` 0: there is none. */
struct json_value {
    const char *start;
    size_t length;
};

/* The value that (text), which ends with NUL, consists of. */
struct json_value json_read(const char *text);

/* What a path of (length) bytes leads to: names of fields and numbers of items,
 * from 0, with dots between them, as "State.Status" or "Limits.0.Name". An
 * empty path leads to (value) itself. */
struct json_value json_at(struct json_value value, const char *path,
                          size_t length);

/* The items of an array: begin with NULL. */
struct json_value json_next(struct json_value array,
                            const struct json_value *before);

/* The value on one line, without the spaces between its parts. */
void json_write(FILE *to, struct json_value value);

/* A string without its quotes and escapes, anything else as it stands, null and
 * nothing as "". For free(); NULL: no memory. */
char *json_text(struct json_value value);
/* A number that is whole and not negative; 0 for everything else. */
uint64_t json_number(struct json_value value);

#endif
