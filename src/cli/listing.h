/* listing.h: tables of things, as people and as programs want them.
 *
 * How it works
 *   A verb names its columns, adds a row for each thing, and prints. What the
 *   user asked for decides the form:
 *
 *     (nothing)            a table, its columns as wide as what they hold
 *     -q                   the key of each row, one per line
 *     --json               an array of objects, every field in full
 *     --format TEMPLATE    a line per row (template.h)
 *     --format 'table T'   the same as a table: tabs part the columns
 *     --format json        an object per row, one per line
 *     --format table       as with nothing
 *     --no-trunc           no value is shortened
 *
 *   What is shown is printable (printable.h) whatever an image or a guest
 *   chose; JSON holds the exact values. Tables have colours on a terminal.
 *
 *   Example:
 *     enum { NAME, SIZE };
 *     static const struct listing_column columns[] = {
 *         [NAME] = {"Name", "NAME", LISTING_KEY, 0},
 *         [SIZE] = {"Size", "SIZE", LISTING_RIGHT, 0},
 *     };
 *
 *     if (!listing_init(&listing, "ps", columns, 2, &options))
 *         return EXIT_OURS;
 *     listing_row(&listing);
 *     listing_text(&listing, NAME, name);
 *     listing_number(&listing, SIZE, bytes, human_bytes(room, bytes));
 *     status = listing_print(&listing, stdout);
 *     listing_done(&listing);
 *
 *   No memory is an error of listing_print(), so that rows need no checks.
 */
#ifndef SM_CLI_LISTING_H
#define SM_CLI_LISTING_H

#include "options.h"

#include <stdint.h>
#include <stdio.h>

enum listing_trait {
    LISTING_KEY = 1,   /* -q prints it: one column has it                 */
    LISTING_RIGHT = 2, /* numbers: aligned on the right                   */
    LISTING_ID = 4     /* shortened without "…"; so is its "sha256:" gone */
};

struct listing_column {
    const char *name;     /* in templates and JSON: "ID", "CreatedAt" */
    const char *heading;  /* of the table; NULL: it is not in there   */
    unsigned traits;      /* of enum listing_trait                    */
    unsigned columns_max; /* shortened to so many; 0: never           */
};

struct listing_options {
    const char *format; /* NULL: not given */
    bool json;
    bool quiet;
    bool no_trunc;
};

/* Their rows for a verb's table; TYPE is its struct, MEMBER the field that is
 * a struct listing_options. */
#define LISTING_OPTION_ROWS(TYPE, MEMBER)                                      \
    {"format",      0,                                                         \
     OPTION_STRING, offsetof(struct TYPE, MEMBER.format),                      \
     "TEMPLATE",    "a line like '{{.Name}}' for each, or table, or json"},    \
        {"json",      0,                                                       \
         OPTION_FLAG, offsetof(struct TYPE, MEMBER.json),                      \
         NULL,        "print a JSON array of objects"},                        \
        {"no-trunc",  0,                                                       \
         OPTION_FLAG, offsetof(struct TYPE, MEMBER.no_trunc),                  \
         NULL,        "shorten nothing"},                                      \
    {                                                                          \
        "quiet", 'q', OPTION_FLAG, offsetof(struct TYPE, MEMBER.quiet), NULL,  \
            "print only what identifies each"                                  \
    }

enum listing_colour {
    LISTING_PLAIN,
    LISTING_GREEN,  /* it is well       */
    LISTING_YELLOW, /* look at it       */
    LISTING_RED,    /* it went wrong    */
    LISTING_FAINT   /* it is over       */
};

struct listing_cell {
    char *text; /* NULL: nothing was set */
    char *json; /* NULL: `text` as a string */
    enum listing_colour colour;
};

/* Filled by listing_init(); all fields are the listing's own. */
struct listing {
    const char *verb;
    const struct listing_column *columns;
    size_t column_count;
    const struct listing_options *options;
    char *format; /* the template in use; NULL with --json or -q */
    bool is_table;
    struct listing_cell *cells; /* column_count for each row */
    size_t row_count;
    size_t row_capacity;
    bool failed; /* there was no memory */
};

/*
 * An empty listing. (columns) and (options) must outlive it. Returns false,
 * with a message in the name of (verb) printed and nothing to be done, if the
 * options contradict each other or the template is wrong: call it before the
 * work.
 */
bool listing_init(struct listing *listing, const char *verb,
                  const struct listing_column *columns, size_t count,
                  const struct listing_options *options);
void listing_done(struct listing *listing);

/* Begin a row; the calls below fill it. A cell that is not set is empty, null
 * in JSON. */
void listing_row(struct listing *listing);

/* Set the cell of (column) to (text), which is copied; NULL: not set. */
void listing_text(struct listing *listing, size_t column, const char *text);

/* The same with a number in JSON; (text) is what the others show, NULL for its
 * digits. */
void listing_number(struct listing *listing, size_t column, uint64_t number,
                    const char *text);

/* The same with any value in JSON: (json) must be valid. */
void listing_json(struct listing *listing, size_t column, const char *json,
                  const char *text);

/* The colour of a cell, where there are colours. */
void listing_colour(struct listing *listing, size_t column,
                    enum listing_colour colour);

/* Print all rows in the order in which they were added. Returns 0, or
 * EXIT_OURS with a message printed. */
int listing_print(struct listing *listing, FILE *to);

#endif
