/* run.h: what `supermachine run` was asked for, and the doing of it. */
#ifndef SM_CLI_RUN_H
#define SM_CLI_RUN_H

#include "image.h"
#include "keys.h"
#include "options.h"
#include "rlimits.h"

#include <sys/types.h>

struct run_options {
    uint64_t memory_bytes; /* 0: none was given */
    uint32_t cpus;         /* 0: likewise       */
    const char *snapshot;  /* it goes on from this; NULL: an image */
    struct option_list env_given;
    struct option_list env_files;
    struct option_list env; /* both together, whole */
    struct option_list labels;
    const char *name;
    const char *cidfile;
    uint32_t stop_signal;
    bool detach;
    bool remove;
    uint64_t timeout_ms;      /* UINT64_MAX: none was given */
    uint64_t lifetime_ms;     /* likewise */
    uint64_t stop_timeout_ms; /* of `supermachine stop` */
    struct option_list ulimits;
    struct limits limits; /* these, understood */
    uint32_t processes_max;
    const char *workdir;
    const char *user;
    const char *entrypoint;
    const char *hostname;
    /* There is no such thing; network: but "none". */
    const char *publish;
    const char *volume;
    const char *network;
    const char *kernel;
    const char *kernel_args;
    bool interactive; /* without -d stdin is always handed on */
    bool tty;
    const char *detach_words;
    struct keys detach_keys; /* these, understood */
    struct image_options image;
    const char *pull;
    bool cost;
    bool console;
    bool cold;
    bool warm;                 /* goes on where such a program was ready    */
    const char *ready;         /* a command that says so                    */
    uint64_t ready_timeout_ms; /* UINT64_MAX: none was given                */
    bool init;                 /* as Docker has it: there always is one */
};

/* What it is when nothing was asked for; UINT64_MAX of memory and UINT32_MAX
 * processors say that. */
extern const struct run_options run_defaults;

/* Image, machine, command, in the foreground or, with -d, by a child that stays
 * behind. (words) are the image and the command; of a snapshot the command
 * alone, and without it the one that was running goes on. Returns the exit
 * status. */
int run_image(const struct run_options *options, char **words);

/* The two halves of it with -d, for those who want several machines at once. */
struct run_begun {
    pid_t keeper;
    int news;
    const struct run_begun *before;
};

/* A child makes the machine and stays behind. (before): the last one that was
 * begun and nobody has waited for; NULL: none. False, and said on standard
 * error: there is none. What (options) and (words) point to may go. */
bool run_begin(const struct run_options *options, char **words,
               const struct run_begun *before, struct run_begun *ret);

/* Once for each that was begun: waits until its machine is up and prints the
 * ID, or until the child has said why not. Returns the exit status. */
int run_await(const struct run_begun *begun);

#endif
