/* options.c: command lines described by tables; see options.h. */
#include "options.h"

#include "text.h"

#include <errno.h>
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

    for (; count < verb->option_count && count < 64; count++)
        names[count] = verb->options[count].name;
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

/* "512m" -> bytes. */
static bool parse_bytes(const char *text, uint64_t *ret)
{
    static const char units[] = "bkmgtp";
    unsigned long long number;
    const char *unit;
    char *end;
    uint64_t scale = 1;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (end == text || errno || text[0] < '0' || text[0] > '9')
        return false;
    if (*end) {
        char letter = (char)(*end | 0x20);

        unit = strchr(units, letter);
        if (!unit)
            return false;
        scale = UINT64_C(1) << (10 * (unit - units));
        end++;
        if (letter != 'b' && (*end == 'i' || *end == 'I') &&
            (end[1] | 0x20) == 'b')
            end += 2;
        else if (letter != 'b' && (*end | 0x20) == 'b')
            end++;
    }
    return *end == '\0' && !__builtin_mul_overflow(number, scale, ret);
}

static bool parse_count(const char *text, uint32_t *ret)
{
    unsigned long long number;
    char *end;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (end == text || *end || errno || text[0] < '0' || text[0] > '9' ||
        number > UINT32_MAX)
        return false;
    *ret = (uint32_t)number;
    return true;
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
        fine = parse_bytes(value, field);
        if (!fine)
            complain("%s: --%s %s: not a size: a number with b, k, m, g or t",
                     verb->name, option->name, value);
        break;
    case OPTION_COUNT:
        fine = parse_count(value, field);
        if (!fine)
            complain("%s: --%s %s: not a whole number", verb->name,
                     option->name, value);
        break;
    case OPTION_LIST:
        fine = option_list_add(field, value);
        if (!fine)
            complain("%s: out of memory", verb->name);
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

/* "--name", "--name=value" or "--name value"; *at stands on it. */
static enum options_result parse_long(const struct verb *verb, char ***at,
                                      void *values)
{
    const char *word = **at + 2;
    size_t length = strcspn(word, "=");
    const char *value = word[length] ? word + length + 1 : NULL;

    for (size_t i = 0; i < verb->option_count; i++) {
        const struct option *option = &verb->options[i];

        if (strlen(option->name) != length ||
            memcmp(option->name, word, length) != 0)
            continue;
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
    return unknown(verb, **at);
}

static const struct option *by_letter(const struct verb *verb, char letter)
{
    for (size_t i = 0; i < verb->option_count; i++)
        if (verb->options[i].letter && verb->options[i].letter == letter)
            return &verb->options[i];
    return NULL;
}

/* "-i", "-it", "-m 1g" or "-m1g"; *at stands on it. */
static enum options_result parse_short(const struct verb *verb, char ***at,
                                       void *values)
{
    const char *word = **at;

    for (size_t i = 1; word[i]; i++) {
        const struct option *option = by_letter(verb, word[i]);
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

    for (; *at && (*at)[0] == '-' && (*at)[1]; at++) {
        enum options_result result;

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
    return OPTIONS_OK;
}

void options_help(const struct verb *verb)
{
    printf("Usage: supermachine %s %s\n\n%s\n", verb->name, verb->usage,
           verb->summary);
    if (verb->details)
        printf("\n%s\n", verb->details);
    if (verb->option_count)
        printf("\nOptions:\n");
    for (size_t i = 0; i < verb->option_count; i++) {
        const struct option *option = &verb->options[i];
        char left[64];

        snprintf(left, sizeof left, "--%s%s%s", option->name,
                 option->value ? " " : "", option->value ? option->value : "");
        if (option->letter)
            printf("  -%c, %-22s %s\n", option->letter, left, option->help);
        else
            printf("      %-22s %s\n", left, option->help);
    }
}
