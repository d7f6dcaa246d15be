/* record.h: what is known of a machine of this program: one folder each.
 *
 * How it works
 *   HOME/machines/ID/ holds
 *     machine   what it is and how it stands: "key=value" lines, in which
 *               backslash and line feed are escaped; replaced by rename
 *     lock      flock()ed by the keeper (keeper.h) for as long as it lives
 *     control   the keeper's socket (control.h)
 *     log       what its command wrote (journal.h)
 *   HOME/machines/names/NAME is a symbolic link to the ID: the link is the
 *   claim, so a name is given once.
 *
 *   There is no daemon. A keeper that died, by whatever means, has let go of
 *   its lock, and the hypervisor's process ended with it: whoever looks next
 *   sees a machine that says "running" without a keeper, and calls it dead.
 *   Nothing has to be cleaned up by hand. A folder is made under a name that
 *   nobody lists and renamed once it is whole.
 *
 * Errors
 *   SM_E* codes with a message, as the library's.
 */
#ifndef SM_CLI_RECORD_H
#define SM_CLI_RECORD_H

#include "options.h"

#include <supermachine.h>

enum { RECORD_ID_DIGITS = 64, RECORD_ID_SHOWN = 12, RECORD_NAME_MAX = 128 };

enum record_state {
    RECORD_CREATED, /* made, not started            */
    RECORD_RUNNING,
    RECORD_PAUSED,
    RECORD_EXITED, /* its command ended            */
    RECORD_DEAD    /* its keeper died before that  */
};

struct record {
    char *home;
    char id[RECORD_ID_DIGITS + 1];
    char name[RECORD_NAME_MAX + 1];
    char *image;
    char *command; /* as a user would type it */
    char *error;   /* why it failed, "" otherwise */
    char *labels;  /* "KEY=VALUE" lines */
    enum record_state state;
    int64_t created_ns; /* since 1970, UTC; 0: not yet */
    int64_t started_ns;
    int64_t finished_ns;
    uint64_t memory_bytes;
    uint32_t cpus;
    uint32_t pid; /* the keeper's */
    uint32_t exit_code;
    uint32_t stop_signal;
    bool detached;
    bool remove; /* --rm */
    bool logged;
    bool oom_killed; /* the guest killed a process for want of memory */
    bool tty;        /* the command has a terminal */
    bool open_stdin; /* and a stdin, for those who attach */
    uint32_t stop_timeout_ms;
    char
        *config; /* sm_machine_inspect(): what it was started with, "" before */
    int folder;  /* open descriptor of the folder */
    int lock;    /* ours if 0 or more */
};

/*
 * A machine of the given (name), NULL: one is made up, whose lock is ours.
 * Every other field is for the caller to set, then record_save().
 * Returns 0, SM_EINVAL (not a name), SM_EEXIST (taken), SM_ENOSPC, SM_EACCES,
 * SM_EIO, SM_ENOMEM.
 */
int record_create(const char *home, const char *name, struct record *ret,
                  struct sm_error *err);
int record_save(struct record *record, struct sm_error *err);
/* SM_EEXIST, SM_EINVAL. The record is saved. */
int record_rename(struct record *record, const char *name,
                  struct sm_error *err);
/* Folder and name. The record is for record_done() only. */
void record_remove(struct record *record);

/* The machine that (word) names: its name, its ID, or the beginning of an ID
 * that no other has. SM_ENOENT suggests a near name. */
int record_find(const char *home, const char *word, struct record *ret,
                struct sm_error *err);
/* The folder "HOME/machines", made when missing. SM_EACCES, SM_ENOSPC, SM_EIO.
 */
int record_prepare(const char *home, struct sm_error *err);
/* All machines, newest first; free with record_list_done(). */
int record_list(const char *home, struct record **ret, size_t *count,
                struct sm_error *err);
void record_list_done(struct record *list, size_t count);

/* Replace *field, which is NULL or was allocated. False: out of memory. */
bool record_set(char **field, const char *value);
/* "created", "running", ... */
const char *record_state_name(enum record_state state);
bool record_is_live(const struct record *record);
int64_t record_now_ns(void);
/* Frees, closes, lets go of the lock. */
void record_done(struct record *record);

#endif
