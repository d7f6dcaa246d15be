/* listing.c: tables of things in the forms that users ask for; see
 * listing.h. */
#include "listing.h"

#include "printable.h"
#include "template.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char table_word[] = "table ";

enum { GAP = 3 /* between two columns of a table, as Docker has it */ };

static const struct listing_column *find_column(
    const struct listing *listing, const struct template_part *part)
{
    for (size_t i = 0; i < listing->column_count; i++) {
        const char *name = listing->columns[i].name;

        if (strlen(name) == part->length &&
            memcmp(name, part->start, part->length) == 0)
            return &listing->columns[i];
    }
    return NULL;
}

/* The default: every column that has a heading, as a template. NULL: no
 * memory. */
static char *default_format(const struct listing *listing)
{
    char *format = strdup("");

    for (size_t i = 0; i < listing->column_count && format; i++) {
        char *longer = NULL;

        if (!listing->columns[i].heading)
            continue;
        if (asprintf(&longer, "%s%s{{.%s}}", format, *format ? "\t" : "",
                     listing->columns[i].name) < 0)
            longer = NULL;
        free(format);
        format = longer;
    }
    return format;
}

static bool complain_field(const struct listing *listing,
                           const struct template_part *part)
{
    const char *names[64];
    const char *near;
    char word[64];
    size_t count = 0;

    for (; count < listing->column_count && count < 64; count++)
        names[count] = listing->columns[count].name;
    snprintf(word, sizeof word, "%.*s", (int)part->length, part->start);
    near = options_nearest(word, names, count);
    if (near)
        complain("%s: --format: no field %s: did you mean %s?", listing->verb,
                 word, near);
    else
        complain("%s: --format: no field %s: --format json shows all",
                 listing->verb, word);
    return false;
}

static bool check_format(const struct listing *listing)
{
    const char *at = listing->format;

    for (;;) {
        struct template_part part = template_next(&at);

        switch (part.kind) {
        case TEMPLATE_END:
            return true;
        case TEMPLATE_TEXT:
        case TEMPLATE_TAB:
            break;
        case TEMPLATE_FIELD:
        case TEMPLATE_JSON:
            if (part.length && !find_column(listing, &part))
                return complain_field(listing, &part);
            break;
        case TEMPLATE_WRONG:
            complain("%s: --format: %s: only {{.Field}}, {{json .Field}} and "
                     "{{json .}} are known",
                     listing->verb, part.start);
            return false;
        }
    }
}

static bool choose_format(struct listing *listing)
{
    const char *given = listing->options->format;
    size_t skip = sizeof table_word - 1;

    if (listing->options->json || listing->options->quiet)
        return true;
    if (!given || strcmp(given, "table") == 0) {
        listing->is_table = true;
        listing->format = default_format(listing);
    } else if (strcmp(given, "json") == 0) {
        listing->format = strdup("{{json .}}");
    } else {
        listing->is_table = strncmp(given, table_word, skip) == 0;
        listing->format = strdup(given + (listing->is_table ? skip : 0));
    }
    if (!listing->format) {
        complain("%s: out of memory", listing->verb);
        return false;
    }
    return check_format(listing);
}

bool listing_init(struct listing *listing, const char *verb,
                  const struct listing_column *columns, size_t count,
                  const struct listing_options *options)
{
    *listing = (struct listing){.verb = verb,
                                .columns = columns,
                                .column_count = count,
                                .options = options};
    if ((options->format != NULL) + options->json + options->quiet > 1) {
        complain("%s: only one of --format, --json and --quiet", verb);
        return false;
    }
    if (choose_format(listing))
        return true;
    listing_done(listing);
    return false;
}

void listing_done(struct listing *listing)
{
    for (size_t i = 0; i < listing->row_count * listing->column_count; i++) {
        free(listing->cells[i].text);
        free(listing->cells[i].json);
    }
    free(listing->cells);
    free(listing->format);
    *listing = (struct listing){0};
}

void listing_row(struct listing *listing)
{
    size_t bytes = listing->column_count * sizeof *listing->cells;

    if (listing->row_count == listing->row_capacity) {
        size_t capacity =
            listing->row_capacity ? 2 * listing->row_capacity : 16;
        struct listing_cell *cells = realloc(listing->cells, capacity * bytes);

        if (!cells) {
            listing->failed = true;
            return;
        }
        listing->cells = cells;
        listing->row_capacity = capacity;
    }
    memset(listing->cells + listing->row_count * listing->column_count, 0,
           bytes);
    listing->row_count++;
}

/* The cell of the last row; NULL once memory was short, when it may be that of
 * an earlier one. */
static struct listing_cell *last_cell(struct listing *listing, size_t column)
{
    if (listing->failed)
        return NULL;
    return &listing->cells[(listing->row_count - 1) * listing->column_count +
                           column];
}

/* (json) is taken over; NULL: none. */
static void set_cell(struct listing *listing, size_t column, const char *text,
                     char *json)
{
    struct listing_cell *cell = last_cell(listing, column);
    char *copy = NULL;

    if (!cell) {
        free(json);
        return;
    }
    if (text && !(copy = strdup(text)))
        listing->failed = true;
    free(cell->text);
    free(cell->json);
    cell->text = copy;
    cell->json = json;
}

void listing_text(struct listing *listing, size_t column, const char *text)
{
    set_cell(listing, column, text, NULL);
}

void listing_json(struct listing *listing, size_t column, const char *json,
                  const char *text)
{
    char *copy = strdup(json);

    if (!copy)
        listing->failed = true;
    set_cell(listing, column, text, copy);
}

void listing_number(struct listing *listing, size_t column, uint64_t number,
                    const char *text)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    listing_json(listing, column, digits, text ? text : digits);
}

void listing_colour(struct listing *listing, size_t column,
                    enum listing_colour colour)
{
    struct listing_cell *cell = last_cell(listing, column);

    if (cell)
        cell->colour = colour;
}

static void write_json(const struct listing_cell *cell, FILE *to)
{
    if (cell->json)
        fputs(cell->json, to);
    else if (cell->text)
        printable_write_json(to, cell->text);
    else
        fputs("null", to);
}

static void write_object(const struct listing *listing,
                         const struct listing_cell *row, FILE *to)
{
    fputc('{', to);
    for (size_t i = 0; i < listing->column_count; i++) {
        if (i > 0)
            fputc(',', to);
        printable_write_json(to, listing->columns[i].name);
        fputc(':', to);
        write_json(&row[i], to);
    }
    fputc('}', to);
}

static void write_array(const struct listing *listing, FILE *to)
{
    fputc('[', to);
    for (size_t i = 0; i < listing->row_count; i++) {
        if (i > 0)
            fputs(",\n ", to);
        write_object(listing, listing->cells + i * listing->column_count, to);
    }
    fputs("]\n", to);
}

static void write_field(const struct listing *listing,
                        const struct listing_column *column,
                        const struct listing_cell *cell, FILE *to)
{
    const char *text = cell->text ? cell->text : "";
    unsigned columns_max = listing->options->no_trunc ? 0 : column->columns_max;

    if (!(column->traits & LISTING_ID) || !columns_max) {
        printable_write(to, text, columns_max);
        return;
    }
    if (strncmp(text, "sha256:", 7) == 0)
        text += 7;
    /* Identifiers are ASCII; what is not is at least printable. */
    char shortened[128];

    snprintf(shortened, sizeof shortened, "%.*s", (int)columns_max, text);
    printable_write(to, shortened, 0);
}

/* One part for a row; (row) NULL: for the headings. */
static void write_part(const struct listing *listing,
                       const struct template_part *part,
                       const struct listing_cell *row, FILE *to)
{
    const struct listing_column *column = find_column(listing, part);

    switch (part->kind) {
    case TEMPLATE_FIELD:
    case TEMPLATE_JSON:
        if (!row)
            fputs(!column           ? ""
                  : column->heading ? column->heading
                                    : column->name,
                  to);
        else if (!column)
            write_object(listing, row, to);
        else if (part->kind == TEMPLATE_JSON)
            write_json(&row[column - listing->columns], to);
        else
            write_field(listing, column, &row[column - listing->columns], to);
        break;
    case TEMPLATE_TEXT:
    case TEMPLATE_TAB:
        fwrite(part->start, 1, part->length, to);
        break;
    case TEMPLATE_END:
    case TEMPLATE_WRONG:
        break;
    }
}

static void write_line(const struct listing *listing,
                       const struct listing_cell *row, FILE *to)
{
    const char *at = listing->format;
    struct template_part part;

    while ((part = template_next(&at)).kind != TEMPLATE_END)
        write_part(listing, &part, row, to);
    fputc('\n', to);
}

static void write_keys(const struct listing *listing, FILE *to)
{
    size_t key = 0;

    while (key + 1 < listing->column_count &&
           !(listing->columns[key].traits & LISTING_KEY))
        key++;
    for (size_t i = 0; i < listing->row_count; i++) {
        write_field(listing, &listing->columns[key],
                    &listing->cells[i * listing->column_count + key], to);
        fputc('\n', to);
    }
}

/* A column of a table that is being laid out. */
struct layout {
    const struct listing_column *column; /* if it is that and nothing else */
    size_t width;
};

/* Columns of the table that the template describes; *ret is for free(), NULL
 * without memory. */
static size_t plan_layout(const struct listing *listing, struct layout **ret)
{
    const char *at = listing->format;
    struct template_part part;
    struct layout *layout;
    size_t count = 1;
    size_t parts = 0; /* of the column */

    while ((part = template_next(&at)).kind != TEMPLATE_END)
        count += part.kind == TEMPLATE_TAB;
    *ret = layout = calloc(count, sizeof *layout);
    for (at = listing->format;
         layout && (part = template_next(&at)).kind != TEMPLATE_END; parts++) {
        if (part.kind == TEMPLATE_TAB) {
            layout++;
            parts = (size_t)-1;
        } else {
            layout->column = parts == 0 && part.kind == TEMPLATE_FIELD
                                 ? find_column(listing, &part)
                                 : NULL;
        }
    }
    return count;
}

/* The texts of all cells of the table, the headings first, each with its NUL.
 * For free(); NULL: no memory. */
static char *write_cells(const struct listing *listing)
{
    char *cells = NULL;
    size_t bytes;
    FILE *to = open_memstream(&cells, &bytes);

    if (!to)
        return NULL;
    for (size_t i = 0; i <= listing->row_count; i++) {
        const struct listing_cell *row =
            i ? listing->cells + (i - 1) * listing->column_count : NULL;
        const char *at = listing->format;
        struct template_part part;

        while ((part = template_next(&at)).kind != TEMPLATE_END) {
            if (part.kind == TEMPLATE_TAB)
                fputc('\0', to);
            else
                write_part(listing, &part, row, to);
        }
        fputc('\0', to);
    }
    if (fclose(to) == 0)
        return cells;
    free(cells);
    return NULL;
}

static void measure(const struct listing *listing, const char *cells,
                    struct layout *layout, size_t count)
{
    for (size_t i = 0; i < (listing->row_count + 1) * count; i++) {
        size_t width = printable_columns(cells);

        if (width > layout[i % count].width)
            layout[i % count].width = width;
        cells += strlen(cells) + 1;
    }
}

/* A cell behind (spaces) spaces. */
static void write_cell(const char *text, size_t spaces,
                       enum listing_colour colour, FILE *to)
{
    static const char *const codes[] = {
        [LISTING_PLAIN] = "",          [LISTING_GREEN] = "\033[32m",
        [LISTING_YELLOW] = "\033[33m", [LISTING_RED] = "\033[31m",
        [LISTING_FAINT] = "\033[2m",
    };

    fprintf(to, "%*s%s%s%s", (int)spaces, "", codes[colour], text,
            colour == LISTING_PLAIN ? "" : "\033[0m");
}

/* One line of the table, (row) being NULL for the headings. Returns the next
 * one's texts. */
static const char *write_row(const struct listing *listing,
                             const struct listing_cell *row, const char *text,
                             const struct layout *layout, size_t count,
                             FILE *to)
{
    bool coloured = row && printable_has_colour(to);
    size_t spaces = 0; /* owed before the next cell that is not empty */

    for (size_t i = 0; i < count; i++, text += strlen(text) + 1) {
        const struct listing_column *column = layout[i].column;
        size_t rest = layout[i].width - printable_columns(text);
        bool right = column && column->traits & LISTING_RIGHT;

        if (*text) {
            write_cell(text, spaces + (right ? rest : 0),
                       coloured && column
                           ? row[column - listing->columns].colour
                           : LISTING_PLAIN,
                       to);
            spaces = right ? 0 : rest;
        } else {
            spaces += layout[i].width;
        }
        spaces += GAP;
    }
    fputc('\n', to);
    return text;
}

/* False: no memory. */
static bool write_table(const struct listing *listing, FILE *to)
{
    struct layout *layout;
    size_t count = plan_layout(listing, &layout);
    char *cells = layout ? write_cells(listing) : NULL;
    const char *text = cells;

    if (cells) {
        measure(listing, cells, layout, count);
        text = write_row(listing, NULL, text, layout, count, to);
        for (size_t i = 0; i < listing->row_count; i++)
            text =
                write_row(listing, listing->cells + i * listing->column_count,
                          text, layout, count, to);
    }
    free(cells);
    free(layout);
    return cells != NULL;
}

int listing_print(struct listing *listing, FILE *to)
{
    if (listing->failed) {
        /* Rows are missing: it would look as if they were not there. */
    } else if (listing->options->json) {
        write_array(listing, to);
    } else if (listing->options->quiet) {
        write_keys(listing, to);
    } else if (listing->is_table) {
        listing->failed = !write_table(listing, to);
    } else {
        for (size_t i = 0; i < listing->row_count; i++)
            write_line(listing, listing->cells + i * listing->column_count, to);
    }
    if (listing->failed) {
        complain("%s: out of memory", listing->verb);
        return EXIT_OURS;
    }
    if (fflush(to) != 0) {
        /* A reader that has seen enough is no news. */
        if (errno != EPIPE)
            complain("%s: writing the list: %s", listing->verb,
                     strerror(errno));
        return EXIT_OURS;
    }
    return 0;
}
