/* printable.h: text that others chose, in a form that is safe to show.
 *
 * How it works
 *   Names, commands and messages come from images, guests and registries. A
 *   terminal obeys some characters instead of showing them, so those are
 *   written as C would write them: "\n", "\x1b", "\u202e". That holds for the
 *   control characters of ASCII and of Unicode, for the marks that turn or
 *   hide text, and for bytes that are not UTF-8. All others stay as they are.
 */
#ifndef SM_CLI_PRINTABLE_H
#define SM_CLI_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The character that (text) begins with, and its bytes; 0 bytes: (text) is at
 * its end, or does not begin with UTF-8 (RFC 3629). */
size_t utf8_next(const char *text, uint32_t *ret);

/* A terminal would do something else with (code) than to show it. */
bool printable_is_hostile(uint32_t code);

/* Columns of a terminal that the printable form of (text) takes. */
size_t printable_columns(const char *text);

/*
 * Write the printable form of (text). If (columns_max) is not 0, at most that
 * many columns of it, "…" at the end when something was cut off. Returns the
 * columns written.
 */
size_t printable_write(FILE *to, const char *text, size_t columns_max);

/* The printable form of (text), as much as (capacity) bytes hold with a NUL, no
 * character of it cut in two. */
void printable_copy(char *to, size_t capacity, const char *text);

/* (text) as a JSON string with its quotes (RFC 8259). Every character is kept,
 * hostile ones as "\u....", bytes that are not UTF-8 become U+FFFD. */
void printable_write_json(FILE *to, const char *text);

/* Colours on (to) make sense: it is a terminal that knows them, and NO_COLOR
 * is not set (no-color.org). */
bool printable_has_colour(FILE *to);

#endif
