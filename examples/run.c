/* run.c: one command in a machine of its own, in the shortest way.
 *
 *     example_run REFERENCE COMMAND [ARG...]
 */
#include <stdio.h>
#include <supermachine.h>

int main(int argc, char **argv)
{
    struct sm_error err;
    struct sm_exec_config command;
    struct sm_exit_status status;

    if (argc < 3)
        return fprintf(stderr, "which image, which command?\n"), 125;
    sm_exec_config_init(&command);
    command.argv = (const char *const *)argv + 2;
    if (sm_run(argv[1], &command, &status, &err) != 0)
        return fprintf(stderr, "%s\n", err.message), 125;
    return sm_exit_code(&status);
}
