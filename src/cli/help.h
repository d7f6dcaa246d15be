/* help.h: what the program says about itself as a whole. */
#ifndef SM_CLI_HELP_H
#define SM_CLI_HELP_H

#include <stdio.h>

/* One line on what it is for. */
#define HELP_PURPOSE "Run any OCI image as a hardware-isolated microVM"

/* `supermachine --help`: the verbs by group. */
void help_program(FILE *to);

#endif
