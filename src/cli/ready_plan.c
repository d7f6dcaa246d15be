/* ready_plan.c: how to see that a program is ready; see ready_plan.h. */
#include "ready_plan.h"

#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    INTERVAL_MIN_MS = 200,
    INTERVAL_MAX_MS = 1000,
    CHECK_TIMEOUT_MS = 30000, /* Docker's */
    NS_PER_MS = 1000000,
    LISTENING = 10 /* TCP_LISTEN of Linux's enum in net/tcp_states.h */
};

static struct json_value at(struct json_value object, const char *path)
{
    return json_at(object, path, strlen(path));
}

/* --------------------------------------------------------------- checks -- */

static bool set_shell(struct ready_plan *plan, char *command)
{
    plan->words[0] = strdup("/bin/sh");
    plan->words[1] = strdup("-c");
    plan->words[2] = command;
    return plan->words[0] && plan->words[1] && plan->words[2];
}

static bool set_words(struct ready_plan *plan, struct json_value test,
                      struct json_value word)
{
    size_t count = 0;

    while ((word = json_next(test, &word)).length) {
        if (count == READY_WORDS_MAX) {
            ready_plan_done(plan);
            return true;
        }
        if (!(plan->words[count++] = json_text(word)))
            return false;
    }
    return true;
}

/* Of several numbers of nanoseconds the first that is given, in milliseconds
 * of at most (max). */
static uint32_t time_of(struct json_value check, const char *first,
                        const char *second, uint32_t max)
{
    uint64_t ns = json_number(at(check, first));

    if (!ns && second)
        ns = json_number(at(check, second));
    return !ns || ns / NS_PER_MS > max ? max : (uint32_t)(ns / NS_PER_MS);
}

/* The image's HEALTHCHECK, {"Test": ["CMD", "curl", ...], ...}. An empty one,
 * ["NONE"], and one of more words than we take leave the plan as it is. False:
 * no memory. */
static bool set_health(struct ready_plan *plan, struct json_value check)
{
    struct json_value test = at(check, "Test");
    struct json_value first = json_next(test, NULL);
    struct json_value second =
        first.length ? json_next(test, &first) : (struct json_value){0};
    char *kind = json_text(first);
    bool fine = kind != NULL;

    if (fine && first.length && second.length) {
        if (strcmp(kind, "CMD-SHELL") == 0)
            fine = set_shell(plan, json_text(second));
        else if (strcmp(kind, "CMD") == 0)
            fine = set_words(plan, test, first);
    }
    free(kind);
    if (!fine || !plan->words[0])
        return fine;
    plan->way = READY_CHECK;
    plan->interval_ms =
        time_of(check, "StartInterval", "Interval", INTERVAL_MAX_MS);
    if (plan->interval_ms < INTERVAL_MIN_MS)
        plan->interval_ms = INTERVAL_MIN_MS;
    plan->check_timeout_ms = time_of(check, "Timeout", NULL, CHECK_TIMEOUT_MS);
    if (!plan->check_timeout_ms)
        plan->check_timeout_ms = 1;
    return true;
}

/* ---------------------------------------------------------------- ports -- */

static void set_port(struct ready_ports *ports, unsigned long port)
{
    ports->bits[port / 8] |= (uint8_t)(1u << port % 8);
}

/* "80", "80/tcp", "8000-8010/tcp". False: of another protocol, or nonsense. */
static bool add_exposed(struct ready_ports *ports, const char *text)
{
    char *end;
    unsigned long first = strtoul(text, &end, 10);
    unsigned long last = first;

    if (end != text && *end == '-')
        last = strtoul(end + 1, &end, 10);
    if (end == text || (*end && strcmp(end, "/tcp") != 0) || first < 1 ||
        last < first || last > UINT16_MAX)
        return false;
    for (unsigned long port = first; port <= last; port++)
        set_port(ports, port);
    return true;
}

static bool set_ports(struct ready_plan *plan, struct json_value list)
{
    for (struct json_value port = json_next(list, NULL); port.length;
         port = json_next(list, &port)) {
        char *text = json_text(port);

        if (!text)
            return false;
        if (add_exposed(&plan->ports, text))
            plan->way = READY_PORTS;
        free(text);
    }
    return true;
}

/* "   0: 00000000:0050 00000000:0000 0A ...", addresses in any length. */
static void add_line(struct ready_ports *ports, const char *line)
{
    unsigned port, state;

    if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%4x %*[0-9A-Fa-f]:%*4x %2x", &port,
               &state) == 2 &&
        state == LISTENING)
        set_port(ports, port);
}

void ready_ports_add(struct ready_ports *ports, const char *text)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        add_line(ports, line);
    }
}

bool ready_ports_have(const struct ready_ports *ports,
                      const struct ready_ports *wanted)
{
    for (unsigned i = 0; i < READY_PORTS_BYTES; i++)
        if (wanted->bits[i] & ~ports->bits[i])
            return false;
    return true;
}

/* ----------------------------------------------------------------- both -- */

bool ready_plan_make(struct ready_plan *plan, const char *machine,
                     const char *command, bool image_program)
{
    struct json_value config = at(json_read(machine), "config");
    char *health;
    bool fine;

    *plan = (struct ready_plan){
        .way = command ? READY_CHECK : READY_QUIET,
        .check_timeout_ms = CHECK_TIMEOUT_MS,
        .interval_ms = INTERVAL_MIN_MS,
    };
    if (command)
        return set_shell(plan, strdup(command));
    if (!image_program)
        return true;
    health = json_text(at(config, "healthcheck"));
    fine = health && set_health(plan, json_read(health));
    free(health);
    if (fine && plan->way == READY_QUIET)
        fine = set_ports(plan, at(config, "ports"));
    return fine;
}

void ready_plan_done(struct ready_plan *plan)
{
    for (size_t i = 0; i < READY_WORDS_MAX; i++) {
        free(plan->words[i]);
        plan->words[i] = NULL;
    }
}
