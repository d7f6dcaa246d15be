/* options.h: command lines with Docker's habits, described by tables.
 *
 * How it works
 *   A verb is a row of a table: its name, its words for --help, and its
 *   options, each of which writes one field of the verb's own struct. Options
 *   come before the first argument, or anywhere if the verb says so; "--" ends
 *   them. Short flags may be joined ("-it"), values follow as "-m 1g", "-m1g",
 *   "--memory 1g" or "--memory=1g". An unknown option or verb names the nearest
 *   known one.
 *
 *   From the same table come --help, the manual pages (man.h) and what shells
 *   complete (complete.h). These read the words for a value, here and in
 *   `usage`: MACHINE, IMAGE, VERB and SIGNAL are names of such, FILE and DIR
 *   paths, "missing|always" is one of these words.
 */
#ifndef SM_CLI_OPTIONS_H
#define SM_CLI_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,   /* bool: true when given                                */
    OPTION_STRING, /* const char *: the last one given                     */
    OPTION_BYTES,  /* uint64_t: "512m", "2GiB"; a bare number is bytes     */
    OPTION_COUNT,  /* uint32_t                                             */
    OPTION_LIST,   /* struct option_list: all that were given              */
    OPTION_TIME,   /* uint64_t: milliseconds; "10" (seconds), "1m30s"      */
    OPTION_SIGNAL  /* uint32_t: "SIGTERM", "TERM", "15"; Linux's number  */
};

struct option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    enum option_kind kind;
    size_t field;      /* offset in the verb's struct */
    const char *value; /* what --help calls the value, NULL for flags */
    const char *help;  /* NULL: it is known but shown nowhere */
};

/* The values of a repeated option, NULL at the end. */
struct option_list {
    const char **item;
    size_t count;
};

/* (value) stays the caller's. False: out of memory. */
bool option_list_add(struct option_list *list, const char *value);
void option_list_done(struct option_list *list);

/* The heading under which a verb stands in the main help. */
enum verb_group { VERB_OTHER, VERB_MACHINES, VERB_IMAGES };

const char *verb_group_name(enum verb_group group);

struct verb_example {
    const char *what;    /* a line that tells, without full stop */
    const char *command; /* a command line, as typed */
};

struct verb {
    const char *name;
    const char *usage;   /* "[OPTIONS] IMAGE [COMMAND [ARG...]]" */
    const char *summary; /* one line */
    /* Paragraphs, may be NULL, in lines of at most 79 columns. A line that
     * begins with two spaces tells of a word: "  WORD   what it is", where
     * deeper lines go on with that. */
    const char *details;
    /* Likewise, of the exit status; NULL: 0, or 125 when it failed. */
    const char *exit_status;
    const struct verb_example *examples;
    size_t example_count;
    enum verb_group group;
    /* Options may stand behind arguments too. Not for verbs whose arguments
     * are a command, which has options of its own. */
    bool options_anywhere;
    const struct option *options;
    size_t option_count;
    /* What its first argument is one of, NULL at the end, each with its
     * options; their names are whole: "snapshot rm". NULL: its arguments are
     * its own. */
    const struct verb *const *seconds;
    /* The verb's own struct, which its options fill: what it is before; NULL:
     * zeros. */
    size_t values_bytes;
    const void *defaults;
    /* How many arguments there may be, and what is said if there are more or
     * fewer; NULL: as many as there are. */
    unsigned least;
    unsigned most; /* UINT_MAX: no limit */
    const char *ask;
    /* (values) is the struct, filled; (words) the arguments that are no
     * options, NULL at the end. Both are the caller's. Returns the exit
     * status. */
    int (*run)(void *values, char **words);
};

/* Do what (arguments), NULL at the end, say: parse them and run the verb, or
 * the second that they name. Returns the exit status; whatever is wrong with
 * them was said. */
int verb_call(const struct verb *verb, char **arguments);

/* The second of (verb) that is called "VERB NAME", with a message when there is
 * none. */
const struct verb *verb_second(const struct verb *verb, const char *name);

/* What became of a command line. */
enum options_result {
    OPTIONS_OK,
    OPTIONS_HELP, /* --help was given and printed: exit 0 */
    OPTIONS_WRONG /* a message was printed: exit 125 */
};

/*
 * Parse (arguments), NULL at the end, into (values), the verb's struct. *rest
 * becomes the arguments that are no options, NULL at the end; it is a part of
 * (arguments), which are put in another order if options may be anywhere.
 */
enum options_result options_parse(const struct verb *verb, char **arguments,
                                  void *values, char ***rest);

/* The nearest of (names) to (word), or NULL if none is near. */
const char *options_nearest(const char *word, const char *const *names,
                            size_t count);

/* The option of a letter, or NULL. */
const struct option *options_by_letter(const struct verb *verb, char letter);

/* The option whose name is the first (length) bytes of (name), or NULL. */
const struct option *options_by_name(const struct verb *verb, const char *name,
                                     size_t length);

/* Print (verb)'s help on standard output. */
void options_help(const struct verb *verb);

#endif
