/* test_listing.c: tables in every form that can be asked for. */
#include "cli/listing.h"
#include "cli/text.h"
#include "failing_alloc.h"
#include "unit.h"

#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof(a)[0])

enum { ID, NAME, STATUS, SIZE, LABELS };

static const struct listing_column columns[] = {
    [ID] = {"ID", "MACHINE ID", LISTING_KEY | LISTING_ID, 12},
    [NAME] = {"Name", "NAME", 0, 8},
    [STATUS] = {"Status", "STATUS", 0, 0},
    [SIZE] = {"Size", "SIZE", LISTING_RIGHT, 0},
    [LABELS] = {"Labels", NULL, 0, 0},
};

static void add_rows(struct listing *listing)
{
    listing_row(listing);
    listing_text(listing, ID, "sha256:0123456789abcdef0123456789abcdef");
    listing_text(listing, NAME, "web");
    listing_text(listing, STATUS, "Up 2 hours");
    listing_colour(listing, STATUS, LISTING_GREEN);
    listing_number(listing, SIZE, 13300000, "13.3MB");
    listing_json(listing, LABELS, "{\"a\":1}", "a=1");
    listing_row(listing);
    listing_text(listing, ID, "fedcba9876543210");
    listing_text(listing, NAME, "hostile\n\x1b[31m");
    listing_text(listing, NAME, "a long \"name\"\n");
    listing_number(listing, SIZE, 7, NULL);
}

/* What a listing of (rows) prints, for free(); NULL: it was refused. */
static char *print(const struct listing_options *options,
                   void (*rows)(struct listing *))
{
    struct listing listing;
    char *text = NULL;
    size_t bytes;
    FILE *to;

    if (!listing_init(&listing, "ps", columns, ARRAY_LEN(columns), options))
        return NULL;
    if (rows)
        rows(&listing);
    to = open_memstream(&text, &bytes);
    assert_non_null(to);
    assert_int_equal(listing_print(&listing, to), 0);
    fclose(to);
    listing_done(&listing);
    return text;
}

static void expect(const struct listing_options *options, const char *expected)
{
    size_t before = alloc_live();
    char *text = print(options, add_rows);

    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    assert_int_equal(alloc_live(), before);
}

static void test_listing_table_is_as_wide_as_its_content(void **state)
{
    static const char table[] =
        "MACHINE ID     NAME       STATUS         SIZE\n"
        "0123456789ab   web        Up 2 hours   13.3MB\n"
        "fedcba987654   a long \u2026                     7\n";

    (void)state;
    expect(&(struct listing_options){0}, table);
    expect(&(struct listing_options){.format = "table"}, table);
    expect(&(struct listing_options){.no_trunc = true},
           "MACHINE ID                                NAME              "
           "STATUS         SIZE\n"
           "sha256:0123456789abcdef0123456789abcdef   web               "
           "Up 2 hours   13.3MB\n"
           "fedcba9876543210                          a long \"name\"\\n     "
           "                7\n");
}

static void test_listing_without_rows_has_its_headings(void **state)
{
    static const struct {
        struct listing_options options;
        const char *text;
    } table[] = {
        {{0}, "MACHINE ID   NAME   STATUS   SIZE\n"},
        {{.json = true}, "[]\n"},
        {{.quiet = true}, ""},
        {{.format = "json"}, ""},
        {{.format = "{{.Name}}"}, ""},
        {{.format = "table {{.Labels}}"}, "Labels\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char *text = print(&table[i].options, NULL);

        assert_string_equal(text, table[i].text);
        free(text);
    }
}

static void test_listing_json_is_exact(void **state)
{
    static const char first[] =
        "{\"ID\":\"sha256:0123456789abcdef0123456789abcdef\","
        "\"Name\":\"web\",\"Status\":\"Up 2 hours\",\"Size\":13300000,"
        "\"Labels\":{\"a\":1}}";
    static const char second[] =
        "{\"ID\":\"fedcba9876543210\",\"Name\":\"a long \\\"name\\\"\\n\","
        "\"Status\":null,\"Size\":7,\"Labels\":null}";
    char text[1024];

    (void)state;
    snprintf(text, sizeof text, "[%s,\n %s]\n", first, second);
    expect(&(struct listing_options){.json = true}, text);
    snprintf(text, sizeof text, "%s\n%s\n", first, second);
    expect(&(struct listing_options){.format = "json"}, text);
    expect(&(struct listing_options){.format = "{{json .}}"}, text);
    expect(&(struct listing_options){.format = "{{json .Name}} {{json .Size}}"},
           "\"web\" 13300000\n\"a long \\\"name\\\"\\n\" 7\n");
}

static void test_listing_templates_are_docker_s(void **state)
{
    static const struct {
        const char *format;
        const char *text;
    } table[] = {
        {"{{.Name}}", "web\na long \u2026\n"},
        {"{{ .ID }}:{{.Size}}", "0123456789ab:13.3MB\nfedcba987654:7\n"},
        {"{{.ID}}\\t{{.Status}}", "0123456789ab\tUp 2 hours\nfedcba987654\t\n"},
        {"{{.ID}}\t{{.Labels}}\\n", "0123456789ab\ta=1\n\nfedcba987654\t\n\n"},
        {"a\\b { } }}", "a\\b { } }}\na\\b { } }}\n"},
        {"", "\n\n"},
        {"table {{.Size}}\\t{{.ID}}",
         "  SIZE   MACHINE ID\n13.3MB   0123456789ab\n     7   fedcba987654\n"},
        {"table {{.Name}}={{.Size}}\t{{json .Labels}}",
         "NAME=SIZE    Labels\nweb=13.3MB   {\"a\":1}\n"
         "a long \u2026=7   null\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        expect(&(struct listing_options){.format = table[i].format},
               table[i].text);
}

static void test_listing_quiet_prints_keys(void **state)
{
    (void)state;
    expect(&(struct listing_options){.quiet = true},
           "0123456789ab\nfedcba987654\n");
    expect(&(struct listing_options){.quiet = true, .no_trunc = true},
           "sha256:0123456789abcdef0123456789abcdef\nfedcba9876543210\n");
}

static void test_listing_wrong_wishes_are_refused(void **state)
{
    static const struct {
        struct listing_options options;
        const char *said;
    } table[] = {
        {{.json = true, .quiet = true}, "only one of"},
        {{.json = true, .format = "json"}, "only one of"},
        {{.quiet = true, .format = "{{.ID}}"}, "only one of"},
        {{.format = "{{.Nmae}}"}, "no field Nmae: did you mean Name?"},
        {{.format = "{{.name}}"}, "no field name: did you mean Name?"},
        {{.format = "table {{.Name.First}}"},
         "no field Name.First: --format json shows all"},
        {{.format = "x{{json .Zzzzzz}}"}, "no field Zzzzzz: --format json"},
        {{.format = "{{.Name"}, "{{.Name: only {{.Field}}"},
        {{.format = "{{"}, "{{: only"},
        {{.format = "{{.}}"}, "{{.}}: only"},
        {{.format = "{{json}}"}, "{{json}}: only"},
        {{.format = "{{upper .Name}}"}, "{{upper .Name}}: only"},
        {{.format = "{{range .Names}}x{{end}}"}, "{{range"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        size_t before = alloc_live();
        int saved = fcntl(2, F_DUPFD_CLOEXEC, 10);
        int said = memfd_create("said", MFD_CLOEXEC);
        char text[1024];
        ssize_t count;

        dup2(said, 2);
        assert_null(print(&table[i].options, add_rows));
        dup2(saved, 2);
        count = pread(said, text, sizeof text - 1, 0);
        text[count < 0 ? 0 : count] = '\0';
        assert_memory_equal(text, "supermachine: ps: ", 18);
        assert_non_null(strstr(text, table[i].said));
        assert_int_equal(alloc_live(), before);
        close(saved);
        close(said);
    }
}

/* What arrives at a terminal. */
static void print_to_terminal(char *text, size_t size)
{
    struct listing_options options = {0};
    struct listing listing;
    int master, slave;
    size_t filled = 0;
    ssize_t count;
    FILE *to;

    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    to = fdopen(slave, "w");
    assert_non_null(to);
    assert_true(
        listing_init(&listing, "ps", columns, ARRAY_LEN(columns), &options));
    add_rows(&listing);
    assert_int_equal(listing_print(&listing, to), 0);
    listing_done(&listing);
    fclose(to);
    while ((count = read(master, text + filled, size - 1 - filled)) > 0)
        filled += (size_t)count;
    text[filled] = '\0';
    close(master);
}

static void test_listing_colours_are_for_terminals(void **state)
{
    char text[1024];

    (void)state;
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    print_to_terminal(text, sizeof text);
    assert_non_null(strstr(text, "   \033[32mUp 2 hours\033[0m   "));
    setenv("NO_COLOR", "", 1);
    print_to_terminal(text, sizeof text);
    assert_non_null(strstr(text, "\033[32m"));
    setenv("NO_COLOR", "1", 1);
    print_to_terminal(text, sizeof text);
    assert_null(strchr(text, '\033'));
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    print_to_terminal(text, sizeof text);
    assert_null(strchr(text, '\033'));
}

static void test_listing_that_cannot_be_written_is_an_error(void **state)
{
    struct listing_options options = {.quiet = true};
    struct listing listing;
    FILE *full = fopen("/dev/full", "w");
    int saved = fcntl(2, F_DUPFD_CLOEXEC, 10);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_non_null(full);
    assert_true(
        listing_init(&listing, "ps", columns, ARRAY_LEN(columns), &options));
    add_rows(&listing);
    dup2(nowhere, 2);
    assert_int_equal(listing_print(&listing, full), EXIT_OURS);
    dup2(saved, 2);
    listing_done(&listing);
    close(nowhere);
    close(saved);
    fclose(full);
}

/* All of a listing, whose allocations may fail. Returns its status. */
static int try_listing(const struct listing_options *options, FILE *to)
{
    struct listing listing;
    int status;

    if (!listing_init(&listing, "ps", columns, ARRAY_LEN(columns), options))
        return EXIT_OURS;
    for (int i = 0; i < 10; i++)
        add_rows(&listing);
    status = listing_print(&listing, to);
    listing_done(&listing);
    return status;
}

static void test_listing_without_memory_fails_and_leaks_nothing(void **state)
{
    static const struct listing_options forms[] = {
        {0}, {.json = true}, {.quiet = true}, {.format = "{{.ID}}"}};
    int saved = fcntl(2, F_DUPFD_CLOEXEC, 10);
    FILE *nowhere = fopen("/dev/null", "we");

    (void)state;
    assert_non_null(nowhere);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        for (size_t nth = 1;; nth++) {
            size_t before = alloc_live();
            int status;

            dup2(fileno(nowhere), 2);
            alloc_fail_at(nth);
            status = try_listing(&forms[i], nowhere);
            alloc_fail_at(0);
            dup2(saved, 2);
            assert_int_equal(alloc_live(), before);
            if (status == 0) {
                assert_true(nth > 10);
                break;
            }
        }
    }
    fclose(nowhere);
    close(saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listing_table_is_as_wide_as_its_content),
        cmocka_unit_test(test_listing_without_rows_has_its_headings),
        cmocka_unit_test(test_listing_json_is_exact),
        cmocka_unit_test(test_listing_templates_are_docker_s),
        cmocka_unit_test(test_listing_quiet_prints_keys),
        cmocka_unit_test(test_listing_wrong_wishes_are_refused),
        cmocka_unit_test(test_listing_colours_are_for_terminals),
        cmocka_unit_test(test_listing_that_cannot_be_written_is_an_error),
        cmocka_unit_test(test_listing_without_memory_fails_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
