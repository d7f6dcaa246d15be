/* complete.c: what may follow a command line that is being typed; see
 * complete.h. */
#include "complete.h"

#include "values.h"

#include <stdio.h>
#include <string.h>

/* One question. */
struct question {
    const struct verb *const *table;
    const char *typed;  /* of the word, as far as it counts */
    const char *lead;   /* what stands before it in the same word */
    size_t lead_length; /* as in "--name=" */
};

/* Names that a verb knows: how it is asked for them, one per line. */
static const struct {
    const char *what;
    const char *verb;
    const char *arguments[4];
} sources[] = {
    {"MACHINE", "ps", {"--all", "--format", "{{.Names}}", NULL}},
    /* The first half of MACHINE:PATH. */
    {"MACHINE:", "ps", {"--format", "{{.Names}}:", NULL}},
    {"IMAGE", "images", {"--format", "{{.Repository}}:{{.Tag}}", NULL}},
    {"SNAPSHOT", "snapshot", {"ls", "--format", "{{.Name}}", NULL}},
};

enum { SOURCE_COUNT = sizeof sources / sizeof sources[0] };

/* (value) has (length) bytes; (help) may be NULL. */
static void offer(const struct question *question, const char *value,
                  size_t length, const char *help)
{
    size_t typed = strlen(question->typed);

    if (length < typed || memcmp(value, question->typed, typed) != 0)
        return;
    printf("%.*s%.*s%s%s\n", (int)question->lead_length, question->lead,
           (int)length, value, help ? "\t" : "", help ? help : "");
}

static const struct verb *find(const struct verb *const *table,
                               const char *name)
{
    for (; *table; table++)
        if (strcmp((*table)->name, name) == 0)
            return *table;
    return NULL;
}

static void offer_verbs(const struct question *question)
{
    for (const struct verb *const *at = question->table; *at; at++)
        offer(question, (*at)->name, strlen((*at)->name), (*at)->summary);
}

static void offer_signals(const struct question *question)
{
    for (uint32_t i = 1; i < SIGNAL_NAMES; i++)
        offer(question, value_signal_name(i), strlen(value_signal_name(i)),
              NULL);
}

/* "missing|always". */
static void offer_words(const struct question *question, const char *words,
                        size_t length)
{
    for (size_t i = 0; i < length; i++) {
        size_t word = i;

        while (i < length && words[i] != '|')
            i++;
        offer(question, words + word, i - word, NULL);
    }
}

/* What the verb of a source prints; shells leave out what does not fit. */
static void offer_names(const struct question *question, size_t source)
{
    const struct verb *verb = find(question->table, sources[source].verb);
    char *arguments[4];
    int count = 0;

    if (!verb || question->lead_length)
        return;
    for (; sources[source].arguments[count]; count++)
        arguments[count] = (char *)(uintptr_t)sources[source].arguments[count];
    arguments[count] = NULL;
    verb_call(verb, arguments);
}

/* A value whose word in --help is the (length) bytes of (word). */
static void offer_value(const struct question *question, const char *word,
                        size_t length)
{
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)length, word);
    if (strcmp(name, "FROM") == 0 || strcmp(name, "TO") == 0) {
        puts(":files");
        snprintf(name, sizeof name, "MACHINE:");
    } else if (memchr(word, '|', length))
        offer_words(question, word, length);
    else if (strcmp(name, "FILE") == 0)
        puts(":files");
    else if (strcmp(name, "DIR") == 0)
        puts(":dirs");
    else if (strcmp(name, "VERB") == 0)
        offer_verbs(question);
    else if (strcmp(name, "SIGNAL") == 0)
        offer_signals(question);
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        if (strcmp(name, sources[i].what) == 0)
            offer_names(question, i);
}

/* The argument at (position) of "[OPTIONS] IMAGE [COMMAND [ARG...]]". */
static void offer_argument(const struct question *question, const char *usage,
                           size_t position)
{
    static const char blank[] = " []";

    for (usage += strspn(usage, blank); *usage;) {
        size_t length = strcspn(usage, blank);
        size_t dots =
            length > 3 && memcmp(usage + length - 3, "...", 3) == 0 ? 3 : 0;
        bool counts = strncmp(usage, "OPTIONS", length) != 0;

        if (counts && (position == 0 || dots)) {
            offer_value(question, usage, length - dots);
            return;
        }
        position -= counts;
        usage += length;
        usage += strspn(usage, blank);
    }
}

static void offer_options(const struct question *question,
                          const struct verb *verb)
{
    struct question name = *question;

    /* Both dashes may not be typed yet. */
    name.lead = "--";
    name.lead_length = 2;
    name.typed += strspn(name.typed, "-");
    if (question->typed[1] && question->typed[1] != '-')
        return;
    for (size_t i = 0; i < verb->option_count; i++)
        if (verb->options[i].help)
            offer(&name, verb->options[i].name, strlen(verb->options[i].name),
                  verb->options[i].help);
    offer(&name, "help", 4, "print what there is to know");
}

/* The option whose value is the word behind (word), or NULL. */
static const struct option *awaits_value(const struct verb *verb,
                                         const char *word)
{
    const struct option *option = NULL;

    if (word[1] == '-') {
        option = options_by_name(verb, word + 2, strlen(word + 2));
        return option && option->kind != OPTION_FLAG ? option : NULL;
    }
    for (word++; *word; word++) {
        option = options_by_letter(verb, *word);
        if (!option)
            return NULL;
        if (option->kind != OPTION_FLAG)
            return word[1] ? NULL : option;
    }
    return NULL;
}

/* The last word begins with a dash, where options may stand. */
static void offer_dashed(struct question *question, const struct verb *verb)
{
    size_t length = strcspn(question->typed, "=");
    const struct option *option;

    if (!question->typed[length]) {
        offer_options(question, verb);
        return;
    }
    option = length > 2 ? options_by_name(verb, question->typed + 2, length - 2)
                        : NULL;
    if (!option || !option->value)
        return;
    question->lead = question->typed;
    question->lead_length = length + 1;
    question->typed += length + 1;
    offer_value(question, option->value, strlen(option->value));
}

/* (words) behind the verb's name. */
static void complete_verb(struct question *question, const struct verb *verb,
                          size_t count, char *const *words)
{
    bool options_end = false;
    size_t position = 0;

    for (size_t i = 0; i + 1 < count; i++) {
        const char *word = words[i];
        const struct option *option;

        if (options_end || word[0] != '-' || !word[1]) {
            position++;
            options_end = options_end || !verb->options_anywhere;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            options_end = true;
            continue;
        }
        option = awaits_value(verb, word);
        if (option && i + 2 == count) {
            offer_value(question, option->value, strlen(option->value));
            return;
        }
        i += option != NULL;
    }
    if (!options_end && question->typed[0] == '-')
        offer_dashed(question, verb);
    else
        offer_argument(question, verb->usage, position);
}

/* "rm" of "snapshot rm". */
static const char *second_word(const struct verb *verb)
{
    return strchr(verb->name, ' ') + 1;
}

static void offer_seconds(const struct question *question,
                          const struct verb *verb)
{
    for (const struct verb *const *at = verb->seconds; *at; at++)
        offer(question, second_word(*at), strlen(second_word(*at)),
              (*at)->summary);
    if (question->typed[0] == '-')
        offer(question, "--help", 6, "print what there is to know");
}

static const struct verb *find_second(const struct verb *verb, const char *name)
{
    for (const struct verb *const *at = verb->seconds; *at; at++)
        if (strcmp(second_word(*at), name) == 0)
            return *at;
    return NULL;
}

void complete(const struct verb *const *table, size_t count, char *const *words)
{
    struct question question = {
        .table = table, .typed = words[count - 1], .lead = ""};
    const struct verb *verb;

    if (count == 1) {
        offer_verbs(&question);
        if (question.typed[0] == '-') {
            offer(&question, "--help", 6, "print the verbs");
            offer(&question, "--version", 9, "print the version");
        }
        return;
    }
    verb = find(table, words[0]);
    if (verb && verb->seconds && count == 2) {
        offer_seconds(&question, verb);
        return;
    }
    if (verb && verb->seconds) {
        verb = find_second(verb, words[1]);
        words++;
        count--;
    }
    if (verb)
        complete_verb(&question, verb, count - 1, words + 1);
}
