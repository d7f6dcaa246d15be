/* inside.h: what machine.c and program.c share. */
#ifndef SM_MACHINE_INSIDE_H
#define SM_MACHINE_INSIDE_H

#include "base/queue.h"
#include "exec/exec.h"
#include "machine/machine.h"
#include "machine/template.h"
#include "machine/worker.h"
#include "platform/notifier.h"

#include <pthread.h>

enum { PROGRAM_SIGNALS_MAX = 32 };

/* Output that waits for program_read(), or room for program_write(). */
struct program_bytes {
    struct queue wait;
    bool ready;    /* reading or writing would do something    */
    bool ended;    /* nothing comes behind `wait`, or: is taken */
    bool end_read; /* and the caller knows                     */
    bool refused;  /* program_write() took less than was given */
    bool lost;     /* memory ran out                           */
};

struct program {
    struct machine *machine;
    struct program *next;
    struct command command;
    struct program_config config;
    struct exec *exec; /* NULL: not sent yet */
    bool started;      /* its code runs, or it has ended */
    bool of_start;     /* it was made before the machine's start */
    bool ended;
    struct exec_end end;
    struct program_bytes bytes[AGENT_STREAMS];
    struct notifier notifier; /* for program_fd(); fd -1 until asked for */
    bool notified;
    /* Protected by machine->lock: what other threads left to send. */
    uint32_t signals[PROGRAM_SIGNALS_MAX];
    unsigned signal_count;
    uint16_t rows; /* of the terminal now */
    uint16_t columns;
    bool resized; /* and the guest does not know */
};

enum { MACHINE_EVENTS_MAX = 64 };

/* What happened and was not asked for yet, the oldest at `first`. */
struct machine_events {
    struct sm_event event[MACHINE_EVENTS_MAX];
    unsigned first;
    unsigned count;
    bool ready; /* count > 0 */
    bool over;  /* the last one was given */
};

/* Answers that a call waits for. */
struct machine_reports {
    struct worker_figures worker;
    struct agent_figures guest;
    struct buf processes;
    unsigned processes_owed; /* lists that were asked for and did not come */
    bool worker_answered;
    bool guest_answered;
    bool processes_whole;
};

/* What a machine's memory and disk consist of, for snapshots of it. */
struct machine_files {
    int memory;       /* what its memory began as; -1: zeros  */
    int differential; /* over it; -1: nothing                 */
    int base;         /* of its disk                          */
    int layer[WORKER_LAYERS_MAX];
    unsigned layer_count;
    int top; /* what its disk writes to */
};

/* What a capture waits for: saving.c. */
enum saving_step {
    SAVING_NOTHING,  /* there is none; it is over      */
    SAVING_MERGING,  /* layers of the disk become one  */
    SAVING_STARTING, /* the program that is to go on   */
    SAVING_HOLDING,  /* programs come to stand still   */
    SAVING_TAKING,   /* the worker notes it all down   */
    SAVING_WRITING   /* the machine goes on meanwhile  */
};

/* A moment of it that is being taken. */
struct machine_saving {
    enum saving_step step;
    struct machine_capture wanted;
    bool names_program; /* wanted.program, which may be gone since */
    struct shelf_snapshot *to;
    bool over; /* and nobody has asked how */
    struct sm_error why;
    bool holding; /* the agent was asked; it answered */
    bool held;
    bool asked;        /* the worker was: SAVED follows, or its end */
    bool captured;     /* it has; its disk has another layer now    */
    bool went_on;      /* captured or not                           */
    uint64_t since_ns; /* that the programs were asked to stand still, and   */
    uint64_t still_ns; /* how long they did                                  */
    struct worker_captured taken;
    struct worker_saved saved;
    int top;    /* files for what comes after it */
    int merged; /* one layer instead of many; -1: they stay as they are */
};

struct machine {
    struct machine_paths paths;
    struct machine_config config;
    enum machine_state state;
    struct loop *loop;
    struct loop_timer *deadline; /* of a call that waits  */
    struct loop_timer *start_deadline;
    uint32_t start_timeout_ms;
    struct loop_timer *saving_deadline; /* of a capture's step */
    struct loop_timer *grace; /* between the session's end and the worker's */
    bool expired;
    struct worker *worker;
    struct session *session;
    struct template_key template;
    struct template_maker *maker; /* while the template is being made       */
    bool from_template;           /* this start goes on from it             */
    bool restored;                /* and the worker has got that far        */
    bool made_template;           /* this start made it                     */
    bool template_cold;           /* and is to say what is written first    */
    struct file_fresh hot;        /* where the worker lists it              */
    uint64_t disk_bytes;          /* of the root disk                       */
    char boots[TEMPLATE_PROGRAMS_MAX]; /* template_programs() of it */
    bool named;                        /* its hostname was given    */
    struct machine_files files;
    struct machine_saving saving;
    struct program *programs;
    struct machine_end end; /* of MACHINE_STOPPED */
    uint64_t started_ns;    /* on the monotonic clock; 0: not yet */
    struct machine_events events;
    struct machine_reports reports;
    bool pausing; /* the worker was asked to, and has not answered */
    bool pause_answered;
    uint64_t features; /* of the agent: AGENT_CAN_* */
    bool exposed;      /* somebody waits for machine_fd() */
    bool untold;       /* something to ask for has come since a dispatch */
    struct worker_steps steps;
    int log_fd;
    pthread_mutex_t lock; /* all below, and the programs' requests */
    bool killed;          /* machine_kill() was called             */
};

/* Turn the loop until *flag, the machine's end, or (timeout_ms), 0: never;
 * SM_NOWAIT. False: time is up. */
bool machine_turn(struct machine *machine, const bool *flag,
                  uint32_t timeout_ms);
/* After turns of the loop: have machine_fd() show what they left. */
void machine_turned(struct machine *machine);
void machine_step(struct machine *machine, const char *what);
/* End it from this side. */
void machine_fail(struct machine *machine, const struct sm_error *why);
/* Tell the agent what it is to be: SETUP. */
int machine_set_up(struct machine *machine, struct sm_error *err);
/* start.c: the template was of no use: boot. False: that is not why the worker
 * has ended. */
bool machine_boot_instead(struct machine *machine);
/* Once the agent is ready, in the start that made the template: what the
 * machine has written to is what the next ones will. True: the worker looks,
 * which takes it a while in large machines; `hot_done` follows. */
bool machine_note_hot(struct machine *machine);
void machine_keep_hot(struct machine *machine);
/* Tell the agent of a restored machine what it is to be now: CLONE. */
int machine_set_up_clone(struct machine *machine, struct sm_error *err);
/* saving.c: the disk's layers are one; the moment was taken, is written; the
 * programs stand still. */
void machine_merged(void *context, const struct worker_merged *merged);
void machine_captured(void *context, const struct worker_captured *captured);
void machine_saved(void *context, const struct worker_saved *saved);
void machine_held(void *context, const struct sm_error *why_not);
/* A step takes too long; a program has started, ended or gone; the machine has
 * ended. */
void machine_saving_late(void *context);
void machine_saving_program(struct machine *machine);
void machine_saving_ended(struct machine *machine);
void machine_files_close(struct machine_files *files);
#define MACHINE_FILES_NONE                                                     \
    ((struct machine_files){                                                   \
        .memory = -1, .differential = -1, .base = -1, .top = -1})
extern const struct worker_events machine_worker_events;
extern const struct session_events machine_session_events;
/* Append its command, as it was given. SM_ENOMEM. */
int program_words(const struct program *program, struct image_strings *to,
                  struct sm_error *err);
/* The session is there: send the program, or, before CLONE, have the snapshot's
 * go on as this one. Failure becomes its end. */
void program_send(struct program *program);
/* event.c: something happened; (detail) is copied, as much as there is room
 * for. */
void event_add(struct machine *machine, enum sm_event_kind kind, uint32_t pid,
               const char *detail);
/* report.c: answers of the worker and the agent. */
void machine_take_worker_figures(void *context,
                                 const struct worker_figures *figures);
void machine_take_guest_figures(void *context,
                                const struct agent_figures *figures);
void machine_take_processes(void *context, const uint8_t *bytes, size_t count,
                            bool last);
/* Something was asked for outside of the loop: have machine_fd() show it. */
void machine_nudge(struct machine *machine);
/* There is something new to ask for. If it was a call about something else that
 * met it, machine_fd() shows it until machine_dispatch(). */
void machine_tell(struct machine *machine);
/* Put program_fd() right. */
void program_notify(struct program *program);
/* Send what program_signal() and program_resize() left. */
void program_send_requests(struct program *program);

#endif
