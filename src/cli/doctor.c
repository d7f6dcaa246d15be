/* doctor.c: `supermachine doctor`: can machines run here, and if not, why. */
#include "host.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>

static const char *const level_names[] = {
    [SM_FINDING_OK] = "ok",
    [SM_FINDING_WARNING] = "warning",
    [SM_FINDING_ERROR] = "error",
};

static void print_finding(void *context, const struct sm_finding *finding)
{
    unsigned *errors = context;

    printf("%-8s %-11s %s\n", level_names[finding->level], finding->what,
           finding->found);
    if (finding->advice[0])
        printf("%-20s -> %s\n", "", finding->advice);
    if (finding->level == SM_FINDING_ERROR)
        ++*errors;
}

static int run_doctor(void *values, char **words)
{
    struct sm_host *host = NULL;
    struct sm_error err;
    unsigned errors = 0;
    int rc;

    (void)values;
    (void)words;
    rc = cli_host_open(&host, &err);
    if (!rc)
        rc = sm_host_doctor(host, print_finding, &errors, &err);
    sm_host_free(host);
    if (rc) {
        complain("doctor: %s", err.message);
        return EXIT_OURS;
    }
    if (errors) {
        printf("\nNo machine can run here before the errors are mended.\n");
        return 1;
    }
    printf("\nMachines can run here.\n");
    return 0;
}

const struct verb verb_doctor = {
    .name = "doctor",
    .usage = "",
    .summary = "Look whether machines can run here, and say what to do",
    .details = "Measures the hypervisor, and looks at permissions, kernel, "
               "agent and disk.",
    .exit_status = "Exits with 0 if machines can run, else with 1.",
    .ask = "takes no arguments",
    .run = run_doctor,
};
