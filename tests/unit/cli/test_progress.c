/* test_progress.c: what is drawn while layers come, on a terminal that is made
 * up of its rows. */
#include "cli/progress.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS     UINT64_C(1000000)
#define DIGEST "sha256:0123456789abcdef"

enum { ROWS_MAX = 40, COLUMNS_MAX = 200 };

/* As much of a terminal as is needed: text wraps, CR, LF, up, erase. What is
 * scrolled out at its top is lost. */
struct screen {
    char text[ROWS_MAX][COLUMNS_MAX + 1];
    unsigned rows;
    unsigned columns;
    unsigned row;
    unsigned column;
    unsigned scrolled;
};

static void clear_from(struct screen *screen, unsigned row, unsigned column)
{
    for (; column < COLUMNS_MAX; column++)
        screen->text[row][column] = '\0';
}

static void line_feed(struct screen *screen)
{
    if (++screen->row < screen->rows)
        return;
    memmove(screen->text[0], screen->text[1],
            (screen->rows - 1) * sizeof screen->text[0]);
    screen->row--;
    screen->scrolled++;
    clear_from(screen, screen->row, 0);
}

static const char *escape(struct screen *screen, const char *at)
{
    char *end;
    unsigned count = (unsigned)strtoul(at, &end, 10);

    switch (*end) {
    case 'A':
        assert_true(count <= screen->row);
        screen->row -= count;
        break;
    case 'J':
        for (unsigned row = screen->row + 1; row < screen->rows; row++)
            clear_from(screen, row, 0);
        clear_from(screen, screen->row, screen->column);
        break;
    case 'K':
        clear_from(screen, screen->row, screen->column);
        break;
    default:
        assert_int_equal(*end, 'A'); /* no other is known */
    }
    return end + 1;
}

static void play(struct screen *screen, const char *at)
{
    while (*at) {
        if (at[0] == '\033' && at[1] == '[') {
            at = escape(screen, at + 2);
            continue;
        }
        if (*at == '\r') {
            screen->column = 0;
        } else if (*at == '\n') {
            screen->column = 0;
            line_feed(screen);
        } else {
            if (screen->column == screen->columns) {
                screen->column = 0;
                line_feed(screen);
            }
            screen->text[screen->row][screen->column++] = *at;
        }
        at++;
    }
}

struct stand {
    struct progress progress;
    struct screen screen;
    char *bytes; /* all that was written, the first (shown) on the screen */
    size_t count;
    size_t shown;
};

static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);

    progress_init(&stand->progress,
                  open_memstream(&stand->bytes, &stand->count));
    stand->screen.rows = 10;
    stand->screen.columns = 60;
    *state = stand;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *stand = *state;

    fclose(stand->progress.to);
    progress_done(&stand->progress);
    free(stand->bytes);
    free(stand);
    return 0;
}

/* What was written since the last time reaches the screen. */
static void flush_to_screen(struct stand *stand)
{
    fflush(stand->progress.to);
    play(&stand->screen, stand->bytes + stand->shown);
    stand->shown = stand->count;
}

static bool note(struct stand *stand, const char *what, unsigned number,
                 unsigned count, uint64_t done, uint64_t ms)
{
    return progress_note(&stand->progress,
                         &(struct sm_progress){.what = what,
                                               .done = done,
                                               .total = 5000000,
                                               .layer = DIGEST,
                                               .number = number,
                                               .count = count},
                         ms * MS);
}

static void draw(struct stand *stand, uint64_t ms)
{
    progress_draw(&stand->progress, stand->screen.rows, stand->screen.columns,
                  ms * MS);
    flush_to_screen(stand);
}

static void expect_rows(const struct stand *stand, const char *const rows[])
{
    unsigned row = 0;

    for (; rows[row]; row++)
        assert_string_equal(stand->screen.text[row], rows[row]);
    for (; row < stand->screen.rows; row++)
        assert_string_equal(stand->screen.text[row], "");
}

static void test_progress_has_a_line_per_layer_in_its_place(void **state)
{
    struct stand *stand = *state;

    assert_true(note(stand, "pull", 2, 3, 1000000, 1000));
    draw(stand, 1000);
    expect_rows(stand,
                (const char *const[]){"        layer 1       waits",
                                      "pull    0123456789ab  1.0 of 5.0 MB",
                                      "        layer 3       waits", NULL});
    assert_false(note(stand, "pull", 2, 3, 2000000, 1050));
    assert_false(note(stand, "pull", 1, 3, 5000000, 1099));
    assert_true(note(stand, "pull", 2, 3, 3000000, 2000));
    draw(stand, 2000);
    expect_rows(stand, (const char *const[]){
                           "pull    0123456789ab  5.0 MB, done",
                           "pull    0123456789ab  3.0 of 5.0 MB, 2.0 MB/s",
                           "        layer 3       waits", NULL});
    note(stand, "unpack", 1, 3, 0, 3000);
    draw(stand, 3000);
    expect_rows(stand, (const char *const[]){
                           "unpack  0123456789ab  0.0 of 5.0 MB",
                           "pull    0123456789ab  3.0 of 5.0 MB, 2.0 MB/s",
                           "        layer 3       waits", NULL});
    progress_erase(&stand->progress, stand->screen.columns);
    flush_to_screen(stand);
    expect_rows(stand, (const char *const[]){NULL});
    assert_int_equal(stand->screen.row, 0);
}

static void test_progress_of_many_layers_fits_the_rows(void **state)
{
    struct stand *stand = *state;

    stand->screen.rows = 5;
    for (unsigned i = 1; i <= 30; i++)
        note(stand, "pull", i, 40, i <= 20 ? 5000000 : 1000000, 1000);
    for (int i = 0; i < 3; i++)
        draw(stand, 1000);
    expect_rows(stand,
                (const char *const[]){"pull    0123456789ab  1.0 of 5.0 MB",
                                      "pull    0123456789ab  1.0 of 5.0 MB",
                                      "pull    0123456789ab  1.0 of 5.0 MB",
                                      "pull    20 of 40 layers done", NULL});
    assert_int_equal(stand->screen.scrolled, 0);
    stand->screen.rows = 2;
    progress_erase(&stand->progress, stand->screen.columns);
}

static void test_progress_is_cut_at_the_width(void **state)
{
    struct stand *stand = *state;

    stand->screen.columns = 20;
    note(stand, "pull", 1, 2, 1000000, 1000);
    for (int i = 0; i < 3; i++)
        draw(stand, 1000);
    expect_rows(stand, (const char *const[]){"pull    0123456789a",
                                             "        layer 2    ", NULL});
    progress_draw(&stand->progress, 1, 1, 1000 * MS); /* as small as can be */
}

/* The terminal became narrower: each line that was there takes two of its
 * rows now, and all of them are gone after the next drawing. */
static void test_progress_survives_another_width(void **state)
{
    struct stand *stand = *state;

    note(stand, "pull", 1, 2, 1000000, 1000);
    draw(stand, 1000);
    memset(&stand->screen, 0, sizeof stand->screen);
    stand->screen.rows = 10;
    stand->screen.columns = 20;
    play(&stand->screen, "pull    0123456789ab  1.0 of 5.0 MB\n"
                         "        layer 2       waits\n");
    assert_int_equal(stand->screen.row, 4);
    draw(stand, 2000);
    expect_rows(stand, (const char *const[]){"pull    0123456789a",
                                             "        layer 2    ", NULL});
}

static void test_progress_refuses_numbers_that_are_none(void **state)
{
    struct stand *stand = *state;

    assert_false(note(stand, "pull", 0, 3, 0, 1000));
    assert_false(note(stand, "pull", 4, 3, 0, 1000));
    assert_true(note(stand, "pull", 3, 3, 0, 1000));
    assert_false(note(stand, "pull", 4, 4, 0, 5000));
    draw(stand, 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_progress_has_a_line_per_layer_in_its_place),
        TEST(test_progress_of_many_layers_fits_the_rows),
        TEST(test_progress_is_cut_at_the_width),
        TEST(test_progress_survives_another_width),
        TEST(test_progress_refuses_numbers_that_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
