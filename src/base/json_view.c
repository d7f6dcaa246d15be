/* json_view.c: look into a JSON text; see json_view.h. */
#include "base/json_view.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* What is left of the text. */
struct walk {
    const char *at;
    const char *end;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_at(const struct walk *walk, char c)
{
    return walk->at < walk->end && *walk->at == c;
}

static bool take(struct walk *walk, char c)
{
    if (!is_at(walk, c))
        return false;
    walk->at++;
    return true;
}

static void skip_space(struct walk *walk)
{
    while (walk->at < walk->end && *walk->at && strchr(" \t\r\n", *walk->at))
        walk->at++;
}

static bool take_word(struct walk *walk, const char *word)
{
    size_t count = strlen(word);

    if ((size_t)(walk->end - walk->at) < count ||
        memcmp(walk->at, word, count) != 0)
        return false;
    walk->at += count;
    return true;
}

static bool take_digits(struct walk *walk)
{
    const char *from = walk->at;

    while (walk->at < walk->end && is_digit(*walk->at))
        walk->at++;
    return walk->at > from;
}

static bool take_number(struct walk *walk)
{
    take(walk, '-');
    if (!take(walk, '0') && !take_digits(walk))
        return false;
    if (take(walk, '.') && !take_digits(walk))
        return false;
    if (take(walk, 'e') || take(walk, 'E')) {
        if (!take(walk, '+'))
            take(walk, '-');
        return take_digits(walk);
    }
    return true;
}

/* ---- strings ---- */

/* Four hexadecimal digits; -1: they are none. */
static int32_t take_hex(struct walk *walk)
{
    static const char digits[] = "0123456789abcdef";
    int32_t value = 0;

    if (walk->end - walk->at < 4)
        return -1;
    for (int i = 0; i < 4; i++, walk->at++) {
        char c = *walk->at;
        const char *digit =
            c ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c)
              : NULL;

        if (!digit)
            return -1;
        value = value * 16 + (int32_t)(digit - digits);
    }
    return value;
}

/* Behind "\u": one character, which may be two surrogates. -1: none, or NUL. */
static int32_t take_escaped(struct walk *walk)
{
    int32_t high = take_hex(walk);
    int32_t low;

    if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff))
        return -1;
    if (high < 0xd800 || high > 0xdbff)
        return high;
    low = take_word(walk, "\\u") ? take_hex(walk) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* One character of a string, whatever it is written as, to (to), which has room
 * for four bytes. Returns how many these are; 0: it is none. */
static size_t take_character(struct walk *walk, char *to)
{
    static const char names[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *name;
    size_t count;

    if (!take(walk, '\\')) {
        count = utf8_length((const uint8_t *)walk->at,
                            (size_t)(walk->end - walk->at));
        if (!count || (uint8_t)*walk->at < 0x20)
            return 0;
        memcpy(to, walk->at, count);
        walk->at += count;
        return count;
    }
    if (take(walk, 'u')) {
        int32_t character = take_escaped(walk);

        return character < 0 ? 0 : utf8_put((uint32_t)character, to);
    }
    if (walk->at == walk->end || !*walk->at)
        return 0;
    name = strchr(names, *walk->at++);
    if (!name)
        return 0;
    *to = meanings[name - names];
    return 1;
}

static bool take_string(struct walk *walk)
{
    char scratch[4];

    if (!take(walk, '"'))
        return false;
    while (!take(walk, '"'))
        if (walk->at == walk->end || !take_character(walk, scratch))
            return false;
    return true;
}

/* Do two strings mean the same? */
static bool same_string(struct json_view a, struct json_view b)
{
    struct walk left = {a.at + 1, a.at + a.count - 1};
    struct walk right = {b.at + 1, b.at + b.count - 1};

    while (left.at < left.end && right.at < right.end) {
        char one[4];
        char other[4];
        size_t count = take_character(&left, one);

        if (take_character(&right, other) != count ||
            memcmp(one, other, count) != 0)
            return false;
    }
    return left.at == left.end && right.at == right.end;
}

/* ---- the whole ---- */

static bool take_value(struct walk *walk, unsigned depth);

static bool take_key(struct walk *walk, struct json_view *keys, size_t *count)
{
    struct json_view key = {walk->at, 0};

    if (*count == JSON_KEYS_MAX || !take_string(walk))
        return false;
    key.count = (size_t)(walk->at - key.at);
    for (size_t i = 0; i < *count; i++)
        if (same_string(keys[i], key))
            return false;
    keys[(*count)++] = key;
    skip_space(walk);
    return take(walk, ':');
}

static bool take_object(struct walk *walk, unsigned depth)
{
    struct json_view keys[JSON_KEYS_MAX];
    size_t count = 0;

    skip_space(walk);
    if (take(walk, '}'))
        return true;
    do {
        skip_space(walk);
        if (!take_key(walk, keys, &count) || !take_value(walk, depth))
            return false;
    } while (take(walk, ','));
    return take(walk, '}');
}

static bool take_array(struct walk *walk, unsigned depth)
{
    skip_space(walk);
    if (take(walk, ']'))
        return true;
    do {
        if (!take_value(walk, depth))
            return false;
    } while (take(walk, ','));
    return take(walk, ']');
}

/* And the space on both sides. */
static bool take_value(struct walk *walk, unsigned depth)
{
    bool fine;

    skip_space(walk);
    if (is_at(walk, '{') || is_at(walk, '['))
        fine =
            depth < JSON_DEPTH_MAX &&
            (take(walk, '{') ? take_object(walk, depth + 1)
                             : take(walk, '[') && take_array(walk, depth + 1));
    else if (is_at(walk, '"'))
        fine = take_string(walk);
    else
        fine = take_word(walk, "true") || take_word(walk, "false") ||
               take_word(walk, "null") || take_number(walk);
    skip_space(walk);
    return fine;
}

/* ---- values of a checked text ---- */

enum json_kind json_kind_of(struct json_view value)
{
    if (!value.at)
        return JSON_IS_NONE;
    switch (*value.at) {
    case '{':
        return JSON_IS_OBJECT;
    case '[':
        return JSON_IS_ARRAY;
    case '"':
        return JSON_IS_STRING;
    case 't':
        return JSON_IS_TRUE;
    case 'f':
        return JSON_IS_FALSE;
    case 'n':
        return JSON_IS_NULL;
    default:
        return JSON_IS_NUMBER;
    }
}

/* The value that (walk) is at. */
static struct json_view view_value(struct walk *walk)
{
    struct json_view value;

    skip_space(walk);
    value.at = walk->at;
    take_value(walk, 0);
    value.count = (size_t)(walk->at - value.at);
    while (value.count && strchr(" \t\r\n", value.at[value.count - 1]))
        value.count--;
    return value;
}

int json_check(const void *text, size_t count, struct json_view *ret,
               struct sm_error *err)
{
    struct walk walk = {text, (const char *)text + count};

    if (!take_value(&walk, 0) || walk.at < walk.end)
        return fail(err, SM_EIMAGE, "invalid JSON at byte %zu",
                    (size_t)(walk.at - (const char *)text));
    walk.at = text;
    *ret = view_value(&walk);
    return 0;
}

static struct walk walk_inside(struct json_view value)
{
    struct walk walk = {value.at, value.at + value.count};

    walk.at++;
    skip_space(&walk);
    return walk;
}

struct json_view json_field(struct json_view object, const char *key)
{
    struct walk walk;

    if (json_kind_of(object) != JSON_IS_OBJECT)
        return (struct json_view){0};
    walk = walk_inside(object);
    while (!is_at(&walk, '}')) {
        struct json_view name = view_value(&walk);
        struct json_view value;

        take(&walk, ':');
        value = view_value(&walk);
        /* Keys of ours need no escapes: one that has some is none of them. */
        if (name.count == strlen(key) + 2 &&
            memcmp(name.at + 1, key, name.count - 2) == 0)
            return value;
        take(&walk, ',');
    }
    return (struct json_view){0};
}

size_t json_count(struct json_view value)
{
    enum json_kind kind = json_kind_of(value);
    struct walk walk;
    size_t count = 0;

    if (kind != JSON_IS_OBJECT && kind != JSON_IS_ARRAY)
        return 0;
    walk = walk_inside(value);
    while (!is_at(&walk, '}') && !is_at(&walk, ']')) {
        view_value(&walk);
        if (take(&walk, ':'))
            view_value(&walk);
        take(&walk, ',');
        skip_space(&walk);
        count++;
    }
    return count;
}

struct json_view json_item_after(struct json_view array,
                                 struct json_view before)
{
    struct walk walk;

    if (json_kind_of(array) != JSON_IS_ARRAY)
        return (struct json_view){0};
    walk = walk_inside(array);
    if (before.at) {
        walk.at = before.at + before.count;
        skip_space(&walk);
        take(&walk, ',');
    }
    return is_at(&walk, ']') ? (struct json_view){0} : view_value(&walk);
}

char *json_copy_string(struct json_view string)
{
    struct walk walk = {string.at + 1, string.at + string.count - 1};
    /* No character is longer than what it is written as. */
    char *copy = malloc(string.count);
    size_t used = 0;

    if (!copy)
        return NULL;
    while (walk.at < walk.end) {
        char scratch[4];
        size_t count = take_character(&walk, scratch);

        memcpy(copy + used, scratch, count);
        used += count;
    }
    copy[used] = '\0';
    return copy;
}

bool json_get_whole(struct json_view number, int64_t *ret)
{
    bool negative = number.at && number.count && *number.at == '-';
    int64_t value = 0;

    if (json_kind_of(number) != JSON_IS_NUMBER)
        return false;
    for (size_t i = negative; i < number.count; i++) {
        if (!is_digit(number.at[i]) ||
            __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, number.at[i] - '0', &value))
            return false;
    }
    *ret = negative ? -value : value;
    return true;
}
