/* json.c: look into JSON; see json.h. */
#include "json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* (at) stands on the first quote; returns what is behind the second. */
static const char *skip_string(const char *at)
{
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : at;
}

/* Behind the value at (at): brackets are counted, strings are passed over. */
static const char *skip_value(const char *at)
{
    size_t depth = 0;

    do {
        if (*at == '"') {
            at = skip_string(at);
            continue;
        }
        if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (depth == 0)
                return at;
            depth--;
        } else if (depth == 0) {
            return at + strcspn(at, ",}] \t\r\n");
        }
        at += *at != '\0';
    } while (*at && depth > 0);
    return at;
}

static struct json_value value_at(const char *at)
{
    return (struct json_value){at, (size_t)(skip_value(at) - at)};
}

struct json_value json_read(const char *text)
{
    return value_at(skip_space(text));
}

/* What stands behind (at), a value or an opening bracket, in an object or
 * array; NULL: it ends there. */
static const char *next_entry(const char *at)
{
    at = skip_space(at);
    if (*at == ',')
        at = skip_space(at + 1);
    return *at && *at != '}' && *at != ']' ? at : NULL;
}

struct json_value json_next(struct json_value array,
                            const struct json_value *before)
{
    const char *at;

    if (array.length == 0 || *array.start != '[')
        return (struct json_value){0};
    at = next_entry(before ? before->start + before->length : array.start + 1);
    return at ? value_at(at) : (struct json_value){0};
}

static struct json_value item(struct json_value array, const char *name,
                              size_t length)
{
    struct json_value found = json_next(array, NULL);
    size_t number = 0;

    for (size_t i = 0; i < length; i++) {
        if (name[i] < '0' || name[i] > '9' || number > 100000000)
            return (struct json_value){0};
        number = number * 10 + (size_t)(name[i] - '0');
    }
    for (; number > 0 && found.length > 0; number--)
        found = json_next(array, &found);
    return found;
}

/* Names are ours: plain words without escapes. */
static struct json_value field(struct json_value object, const char *name,
                               size_t length)
{
    const char *at = next_entry(object.start + 1);

    while (at && *at == '"') {
        const char *key = at + 1;
        const char *end = skip_string(at);
        struct json_value value;

        at = skip_space(end);
        if (*at != ':')
            break;
        value = value_at(skip_space(at + 1));
        if ((size_t)(end - key) == length + 1 && memcmp(key, name, length) == 0)
            return value;
        at = next_entry(value.start + value.length);
    }
    return (struct json_value){0};
}

struct json_value json_at(struct json_value value, const char *path,
                          size_t length)
{
    while (length > 0 && value.length > 0) {
        const char *dot = memchr(path, '.', length);
        size_t name = dot ? (size_t)(dot - path) : length;

        if (*value.start == '{')
            value = field(value, path, name);
        else
            value = item(value, path, name);
        path += name + (dot != NULL);
        length -= name + (dot != NULL);
    }
    return value;
}

void json_write(FILE *to, struct json_value value)
{
    const char *at = value.start;
    const char *end = at + value.length;

    while (at < end) {
        const char *next = *at == '"' ? skip_string(at) : at + 1;

        if (!strchr(" \t\r\n", *at))
            fwrite(at, 1, (size_t)(next - at), to);
        at = next;
    }
}

static size_t put_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    to[0] = (char)(0xe0 | code >> 12);
    to[1] = (char)(0x80 | (code >> 6 & 0x3f));
    to[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

/* The escape behind the backslash at *at, which moves behind it. Halves of a
 * pair become U+FFFD, for we write such characters as they are; so does a NUL,
 * which would end the text. */
static size_t unescape(const char **at, char *to)
{
    static const char letters[] = "bfnrt";
    static const char meant[] = "\b\f\n\r\t";
    const char *letter = strchr(letters, (*at)[1]);
    char digits[5] = "";
    unsigned code;

    if ((*at)[1] != 'u') {
        *to = letter && *letter ? meant[letter - letters] : (*at)[1];
        *at += 2;
        return 1;
    }
    memcpy(digits, *at + 2, strnlen(*at + 2, 4));
    code = (unsigned)strtoul(digits, NULL, 16);
    *at += 2 + strlen(digits);
    return put_utf8(to, code == 0 || (code >= 0xd800 && code < 0xe000) ? 0xfffd
                                                                       : code);
}

char *json_text(struct json_value value)
{
    const char *at = value.start;
    const char *end = value.length ? at + value.length : at;
    char *text = malloc(value.length + 4);
    size_t count = 0;

    if (!text)
        return NULL;
    if (value.length > 0 && *at == '"') {
        at++;
        end--;
        while (at < end) {
            if (*at == '\\')
                count += unescape(&at, text + count);
            else
                text[count++] = *at++;
        }
    } else if (value.length != 4 || memcmp(at, "null", 4) != 0) {
        if (value.length)
            memcpy(text, at, value.length);
        count = value.length;
    }
    text[count] = '\0';
    return text;
}

uint64_t json_number(struct json_value value)
{
    if (value.length == 0 || *value.start < '0' || *value.start > '9')
        return 0;
    return strtoull(value.start, NULL, 10);
}
