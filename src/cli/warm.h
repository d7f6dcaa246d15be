/* warm.h: the snapshots that `run --warm` makes and goes on from.
 *
 * How it works
 *   A snapshot is called "warm-" and 32 digits: the beginning of the SHA-256 of
 *   all that makes its machine and its program what they are: the image's
 *   digest, what the command line says over the image, the machine's size, its
 *   kernel, the command's time, and how it was seen that it was ready. Whoever
 *   asks for the same finds it, whoever asks for anything else does not, and
 *   nobody keeps a list. Names, labels and life-times are not in it, for these
 *   are a machine's own.
 *
 *   They are made again when they are wanted: one that is of no use here any
 *   more is removed by who finds it, and all of them go with `prune`.
 */
#ifndef SM_CLI_WARM_H
#define SM_CLI_WARM_H

#include "keeper.h"

struct warm_kind {
    const char *machine; /* sm_machine_inspect() of it       */
    const char *hostname;
    const char *kernel; /* the file, NULL: ours              */
    const char *ready;  /* --ready                           */
    /* The image's own words for it count for its own program alone, which may
     * be called by its words, too. */
    enum ready_way way;
    bool tty;
    bool open_stdin;
    uint64_t timeout_ms; /* the command's: it runs on in the snapshot */
};

/* SM_ENOMEM, or SM_ENOENT and the like (kernel). */
int warm_name(const struct warm_kind *kind, char to[SM_SNAPSHOT_NAME_MAX + 1],
              struct sm_error *err);
bool warm_is_name(const char *name);

/* Whether (rc), of sm_machine_new() and what follows with a snapshot, says that
 * it is of no use here: damaged, gone, or of another kernel, agent or host. */
bool warm_is_refusal(int rc);
void warm_remove(struct sm_host *host, const char *name);

/* All of them; each is printed. Adds to *freed. */
int warm_prune(struct sm_host *host, uint64_t *freed, struct sm_error *err);

#endif
