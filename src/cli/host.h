/* host.h: the host object that every verb begins with. */
#ifndef SM_CLI_HOST_H
#define SM_CLI_HOST_H

#include <supermachine.h>

/* Open the host that the environment describes, with the runtime folder of
 * this program's own installation. */
int cli_host_open(struct sm_host **ret, struct sm_error *err);

enum { HOME_MAX = 4096 };

/* The folder of images and machines, in HOME_MAX bytes. */
int cli_home(char *to, struct sm_error *err);

#endif
