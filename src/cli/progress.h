/* progress.h: layers of an image on a terminal while they come.
 *
 * How it works
 *   Each layer has a line, in the image's order: what is done with it, which
 *   one it is, how much of it, how fast. The lines are drawn over and over in
 *   their place, and are gone at the end. If the terminal is not high enough,
 *   those on their way are shown, and how many are done. Lines are cut at its
 *   width, which may change between two drawings: what is there then takes
 *   more lines than were drawn.
 *
 *   Times are in nanoseconds of a clock that only goes forward.
 */
#ifndef SM_CLI_PROGRESS_H
#define SM_CLI_PROGRESS_H

#include <supermachine.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress_layer;

struct progress {
    FILE *to; /* the terminal; the caller's */
    struct progress_layer *layers;
    uint32_t count;
    uint32_t finished;  /* with the present step           */
    char step[16];      /* the present one                 */
    uint64_t drawn_ns;  /* 0: not yet                      */
    unsigned *widths;   /* of each line that is there      */
    unsigned lines;     /* that are there                  */
    unsigned lines_max; /* that (widths) has room for      */
};

void progress_init(struct progress *progress, FILE *to);
void progress_done(struct progress *progress);

/* Take an event in. True: it is time to draw again, at most every 100 ms. */
bool progress_note(struct progress *progress, const struct sm_progress *event,
                   uint64_t now_ns);

/* On a terminal of this size in characters, both at least 1. */
void progress_draw(struct progress *progress, unsigned rows, unsigned columns,
                   uint64_t now_ns);

/* Leave nothing of what was drawn. */
void progress_erase(struct progress *progress, unsigned columns);

#endif
