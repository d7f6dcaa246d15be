/* keeper_inside.h: what keeper.c and serve.c share. */
#ifndef SM_CLI_KEEPER_INSIDE_H
#define SM_CLI_KEEPER_INSIDE_H

#include "control.h"
#include "keeper.h"
#include "ready.h"
#include "relay.h"

enum { KEEPER_CHUNK = 65536 };

struct client {
    struct client *next;
    int fd; /* -1: it has gone, and its command lives on */
    struct control_reader reader;
    struct control_reader streams; /* keeps a command's descriptors open */
    struct sm_exec *exec;          /* NULL: none yet */
    bool lets_go;                  /* of its command once that has started */
    bool told;                     /* that it has */
    bool waits;                    /* for the machine's command to end */
    bool follows;                  /* the journal */
    bool attached;                 /* to the machine's command */
    bool owns;                     /* the machine ends with it */
    char *snapshot;                /* that it waits for to begin, or NULL */
    uint32_t snapshot_flags;
    struct relay out; /* of the command, to an attached one */
    struct relay in;  /* to the command */
    bool gone;
};

/* A snapshot that is being made. */
struct capture {
    bool active;
    bool warm;             /* the command's, once it is ready    */
    bool warm_waits;       /* it is, and this is the next        */
    struct client *client; /* who wants to hear of it; NULL: none */
    char *name;
    uint32_t flags;
};

/* What keeper_run() works on. */
struct service {
    struct keeper *keeper;
    int listener;
    struct client *clients;
    size_t client_count;
    int64_t kill_at_ms;  /* on the monotonic clock; 0: no stop under way */
    int64_t leave_at_ms; /* the end does not wait for readers any longer */
    bool killed;         /* that time came, or somebody wanted it at once */
    bool holds;          /* input, until the command is ready and kept */
    struct ready ready;
    struct capture capture;
    struct relay input; /* of keeper.input, to the command */
    bool ended;
    int rc;
    struct sm_exit_status status;
    struct sm_error err;
};

int64_t keeper_now_ms(void);

/* serve.c: do what a client asks for with the message in its reader. */
void serve_message(struct service *service, struct client *client);
void serve_send(struct client *client, enum control_type type,
                struct control_message *message);
/* Tell it how its command, or the machine's, ended. */
void serve_ended(struct client *client, const struct sm_exit_status *status);
void serve_failed(struct client *client, int rc, const struct sm_error *err);
/* The command takes bytes again, or somebody has sent some. */
void serve_input(struct service *service, struct relay *in);

/* keeper_snapshot.c: (client) wants one, "" for one without a name. */
void capture_ask(struct service *service, struct client *client,
                 const char *name, const char *flags);
/* The machine has been turned: get on with those that are wanted. */
void capture_look(struct service *service);
/* (client) does not want to hear of any. */
void capture_forget(struct service *service, struct client *client);

/* keeper_warm.c: a command that is to be kept. Nothing of it does anything
 * where none is. */
void warming_begin(struct service *service);
/* The machine has been dispatched, and its command runs. */
void warming_look(struct service *service);
/* The snapshot of it is made, or, as (rc) and (err) say, is not. */
void warming_settled(struct service *service, int rc,
                     const struct sm_error *err);
/* It will not be kept, because (why), unless that has begun. */
void warming_give_up(struct service *service, const char *why);
/* There is something on keeper.input, or its end. */
void warming_take_input(struct service *service);

#endif
