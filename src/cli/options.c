/* options.c: command lines described by tables; see options.h. */
#include "options.h"

#include "text.h"
#include "values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 32 };

void option_list_done(struct option_list *list)
{
    free(list->item);
    *list = (struct option_list){0};
}

bool option_list_add(struct option_list *list, const char *value)
{
    const char **item =
        realloc(list->item, (list->count + 2) * sizeof *list->item);

    if (!item)
        return false;
    list->item = item;
    item[list->count++] = value;
    item[list->count] = NULL;
    return true;
}

/* Edits between two words (Levenshtein), both shorter than WORD_MAX. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1];
    size_t width = strlen(b);

    for (size_t i = 0; i <= width; i++)
        row[i] = i;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t k = 1; k <= width; k++) {
            size_t best = diagonal + (a[i - 1] != b[k - 1]);

            if (row[k] + 1 < best)
                best = row[k] + 1;
            if (row[k - 1] + 1 < best)
                best = row[k - 1] + 1;
            diagonal = row[k];
            row[k] = best;
        }
    }
    return row[width];
}

const char *options_nearest(const char *word, const char *const *names,
                            size_t count)
{
    const char *best = NULL;
    size_t best_distance = 3;

    if (strlen(word) >= WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t d = strlen(names[i]) < WORD_MAX ? distance(word, names[i])
                                               : best_distance;

        if (d < best_distance && d < strlen(names[i])) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

static enum options_result unknown(const struct verb *verb, const char *given)
{
    const char *names[64];
    const char *near;
    size_t count = 0;
    int length = (int)strcspn(given, "=");
    char word[WORD_MAX];

    for (size_t i = 0; i < verb->option_count && count < 64; i++)
        if (verb->options[i].help)
            names[count++] = verb->options[i].name;
    snprintf(word, sizeof word, "%.*s", length, given);
    near = word[1] == '-' ? options_nearest(word + 2, names, count) : NULL;
    if (near)
        complain("%s: unknown option %.*s: did you mean --%s?", verb->name,
                 length, given, near);
    else
        complain("%s: unknown option %.*s: see supermachine %s --help",
                 verb->name, length, given, verb->name);
    return OPTIONS_WRONG;
}

static enum options_result set_value(const struct verb *verb,
                                     const struct option *option,
                                     const char *value, void *values)
{
    void *field = (char *)values + option->field;
    bool fine = true;

    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)field = true;
        break;
    case OPTION_STRING:
        *(const char **)field = value;
        break;
    case OPTION_BYTES:
        fine = value_bytes(value, field);
        if (!fine)
            complain("%s: --%s %s: not a size: a number with b, k, m, g or t",
                     verb->name, option->name, value);
        break;
    case OPTION_COUNT:
        fine = value_count(value, field);
        if (!fine)
            complain("%s: --%s %s: not a whole number", verb->name,
                     option->name, value);
        break;
    case OPTION_LIST:
        fine = option_list_add(field, value);
        if (!fine)
            complain("%s: out of memory", verb->name);
        break;
    case OPTION_TIME:
        fine = value_duration(value, field);
        if (!fine)
            complain("%s: --%s %s: not a time: seconds, or as 1m30s",
                     verb->name, option->name, value);
        break;
    case OPTION_SIGNAL:
        fine = value_signal(value, field);
        if (!fine)
            complain("%s: --%s %s: not a signal: as TERM, SIGTERM or 15",
                     verb->name, option->name, value);
        break;
    }
    return fine ? OPTIONS_OK : OPTIONS_WRONG;
}

static enum options_result need_value(const struct verb *verb,
                                      const struct option *option)
{
    complain("%s: --%s needs a value: %s", verb->name, option->name,
             option->value);
    return OPTIONS_WRONG;
}

const struct option *options_by_name(const struct verb *verb, const char *name,
                                     size_t length)
{
    for (size_t i = 0; i < verb->option_count; i++)
        if (strlen(verb->options[i].name) == length &&
            memcmp(verb->options[i].name, name, length) == 0)
            return &verb->options[i];
    return NULL;
}

const struct option *options_by_letter(const struct verb *verb, char letter)
{
    for (size_t i = 0; i < verb->option_count; i++)
        if (verb->options[i].letter && verb->options[i].letter == letter)
            return &verb->options[i];
    return NULL;
}

/* "--name", "--name=value" or "--name value"; *at stands on it. */
static enum options_result parse_long(const struct verb *verb, char ***at,
                                      void *values)
{
    const char *word = **at + 2;
    size_t length = strcspn(word, "=");
    const char *value = word[length] ? word + length + 1 : NULL;
    const struct option *option = options_by_name(verb, word, length);

    if (!option)
        return unknown(verb, **at);
    if (option->kind == OPTION_FLAG && value) {
        complain("%s: --%s takes no value", verb->name, option->name);
        return OPTIONS_WRONG;
    }
    if (option->kind != OPTION_FLAG && !value) {
        value = (*at)[1];
        if (!value)
            return need_value(verb, option);
        (*at)++;
    }
    return set_value(verb, option, value, values);
}

/* "-i", "-it", "-m 1g" or "-m1g"; *at stands on it. */
static enum options_result parse_short(const struct verb *verb, char ***at,
                                       void *values)
{
    const char *word = **at;

    for (size_t i = 1; word[i]; i++) {
        const struct option *option = options_by_letter(verb, word[i]);
        enum options_result result;
        const char *value = NULL;

        if (!option)
            return unknown(verb, word);
        if (option->kind != OPTION_FLAG) {
            value = word[i + 1] ? word + i + 1 : (*at)[1];
            if (!value)
                return need_value(verb, option);
            if (!word[i + 1])
                (*at)++;
        }
        result = set_value(verb, option, value, values);
        if (result != OPTIONS_OK || value)
            return result;
    }
    return OPTIONS_OK;
}

enum options_result options_parse(const struct verb *verb, char **arguments,
                                  void *values, char ***rest)
{
    char **at = arguments;
    char **kept = arguments; /* behind the arguments that are no options */

    for (; *at; at++) {
        enum options_result result;

        if ((*at)[0] != '-' || !(*at)[1]) {
            if (!verb->options_anywhere)
                break;
            *kept++ = *at;
            continue;
        }
        if (strcmp(*at, "--") == 0) {
            at++;
            break;
        }
        if (strcmp(*at, "--help") == 0) {
            options_help(verb);
            return OPTIONS_HELP;
        }
        result = (*at)[1] == '-' ? parse_long(verb, &at, values)
                                 : parse_short(verb, &at, values);
        if (result != OPTIONS_OK)
            return result;
    }
    *rest = at;
    if (verb->options_anywhere) {
        *rest = arguments;
        while (*at)
            *kept++ = *at++;
        *kept = NULL;
    }
    return OPTIONS_OK;
}

static void help_option(const struct option *option)
{
    char left[64];

    snprintf(left, sizeof left, "--%s%s%s", option->name,
             option->value ? " " : "", option->value ? option->value : "");
    if (option->letter)
        printf("  -%c, ", option->letter);
    else
        printf("      ");
    if (strlen(left) > 22)
        printf("%s\n%28s ", left, "");
    else
        printf("%-22s ", left);
    puts(option->help);
}

void options_help(const struct verb *verb)
{
    size_t shown = 0;

    printf("Usage: supermachine %s %s\n\n%s\n", verb->name, verb->usage,
           verb->summary);
    if (verb->details)
        printf("\n%s\n", verb->details);
    if (verb->exit_status)
        printf("\nExit status:\n%s\n", verb->exit_status);
    for (size_t i = 0; verb->seconds && verb->seconds[i]; i++)
        printf("%s  %-17s %s\n", i ? "" : "\nCommands:\n",
               verb->seconds[i]->name, verb->seconds[i]->summary);
    if (verb->seconds)
        printf("\n`supermachine %s --help` tells more about one.\n",
               verb->seconds[0]->name);
    for (size_t i = 0; i < verb->option_count; i++) {
        if (!verb->options[i].help)
            continue;
        if (shown++ == 0)
            printf("\nOptions:\n");
        help_option(&verb->options[i]);
    }
    if (verb->example_count)
        printf("\nExamples:\n");
    for (size_t i = 0; i < verb->example_count; i++)
        printf("  # %s\n  %s\n", verb->examples[i].what,
               verb->examples[i].command);
}

const char *verb_group_name(enum verb_group group)
{
    static const char *const names[] = {
        [VERB_OTHER] = "Other",
        [VERB_MACHINES] = "Machines",
        [VERB_IMAGES] = "Images",
    };

    return names[group];
}

/* Calling ----------------------------------------------------------------- */

/* "rm" of "snapshot rm". */
static const char *last_word(const char *name)
{
    const char *space = strrchr(name, ' ');

    return space ? space + 1 : name;
}

const struct verb *verb_second(const struct verb *verb, const char *name)
{
    const char *names[16];
    const char *near;
    size_t count = 0;

    for (; verb->seconds[count]; count++) {
        names[count] = last_word(verb->seconds[count]->name);
        if (strcmp(names[count], name) == 0)
            return verb->seconds[count];
        /* As Docker has it. */
        if (strcmp(names[count], "ls") == 0 && strcmp(name, "list") == 0)
            return verb->seconds[count];
    }
    near = options_nearest(name, names, count);
    if (near)
        complain("unknown verb %s %s: did you mean %s?", verb->name, name,
                 near);
    else
        complain("unknown verb %s %s: see supermachine %s --help", verb->name,
                 name, verb->name);
    return NULL;
}

/* Its seconds stand for it. */
static int call_second(const struct verb *verb, char **arguments)
{
    const struct verb *second;

    if (!arguments[0]) {
        complain("%s: what? see supermachine %s --help", verb->name,
                 verb->name);
        return EXIT_OURS;
    }
    if (strcmp(arguments[0], "--help") == 0) {
        options_help(verb);
        return 0;
    }
    second = verb_second(verb, arguments[0]);
    return second ? verb_call(second, arguments + 1) : EXIT_OURS;
}

static bool takes(const struct verb *verb, char *const *words)
{
    size_t count = 0;

    if (!verb->ask)
        return true;
    while (words[count])
        count++;
    if (count > verb->most)
        complain("%s: %s: %s", verb->name, words[verb->most], verb->ask);
    else if (count < verb->least)
        complain("%s: %s", verb->name, verb->ask);
    return count >= verb->least && count <= verb->most;
}

static void free_values(const struct verb *verb, void *values)
{
    for (size_t i = 0; i < verb->option_count; i++)
        if (verb->options[i].kind == OPTION_LIST)
            option_list_done(
                (struct option_list *)(void *)((char *)values +
                                               verb->options[i].field));
    free(values);
}

int verb_call(const struct verb *verb, char **arguments)
{
    int status = EXIT_OURS;
    void *values;
    char **words;

    if (verb->seconds)
        return call_second(verb, arguments);
    /* One byte: for those who have no options there is a pointer too. */
    values = calloc(1, verb->values_bytes + 1);
    if (!values) {
        complain("%s: out of memory", verb->name);
        return EXIT_OURS;
    }
    if (verb->defaults)
        memcpy(values, verb->defaults, verb->values_bytes);
    switch (options_parse(verb, arguments, values, &words)) {
    case OPTIONS_HELP:
        status = 0;
        break;
    case OPTIONS_WRONG:
        break;
    case OPTIONS_OK:
        if (takes(verb, words))
            status = verb->run(values, words);
        break;
    }
    free_values(verb, values);
    return status;
}
