/* ready_plan.h: how to see that a machine's program is ready.
 *
 * How it works
 *   In this order:
 *     --ready COMMAND          /bin/sh -c COMMAND exits with 0
 *     the image's HEALTHCHECK  its test does
 *     the image's EXPOSE       somebody listens on all of its TCP ports
 *     nothing of these         the machine waits for something to do
 *   What the image says is about its own program: it counts only where that is
 *   what runs. A shell in the image of a web server listens on nothing.
 *
 *   Of a health check, the test and its time-out are Docker's, and the time
 *   between two tries, StartInterval or else Interval, counts as far as it is
 *   below a second: Docker watches a service for weeks with it, here somebody
 *   waits. Retries have no meaning before the first success; --ready-timeout
 *   ends the waiting.
 */
#ifndef SM_CLI_READY_PLAN_H
#define SM_CLI_READY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ready_way { READY_CHECK, READY_PORTS, READY_QUIET };

enum { READY_WORDS_MAX = 64, READY_PORTS_BYTES = 65536 / 8 };

/* A bit for each TCP port. */
struct ready_ports {
    uint8_t bits[READY_PORTS_BYTES];
};

struct ready_plan {
    enum ready_way way;
    /* READY_CHECK: what is run, NULL at the end. */
    char *words[READY_WORDS_MAX + 1];
    uint32_t check_timeout_ms; /* of one run of it   */
    uint32_t interval_ms;      /* between two tries  */
    struct ready_ports ports;  /* READY_PORTS        */
};

/*
 * Make the plan for a machine that sm_machine_inspect() describes with
 * (machine). (command): --ready, or NULL. (image_program): it runs what its
 * image says. False: no memory; then, too, ready_plan_done() is to be called.
 */
bool ready_plan_make(struct ready_plan *plan, const char *machine,
                     const char *command, bool image_program);
void ready_plan_done(struct ready_plan *plan);

/* Add the ports that somebody listens on, as Linux's /proc/net/tcp or tcp6
 * tells in (text), which may be nonsense. */
void ready_ports_add(struct ready_ports *ports, const char *text);
bool ready_ports_have(const struct ready_ports *ports,
                      const struct ready_ports *wanted);

#endif
