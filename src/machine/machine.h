/* machine.h: a machine from the library's side, and the programs in it.
 *
 * How it works
 *   A machine has a loop of its own. It does not run by itself: the calls that
 *   wait (machine_start, program_wait) turn it on the caller's thread. Two
 *   things are watched: the worker process (worker.h) and the session with the
 *   agent (exec/session.h). Programs that were made before the start are sent
 *   right behind the set-up, without waiting for its answer.
 *
 * Threads
 *   One at a time per machine and its programs, but machine_kill(),
 *   program_signal() and program_resize(): any.
 */
#ifndef SM_MACHINE_MACHINE_H
#define SM_MACHINE_MACHINE_H

#include "machine/command.h"
#include "machine/imaging.h"
#include "shelf/shelf.h"

#include <stdbool.h>

struct agent_rlimit;
struct machine;
struct program;

enum machine_state {
    MACHINE_NEW,      /* configured, no worker; start or free lead out      */
    MACHINE_STARTING, /* worker exists, agent silent; answer, time-out, end */
    MACHINE_RUNNING,  /* agent answered; kill or the guest's own end        */
    MACHINE_PAUSED,   /* its vcpus stand still; resume, kill                */
    MACHINE_STOPPED   /* no worker, reason known; only free leads out       */
};

/* The public enum sm_end_reason says the same to the world. */
struct machine_end {
    enum sm_end_reason reason;
    struct sm_error why;
};

struct machine_config {
    uint64_t memory_bytes;
    uint32_t vcpus;
    const char *kernel;      /* path; NULL: ours                 */
    const char *hostname;    /* NULL: random                     */
    const char *kernel_args; /* NULL: none                       */
    const char *rootfs;      /* path of the root disk's base     */
    bool cold;               /* boot, even if there is a template */
    uint32_t processes_max;  /* of all programs together; 0: any */
    uint32_t lifetime_ms;    /* from the start on; 0: for ever   */
    /* What it goes on from, with its memory and vcpus, instead of rootfs and
     * kernel; outlives the machine. NULL: none. */
    const struct shelf_snapshot *snapshot;
};

/* Copies all; opens nothing yet. SM_ENOMEM, SM_EINVAL (host name). */
int machine_new(const struct machine_paths *paths,
                const struct machine_config *config, struct machine **ret,
                struct sm_error *err);
/* Programs must be freed before. NULL is fine. */
void machine_free(struct machine *machine);

/* As the public calls of these names; machine_stop() without their defaults. */
int machine_start(struct machine *machine, uint32_t timeout_ms,
                  struct sm_error *err);
void machine_kill(struct machine *machine);
int machine_wait(struct machine *machine, uint32_t timeout_ms,
                 struct machine_end *ret, struct sm_error *err);
/* (pause): to MACHINE_PAUSED; else back. */
int machine_pause(struct machine *machine, bool pause, struct sm_error *err);
int machine_stop(struct machine *machine, uint32_t grace_ms,
                 struct sm_error *err);
const struct machine_config *machine_config(const struct machine *machine);
enum machine_state machine_state(const struct machine *machine);
int machine_fd(struct machine *machine, struct sm_error *err);
void machine_dispatch(struct machine *machine);
int machine_next_event(struct machine *machine, uint32_t timeout_ms,
                       struct sm_event *ret, struct sm_error *err);
int machine_stats(struct machine *machine, struct sm_machine_stats *ret,
                  struct sm_error *err);
/* What runs in it, as JSON: SM_INSPECT_PROCESSES. The caller frees *ret. */
int machine_processes(struct machine *machine, char **ret,
                      struct sm_error *err);
/* The end of the guest kernel's log; the caller frees *ret. */
int machine_log(const struct machine *machine, char **ret,
                struct sm_error *err);
/* The steps of the start as JSON; the caller frees *ret. */
int machine_cost(const struct machine *machine, char **ret,
                 struct sm_error *err);

struct machine_capture {
    bool full;               /* one file of memory, which shares nothing */
    bool durable;            /* what is written anew is synced           */
    struct program *program; /* that goes on; NULL: the first one that was
                                made before the start and still runs     */
    uint32_t timeout_ms;     /* for each step until the machine goes on  */
};

struct machine_captured {
    uint64_t still_ns;      /* that its programs stood still  */
    uint64_t paused_ns;     /* of this, its vcpus             */
    uint64_t written_bytes; /* of memory                      */
};

/*
 * Capture (machine) as it is now, which goes on afterwards, whatever comes of
 * it. That happens while somebody turns the loop, in whichever call; one at a
 * time.
 *
 * ret      in: what its manifest says of the image and of commands, and, of a
 *          machine of a snapshot, (origin.programs, own_kernel) and digests.
 *          Here come the rest, but for file sizes and digests (shelf_finish()
 *          and snapshots_note_digests() know these), and the descriptors: to
 *          files that have names, had some, or never had, on the file system
 *          of HOME where that is possible. It stays where it is until
 *          machine_capture_turn() says true, or the machine is freed.
 * Returns  0, SM_ESTATE (does not run), SM_ENOTSUP, SM_EBUSY (one is under
 *          way).
 */
int machine_capture_begin(struct machine *machine,
                          const struct machine_capture *config,
                          struct shelf_snapshot *ret, struct sm_error *err);
/* Turn the loop until all is written, or it failed, as machine_turn() does with
 * (timeout_ms). True: machine_capture_end() is next. */
bool machine_capture_turn(struct machine *machine, uint32_t timeout_ms);
/* What became of it: 0, SM_ESTATE (does not run; the program has ended),
 * SM_ETIMEOUT, SM_EGUEST, SM_ENOSPC, SM_ENOMEM, SM_EIO. */
int machine_capture_end(struct machine *machine,
                        struct machine_captured *figures, struct sm_error *err);

struct program_config {
    int fds[3];          /* stdin, stdout, stderr; -1: none; SM_BYTES */
    uint32_t timeout_ms; /* 0: never                                  */
    bool tty;            /* one terminal for all three; no fds[2]     */
    bool files;          /* the agent's own work (proto/files.h): fds[2]
                            is SM_BYTES, and what stands there an error */
    bool resume;         /* no command of its own: the one that the
                            machine's snapshot was made with goes on  */
    uint16_t rows;       /* of the terminal                           */
    uint16_t columns;
    const struct agent_rlimit *limits; /* outlive the machine */
    uint32_t limit_count;
};

/* Takes (command). Errors as sm_exec_new(). */
int program_new(struct machine *machine, struct command *command,
                const struct program_config *config, struct program **ret,
                struct sm_error *err);
void program_free(struct program *program);
/* As sm_exec_wait(). */
int program_wait(struct program *program, uint32_t timeout_ms,
                 struct sm_exit_status *ret, struct sm_error *err);
/* As the public calls of these names. */
int program_wait_started(struct program *program, uint32_t timeout_ms,
                         struct sm_error *err);
int program_fd(struct program *program, struct sm_error *err);
int64_t program_read(struct program *program, int stream, void *to,
                     size_t capacity, uint32_t timeout_ms,
                     struct sm_error *err);
int64_t program_write(struct program *program, const void *bytes, size_t count,
                      uint32_t timeout_ms, struct sm_error *err);
void program_write_end(struct program *program);
/* (signal) is 1 to 64. */
void program_signal(struct program *program, uint32_t signal);
/* Neither is 0. */
void program_resize(struct program *program, uint16_t rows, uint16_t columns);

#endif
