/* report.h: what goes on in the machine, read out of /proc. */
#ifndef SM_GUEST_REPORT_H
#define SM_GUEST_REPORT_H

#include "guest.h"

/* Append a FIGURES. What cannot be read is 0. */
void report_figures(const struct guest *guest, struct buf *to);
/* Append PROCESSES frames, the last one with END. Neither the kernel's threads
 * nor this process are in them. */
void report_processes(const struct guest *guest, struct buf *to);

/* (pid) is there, and neither the kernel's nor the agent. */
bool report_is_program(const struct guest *guest, pid_t pid);

#endif
