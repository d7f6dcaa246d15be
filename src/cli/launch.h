/* launch.h: one `run`, and what it makes before anything runs; for launch.c. */
#ifndef SM_CLI_LAUNCH_H
#define SM_CLI_LAUNCH_H

#include "forward.h"
#include "kept.h"
#include "run.h"
#include "warm.h"

/* From its options to its end. */
struct run {
    const struct run_options *options;
    char **command; /* what is behind the image     */
    const char *image;
    bool resumes; /* what the snapshot was made of goes on */
    bool is_warm; /* and it is one of --warm */
    struct warming warming;
    char *not_kept; /* why, to be said at the end */
    struct kept kept;
    struct sm_host *host;
    struct sm_image *source; /* NULL: a snapshot */
    /* Others of the same kind may take their place before the start, while
     * the thread that takes signals looks. */
    struct sm_machine *_Atomic machine;
    struct sm_exec *_Atomic exec;
    struct record record;
    struct terminal terminal;
    struct forward forward;
    bool has_terminal; /* and nobody else sees to it */
    int report;        /* -d: where the parent waits for news; -1 */
    int owner;         /* on a terminal: the parent's connection; -1 */
};

/* Its command's streams pass through here, because it may be left alone. */
bool launch_is_kept(const struct run *run);

/* What the machine is made of: (source), or (kept). */
int launch_open_source(struct run *run, struct sm_error *err);
int launch_make_record(struct run *run, struct sm_error *err);
/* The machine, and its command in it, for the record. With --warm, those of a
 * snapshot if there is one that fits. */
int launch_make_machine(struct run *run, struct sm_error *err);
/* What --warm found is of no use: it is removed, and machine and command are
 * made as if it had not been there. */
int launch_without_warm(struct run *run, struct sm_error *err);

#endif
