/* main.c: the command-line program: finds the verb and hands over. */
#include "text.h"
#include "verbs.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <supermachine.h>

static const struct verb *const verbs[] = {
    &verb_run,     &verb_pull, &verb_images, &verb_rmi,
    &verb_inspect, &verb_tag,  &verb_prune,  &verb_store,
    &verb_load,    &verb_save, &verb_doctor, &verb_version};

enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

static void help(FILE *to)
{
    fprintf(to, "Usage: supermachine VERB [OPTIONS] [ARGUMENTS]\n\n"
                "Run any OCI image as a hardware-isolated microVM.\n\n"
                "Verbs:\n");
    for (int i = 0; i < VERB_COUNT; i++)
        fprintf(to, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(to, "\n`supermachine VERB --help` tells more about each.\n");
}

static int unknown_verb(const char *word)
{
    const char *names[VERB_COUNT];
    const char *near;

    for (int i = 0; i < VERB_COUNT; i++)
        names[i] = verbs[i]->name;
    near = options_nearest(word, names, VERB_COUNT);
    if (near)
        complain("unknown verb %s: did you mean %s?", word, near);
    else
        complain("unknown verb %s: see supermachine --help", word);
    return EXIT_OURS;
}

int main(int argc, char **argv)
{
    /* A reader that went away is an error of a write, not our death. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        help(stderr);
        return EXIT_OURS;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0)
        return verb_version.run(argc - 2, argv + 2);
    for (int i = 0; i < VERB_COUNT; i++)
        if (strcmp(argv[1], verbs[i]->name) == 0)
            return verbs[i]->run(argc - 2, argv + 2);
    return unknown_verb(argv[1]);
}
