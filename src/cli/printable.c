/* printable.c: text that others chose, safe to show; see printable.h. */
#include "printable.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof(a)[0])

struct range {
    uint32_t first;
    uint32_t last;
};

/* Cc (controls), Cf that turn or hide text, and the separators of lines. */
static const struct range hostile[] = {
    {0x0000, 0x001f}, {0x007f, 0x009f}, {0x00ad, 0x00ad},   {0x061c, 0x061c},
    {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},
    {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
};

/* Combining marks: drawn over the character before. */
static const struct range combining[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd},   {0x064b, 0x065f},
    {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x20d0, 0x20ff},   {0x3099, 0x309a},
    {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xe0100, 0xe01ef},
};

/* Two columns: wide and full-width (Unicode Standard Annex 11), in blocks. */
static const struct range wide[] = {
    {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},
    {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
    {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
    {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff},
    {0x20000, 0x3fffd},
};

static bool is_in(uint32_t code, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

size_t utf8_next(const char *text, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *byte = (const unsigned char *)text;
    size_t count = byte[0] < 0x80   ? 1
                   : byte[0] < 0xc0 ? 0
                   : byte[0] < 0xe0 ? 2
                   : byte[0] < 0xf0 ? 3
                   : byte[0] < 0xf8 ? 4
                                    : 0;
    uint32_t code;

    if (!byte[0] || !count)
        return 0;
    code = count == 1 ? byte[0] : byte[0] & (0xffu >> (count + 1));
    for (size_t i = 1; i < count; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (byte[i] & 0x3f);
    }
    if (code < least[count] || code > 0x10ffff ||
        (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret = code;
    return count;
}

bool printable_is_hostile(uint32_t code)
{
    return is_in(code, hostile, ARRAY_LEN(hostile));
}

/* One character as it is shown. */
struct glyph {
    size_t taken;   /* bytes of the text, 0 at its end */
    size_t columns; /* on the terminal */
    bool escaped;   /* `escape` stands for it */
    char escape[12];
};

static void escape(struct glyph *glyph, uint32_t code)
{
    char *to = glyph->escape;
    size_t room = sizeof glyph->escape;

    if (code == '\n' || code == '\r' || code == '\t')
        snprintf(to, room, "\\%c", "tn..r"[code - '\t']);
    else if (code <= 0xff)
        snprintf(to, room, "\\x%02x", (unsigned)code);
    else if (code <= 0xffff)
        snprintf(to, room, "\\u%04x", (unsigned)code);
    else
        snprintf(to, room, "\\U%08x", (unsigned)code);
    glyph->escaped = true;
    glyph->columns = strlen(to);
}

static struct glyph glyph_next(const char *text)
{
    uint32_t code;
    struct glyph glyph = {.taken = utf8_next(text, &code), .columns = 1};

    if (!*text)
        return (struct glyph){0};
    if (glyph.taken == 0) {
        glyph.taken = 1;
        escape(&glyph, (unsigned char)*text);
    } else if (printable_is_hostile(code)) {
        escape(&glyph, code);
    } else if (is_in(code, combining, ARRAY_LEN(combining))) {
        glyph.columns = 0;
    } else if (is_in(code, wide, ARRAY_LEN(wide))) {
        glyph.columns = 2;
    }
    return glyph;
}

size_t printable_columns(const char *text)
{
    size_t columns = 0;
    struct glyph glyph;

    for (; (glyph = glyph_next(text)).taken; text += glyph.taken)
        columns += glyph.columns;
    return columns;
}

size_t printable_write(FILE *to, const char *text, size_t columns_max)
{
    bool cut = columns_max && printable_columns(text) > columns_max;
    size_t columns = 0;
    struct glyph glyph;

    for (; (glyph = glyph_next(text)).taken; text += glyph.taken) {
        /* One column stays for the "…". */
        if (cut && columns + glyph.columns > columns_max - 1)
            break;
        if (glyph.escaped)
            fputs(glyph.escape, to);
        else
            fwrite(text, 1, glyph.taken, to);
        columns += glyph.columns;
    }
    if (cut)
        fputs("\u2026", to);
    return columns + cut;
}

void printable_copy(char *to, size_t capacity, const char *text)
{
    struct glyph glyph;

    for (; (glyph = glyph_next(text)).taken; text += glyph.taken) {
        const char *shown = glyph.escaped ? glyph.escape : text;
        size_t length = glyph.escaped ? strlen(shown) : glyph.taken;

        if (length >= capacity)
            break;
        memcpy(to, shown, length);
        to += length;
        capacity -= length;
    }
    *to = '\0';
}

static void write_json_character(FILE *to, uint32_t code)
{
    if (code > 0xffff)
        fprintf(to, "\\u%04x\\u%04x", 0xd7c0 + (unsigned)(code >> 10),
                0xdc00 | (unsigned)(code & 0x3ff));
    else
        fprintf(to, "\\u%04x", (unsigned)code);
}

void printable_write_json(FILE *to, const char *text)
{
    fputc('"', to);
    while (*text) {
        uint32_t code;
        size_t taken = utf8_next(text, &code);

        if (taken == 0) {
            fputs("\\ufffd", to);
            taken = 1;
        } else if (code == '"' || code == '\\') {
            fprintf(to, "\\%c", (char)code);
        } else if (code == '\n' || code == '\t') {
            fputs(code == '\n' ? "\\n" : "\\t", to);
        } else if (printable_is_hostile(code)) {
            write_json_character(to, code);
        } else {
            fwrite(text, 1, taken, to);
        }
        text += taken;
    }
    fputc('"', to);
}

bool printable_has_colour(FILE *to)
{
    const char *refused = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    return isatty(fileno(to)) && (!refused || !*refused) && terminal &&
           *terminal && strcmp(terminal, "dumb") != 0;
}
