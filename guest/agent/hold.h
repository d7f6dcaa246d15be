/* hold.h: the machine stands still for a snapshot, and goes on, maybe as
 * another one.
 *
 * How it works
 *   HOLD ──> freezing ──> frozen ──> HELD said ─┬─ RELEASE: thaw
 *               └─> refused: thaw               └─ CLONE: become another, thaw
 *
 *   From HOLD on no output of programs is read. Once they are frozen and all
 *   that was to be done is done, HELD is said, and from there on the agent
 *   listens to nothing but the session that holds: what happens meanwhile
 *   (timers, signals, calls) waits in the kernel. So the connection is empty
 *   when the machine is captured, and the clone's agent does nothing at all
 *   before CLONE has come.
 *
 *   If the session that holds is lost, nobody knows whether this is the machine
 *   that was captured or one that came out of the snapshot, with random numbers
 *   that another has, too: nothing thaws, and nothing leads on.
 */
#ifndef SM_GUEST_HOLD_H
#define SM_GUEST_HOLD_H

#include "link.h"

/* Serve HOLD; answered now or later. */
void hold_begin(struct link *link);
/* Serve any message while guest->hold is there. Errors are breaches of the
 * protocol, or a clone that failed; either ends the session. */
int hold_message(struct link *link, const struct frame *frame,
                 struct sm_error *err);
/* (link), which may be the one that holds, is about to go. */
void hold_lost(struct link *link);
/* All tasks of a turn have run. */
void hold_turn(struct guest *guest);
/* What the agent listens to now. */
int hold_epoll(const struct guest *guest);
/* Forget the hold, if there is one; what is frozen stays so. */
void hold_end(struct guest *guest);

#endif
