/* attached.h: this end of a machine's command: what is typed, what it writes,
 * signals, and the terminal.
 *
 * How it works
 *   Bytes go through the machine's keeper (control.h, relay.h). One thread
 *   waits for our input, for the keeper, and for a pipe, on which the thread
 *   that takes our signals (forward.h) says what came. Nothing here waits to
 *   send: else a command that waits for its output to be read, and we for its
 *   input to be taken, would wait for ever.
 *
 *   The keys that leave are looked for only on a terminal. What was typed
 *   before them still goes to the command, and behind it CONTROL_DETACH.
 */
#ifndef SM_CLI_ATTACHED_H
#define SM_CLI_ATTACHED_H

#include "forward.h"
#include "keys.h"
#include "relay.h"

struct attached {
    /* The caller's to set, after attached_init(). */
    int keeper; /* the connection to it, a blocking socket */
    struct keys keys;
    bool has_terminal;
    bool reads_input;
    bool takes_signals;
    bool is_up; /* false: CONTROL_DONE, with the machine's name, is to come */
    char name[RECORD_NAME_MAX + 1];
    /* Afterwards. */
    bool left; /* the keys were typed, and the keeper knows */
    struct control_reader reader;
    /* For attached.c. */
    bool leaving; /* the keys were typed */
    struct relay out;
    struct terminal terminal;
    struct forward forward;
    bool has_forward;
    int notices[2];
};

void attached_init(struct attached *attached);
/*
 * Take the signals and the terminal, which neither shows nor edits what is
 * typed from now on (terminal.h).
 * Returns 0, SM_ENOMEM, SM_ELIMIT.
 */
int attached_begin(struct attached *attached, struct sm_error *err);
/*
 * Carry bytes until the command's end or ours. Returns 1: the answer that ended
 * it is in the reader; SM_ECANCELED: the keys, or three SIGINT; SM_ECLOSED: the
 * keeper is gone, or nobody reads what we write; SM_EIO.
 */
int attached_carry(struct attached *attached);
/* Give back what attached_begin() took. The connection stays open. */
void attached_done(struct attached *attached);

/* "ctrl-p,ctrl-q" where (text) is NULL. False: said on behalf of (verb). */
bool attached_parse_keys(const char *verb, const char *text, struct keys *ret);

#endif
