/* test_ready_plan.c: how to see that a program is ready, out of what its image
 * says; ports in the guest's own words. */
#include "cli/ready_plan.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct ready_plan plan;

/* (config): the fields that matter. */
static void make(const char *config, const char *command, bool image_program)
{
    char text[8192];

    snprintf(text, sizeof text, "{\"state\":\"new\",\"config\":{%s}}", config);
    assert_true(ready_plan_make(&plan, text, command, image_program));
}

static bool wants(unsigned port)
{
    return plan.ports.bits[port / 8] >> port % 8 & 1;
}

static const char whole[] =
    "\"ports\":[\"80/tcp\"],\"healthcheck\":\"{\\\"Test\\\":[\\\"CMD\\\","
    "\\\"probe\\\",\\\"a b\\\"],\\\"Interval\\\":30000000000,"
    "\\\"StartInterval\\\":500000000,\\\"Timeout\\\":2000000000}\"";

static void test_plan_takes_the_first_of_its_ways(void **state)
{
    (void)state;
    make(whole, "true", true);
    assert_int_equal(plan.way, READY_CHECK);
    assert_string_equal(plan.words[0], "/bin/sh");
    assert_string_equal(plan.words[1], "-c");
    assert_string_equal(plan.words[2], "true");
    assert_null(plan.words[3]);
    ready_plan_done(&plan);

    make(whole, NULL, true);
    assert_int_equal(plan.way, READY_CHECK);
    assert_string_equal(plan.words[0], "probe");
    assert_string_equal(plan.words[1], "a b");
    assert_null(plan.words[2]);
    assert_int_equal(plan.interval_ms, 500);
    assert_int_equal(plan.check_timeout_ms, 2000);
    ready_plan_done(&plan);

    make("\"ports\":[\"80/tcp\"],\"healthcheck\":\"\"", NULL, true);
    assert_int_equal(plan.way, READY_PORTS);
    assert_true(wants(80));
    ready_plan_done(&plan);

    make("\"ports\":[],\"healthcheck\":\"\"", NULL, true);
    assert_int_equal(plan.way, READY_QUIET);
    ready_plan_done(&plan);
}

static void test_plan_of_another_program_asks_no_image(void **state)
{
    (void)state;
    make(whole, NULL, false);
    assert_int_equal(plan.way, READY_QUIET);
    ready_plan_done(&plan);
}

static void test_plan_health_in_a_shell_and_none(void **state)
{
    static const char *const nothing[] = {
        "{\\\"Test\\\":[\\\"NONE\\\"]}", "{\\\"Test\\\":[]}",          "{}",
        "{\\\"Test\\\":[\\\"CMD\\\"]}",  "{\\\"Test\\\":\\\"CMD\\\"}", "[1"};
    char text[256];

    (void)state;
    make(
        "\"healthcheck\":\"{\\\"Test\\\":[\\\"CMD-SHELL\\\",\\\"a || b\\\"]}\"",
        NULL, true);
    assert_int_equal(plan.way, READY_CHECK);
    assert_string_equal(plan.words[2], "a || b");
    assert_int_equal(plan.interval_ms, 1000);
    assert_int_equal(plan.check_timeout_ms, 30000);
    ready_plan_done(&plan);
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        snprintf(text, sizeof text, "\"healthcheck\":\"%s\",\"ports\":[\"7\"]",
                 nothing[i]);
        make(text, NULL, true);
        assert_int_equal(plan.way, READY_PORTS);
        ready_plan_done(&plan);
    }
}

/* Half a command is another command. */
static void test_plan_drops_a_test_of_too_many_words(void **state)
{
    char text[1024] = "\"healthcheck\":\"{\\\"Test\\\":[\\\"CMD\\\"";

    (void)state;
    for (int i = 0; i <= READY_WORDS_MAX; i++)
        strncat(text, ",\\\"a\\\"", sizeof text - strlen(text) - 1);
    strncat(text, "]}\"", sizeof text - strlen(text) - 1);
    make(text, NULL, true);
    assert_int_equal(plan.way, READY_QUIET);
    assert_null(plan.words[0]);
    ready_plan_done(&plan);
}

static void test_plan_ports_are_numbers_and_ranges(void **state)
{
    (void)state;
    make("\"ports\":[\"22\",\"8000-8002/tcp\",\"53/udp\",\"0/tcp\",\"70000\","
         "\"9-8\",\"x\",\"\",\"65535/tcp\",\"-5/tcp\"]",
         NULL, true);
    assert_int_equal(plan.way, READY_PORTS);
    assert_true(wants(22) && wants(8000) && wants(8001) && wants(8002));
    assert_true(wants(65535));
    assert_false(wants(53) || wants(8003) || wants(9) || wants(8) || wants(0));
    ready_plan_done(&plan);
    make("\"ports\":[\"53/udp\"]", NULL, true);
    assert_int_equal(plan.way, READY_QUIET);
    ready_plan_done(&plan);
}

static const char table4[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n"
    "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00\n"
    "   1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00\n";
static const char table6[] =
    "  sl  local_address                         remote_address        st\n"
    "   0: 00000000000000000000000000000000:01BB "
    "00000000000000000000000000000000:0000 0A 00000000:00000000\n";

static void test_ports_are_those_that_are_listened_on(void **state)
{
    static struct ready_ports heard;

    (void)state;
    make("\"ports\":[\"80\",\"443/tcp\"]", NULL, true);
    ready_ports_add(&heard, table4);
    assert_false(ready_ports_have(&heard, &plan.ports));
    ready_ports_add(&heard, table6);
    assert_true(ready_ports_have(&heard, &plan.ports));
    ready_plan_done(&plan);
    make("\"ports\":[\"8080\"]", NULL, true);
    assert_false(ready_ports_have(&heard, &plan.ports));
    ready_plan_done(&plan);
}

static void test_ports_nonsense_does_no_harm(void **state)
{
    static const char *const nonsense[] = {
        "",
        "\n\n\n",
        "0:",
        " 0: 0:50 0:0",
        " 0: :: 0A",
        "0: zz:50 00:00 0A",
        " 0: 00000000:FFFFFFFF 00000000:0000 0A"};
    static struct ready_ports heard;

    (void)state;
    make("\"ports\":[\"80\"]", NULL, true);
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++)
        ready_ports_add(&heard, nonsense[i]);
    assert_false(ready_ports_have(&heard, &plan.ports));
    ready_plan_done(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_takes_the_first_of_its_ways),
        cmocka_unit_test(test_plan_of_another_program_asks_no_image),
        cmocka_unit_test(test_plan_health_in_a_shell_and_none),
        cmocka_unit_test(test_plan_drops_a_test_of_too_many_words),
        cmocka_unit_test(test_plan_ports_are_numbers_and_ranges),
        cmocka_unit_test(test_ports_are_those_that_are_listened_on),
        cmocka_unit_test(test_ports_nonsense_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
