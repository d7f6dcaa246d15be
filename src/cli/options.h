/* options.h: command lines with Docker's habits, described by tables.
 *
 * How it works
 *   A verb is a row of a table: its name, its words for --help, and its
 *   options, each of which writes one field of the verb's own struct. Options
 *   come before the first argument; "--" ends them. Short flags may be joined
 *   ("-it"), values follow as "-m 1g", "-m1g", "--memory 1g" or "--memory=1g".
 *   An unknown option or verb names the nearest known one.
 */
#ifndef SM_CLI_OPTIONS_H
#define SM_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,   /* bool: true when given                                */
    OPTION_STRING, /* const char *: the last one given                     */
    OPTION_BYTES,  /* uint64_t: "512m", "2GiB"; a bare number is bytes     */
    OPTION_COUNT,  /* uint32_t                                             */
    OPTION_LIST    /* struct option_list: all that were given              */
};

struct option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    enum option_kind kind;
    size_t field;      /* offset in the verb's struct */
    const char *value; /* what --help calls the value, NULL for flags */
    const char *help;
};

/* The values of a repeated option, NULL at the end. */
struct option_list {
    const char **item;
    size_t count;
};

/* (value) stays the caller's. False: out of memory. */
bool option_list_add(struct option_list *list, const char *value);
void option_list_done(struct option_list *list);

struct verb {
    const char *name;
    const char *usage;   /* "[OPTIONS] IMAGE [COMMAND [ARG...]]" */
    const char *summary; /* one line */
    const char *details; /* paragraphs, may be NULL */
    const struct option *options;
    size_t option_count;
    /* (arguments) ends with NULL. Returns the exit status. */
    int (*run)(int count, char **arguments);
};

/* What became of a command line. */
enum options_result {
    OPTIONS_OK,
    OPTIONS_HELP, /* --help was given and printed: exit 0 */
    OPTIONS_WRONG /* a message was printed: exit 125 */
};

/*
 * Parse (arguments), NULL at the end, into (values), the verb's struct. *rest
 * becomes the first argument that is not an option.
 */
enum options_result options_parse(const struct verb *verb, char **arguments,
                                  void *values, char ***rest);

/* The nearest of (names) to (word), or NULL if none is near. */
const char *options_nearest(const char *word, const char *const *names,
                            size_t count);

/* Print (verb)'s help on standard output. */
void options_help(const struct verb *verb);

#endif
