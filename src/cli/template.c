/* template.c: takes --format templates apart; see template.h. */
#include "template.h"

#include <stdbool.h>
#include <string.h>

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";

static struct template_part wrong(const char **at)
{
    struct template_part part = {TEMPLATE_WRONG, *at, strlen(*at)};

    *at += part.length;
    return part;
}

/* *at stands on "{{". */
static struct template_part parse_action(const char **at)
{
    struct template_part part = {.kind = TEMPLATE_FIELD};
    const char *word = *at + 2;

    word += strspn(word, " ");
    if (strncmp(word, "json", 4) == 0 && word[4] == ' ') {
        part.kind = TEMPLATE_JSON;
        word += 4 + strspn(word + 4, " ");
    }
    if (*word != '.')
        return wrong(at);
    part.start = word + 1;
    part.length = strspn(part.start, name_letters);
    word = part.start + part.length;
    word += strspn(word, " ");
    if (strncmp(word, "}}", 2) != 0 ||
        (part.length == 0 && part.kind == TEMPLATE_FIELD))
        return wrong(at);
    *at = word + 2;
    return part;
}

static bool is_escape(const char *at)
{
    return at[0] == '\\' && (at[1] == 't' || at[1] == 'n');
}

struct template_part template_next(const char **at)
{
    const char *start = *at;
    const char *end = start;

    if (*start == '\0')
        return (struct template_part){.kind = TEMPLATE_END, .start = start};
    if (strncmp(start, "{{", 2) == 0)
        return parse_action(at);
    if (*start == '\t' || is_escape(start)) {
        bool tab = start[0] == '\t' || start[1] == 't';

        *at += *start == '\t' ? 1 : 2;
        return (struct template_part){tab ? TEMPLATE_TAB : TEMPLATE_TEXT,
                                      tab ? "\t" : "\n", 1};
    }
    while (*end && *end != '\t' && strncmp(end, "{{", 2) != 0 &&
           !is_escape(end))
        end++;
    *at = end;
    return (struct template_part){TEMPLATE_TEXT, start, (size_t)(end - start)};
}
