/* run.c: `supermachine run`: its options; launch.c does the work. */
#include "run.h"
#include "attached.h"
#include "env.h"
#include "labels.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

#define FIELD(name) offsetof(struct run_options, name)

const struct run_options run_defaults = {.memory_bytes = UINT64_MAX,
                                         .cpus = UINT32_MAX,
                                         .stop_signal = 15,
                                         .timeout_ms = UINT64_MAX,
                                         .lifetime_ms = UINT64_MAX,
                                         .ready_timeout_ms = UINT64_MAX,
                                         .stop_timeout_ms = 10000};

static const struct option run_option_table[] = {
    {"snapshot", 0, OPTION_STRING, FIELD(snapshot), "SNAPSHOT",
     "go on from this snapshot, in place of an image; without COMMAND, the "
     "one that was running goes on"},
    {"memory", 'm', OPTION_BYTES, FIELD(memory_bytes), "SIZE",
     "the machine's memory, 32m to 1t (default 512m)"},
    {"cpus", 0, OPTION_COUNT, FIELD(cpus), "N",
     "the machine's processors, 1 to 64 (default 1)"},
    {"env", 'e', OPTION_LIST, FIELD(env_given), "NAME=VALUE",
     "set a variable; NAME alone takes the caller's"},
    {"env-file", 0, OPTION_LIST, FIELD(env_files), "FILE",
     "set the variables of a file, one per line"},
    {"workdir", 'w', OPTION_STRING, FIELD(workdir), "PATH",
     "working directory, made when missing"},
    {"user", 'u', OPTION_STRING, FIELD(user), "USER[:GROUP]",
     "name or number, looked up in the image"},
    {"entrypoint", 0, OPTION_STRING, FIELD(entrypoint), "PROGRAM",
     "run this instead of the image's entrypoint"},
    {"publish", 'p', OPTION_STRING, FIELD(publish), "PORTS", NULL},
    {"volume", 'v', OPTION_STRING, FIELD(volume), "FOLDERS", NULL},
    {"network", 0, OPTION_STRING, FIELD(network), "NAME", NULL},
    {"hostname", 'h', OPTION_STRING, FIELD(hostname), "NAME",
     "host name in the machine"},
    {"timeout", 0, OPTION_TIME, FIELD(timeout_ms), "TIME",
     "kill the command, with all that it started, after this time: 10 or "
     "1m30s"},
    {"lifetime", 0, OPTION_TIME, FIELD(lifetime_ms), "TIME",
     "end the machine after this time, whatever it does"},
    {"ulimit", 0, OPTION_LIST, FIELD(ulimits), "NAME=SOFT[:HARD]",
     "a limit of each process, as nofile=1024:2048 or core=-1 (none)"},
    {"pids-limit", 0, OPTION_COUNT, FIELD(processes_max), "N",
     "processes and threads that all commands may have together"},
    {"detach", 'd', OPTION_FLAG, FIELD(detach), NULL,
     "leave it running and print its ID"},
    {"rm", 0, OPTION_FLAG, FIELD(remove), NULL,
     "forget the machine when it ends (as happens to one without -d and "
     "--name)"},
    {"name", 0, OPTION_STRING, FIELD(name), "NAME",
     "the machine's name; one is made up otherwise"},
    {"cidfile", 0, OPTION_STRING, FIELD(cidfile), "FILE",
     "write the machine's ID to this file, which must not be there"},
    {"init", 0, OPTION_FLAG, FIELD(init), NULL,
     "have orphans reaped by an init (done in any case)"},
    {"label", 'l', OPTION_LIST, FIELD(labels), "KEY=VALUE",
     "a word of yours that ps and inspect show"},
    {"stop-signal", 0, OPTION_SIGNAL, FIELD(stop_signal), "SIGNAL",
     "what `supermachine stop` sends (default TERM)"},
    {"stop-timeout", 0, OPTION_TIME, FIELD(stop_timeout_ms), "TIME",
     "how long `supermachine stop` waits before it kills (default 10)"},
    {"interactive", 'i', OPTION_FLAG, FIELD(interactive), NULL,
     "hand standard input on (done in any case without -d); with -d, keep it "
     "open for attach"},
    {"tty", 't', OPTION_FLAG, FIELD(tty), NULL,
     "give the command a terminal, also when this is none"},
    {"detach-keys", 0, OPTION_STRING, FIELD(detach_words), "KEYS",
     "what is typed on a terminal to leave the machine running, as "
     "ctrl-p,ctrl-q (the default)"},
    {"kernel", 0, OPTION_STRING, FIELD(kernel), "FILE",
     "another guest kernel: ELF vmlinux or bzImage"},
    {"kernel-args", 0, OPTION_STRING, FIELD(kernel_args), "WORDS",
     "words added to the kernel's command line"},
    IMAGE_OPTION_ROWS(run_options, image),
    {"pull", 0, OPTION_STRING, FIELD(pull), "missing|always",
     "when to ask the registry (default missing)"},
    {"json", 0, OPTION_FLAG, FIELD(image.json), NULL,
     "what is done for the image, as lines of JSON on standard error"},
    {"warm", 0, OPTION_FLAG, FIELD(warm), NULL,
     "go on from where such a command was ready before; the first one is kept "
     "when it is"},
    {"ready", 0, OPTION_STRING, FIELD(ready), "COMMAND",
     "with --warm: it is ready when this exits with 0, run by /bin/sh in the "
     "machine"},
    {"ready-timeout", 0, OPTION_TIME, FIELD(ready_timeout_ms), "TIME",
     "with --warm: one that is not ready by then is not kept (default 60)"},
    {"cold", 0, OPTION_FLAG, FIELD(cold), NULL,
     "boot the machine, instead of going on from a template"},
    {"cost", 0, OPTION_FLAG, FIELD(cost), NULL,
     "print what the start cost, as JSON, on standard error"},
    {"console", 0, OPTION_FLAG, FIELD(console), NULL,
     "print the guest kernel's log at the end, on standard error; implies "
     "--cold"},
};

enum { TIMEOUT_MAX_MS = 2000000000, MEMORY_STEP = 2 << 20 };

/* False: a word that is none. */
static bool choose_pull(struct run_options *options)
{
    options->image.refresh =
        options->pull && strcmp(options->pull, "always") == 0;
    return !options->pull || options->image.refresh ||
           strcmp(options->pull, "missing") == 0;
}

/* As the library says it, but before an image is pulled for nothing. */
static bool check_size(struct run_options *options)
{
    /* A snapshot brings both, and the library compares what is given. */
    if (options->snapshot && options->memory_bytes == UINT64_MAX)
        options->memory_bytes = 0;
    else if (options->memory_bytes == UINT64_MAX)
        options->memory_bytes = SM_MEMORY_DEFAULT;
    else if (options->memory_bytes == 0) {
        complain("run: --memory 0: at least 32m");
        return false;
    }
    if (options->cpus == UINT32_MAX)
        options->cpus = options->snapshot ? 0 : 1;
    else if (options->cpus == 0) {
        complain("run: --cpus 0: at least 1");
        return false;
    }
    if (options->memory_bytes == 0)
        return true;
    if (options->memory_bytes < SM_MEMORY_MIN ||
        options->memory_bytes > SM_MEMORY_MAX)
        complain("run: memory of %llu bytes: must be 32 MiB to 1024 GiB",
                 (unsigned long long)options->memory_bytes);
    else if (options->cpus > SM_VCPUS_MAX)
        complain("run: %u vcpus: must be 1 to %d", options->cpus, SM_VCPUS_MAX);
    else {
        options->memory_bytes = (options->memory_bytes + MEMORY_STEP - 1) /
                                MEMORY_STEP * MEMORY_STEP;
        return true;
    }
    return false;
}

/* UINT64_MAX: the option was not given. */
static bool check_time(const char *name, uint64_t ms)
{
    if (ms == UINT64_MAX || (ms > 0 && ms <= TIMEOUT_MAX_MS))
        return true;
    complain("run: --%s: more than nothing and at most %d seconds", name,
             TIMEOUT_MAX_MS / 1000);
    return false;
}

static bool check_warm(const struct run_options *options)
{
    if (options->warm && options->snapshot)
        complain("run: --warm finds its snapshot itself: not with --snapshot");
    else if (options->warm && (options->cold || options->console))
        complain("run: --warm goes on from a snapshot: not with --cold or "
                 "--console");
    else if (!options->warm &&
             (options->ready || options->ready_timeout_ms != UINT64_MAX))
        complain("run: --ready and --ready-timeout say what --warm waits for: "
                 "not without it");
    else
        return check_time("ready-timeout", options->ready_timeout_ms);
    return false;
}

/* What users of Docker try first, and is not there. */
static bool check_outside(const struct run_options *options)
{
    bool none = options->network && strcmp(options->network, "none") == 0;

    if (options->publish || (options->network && !none))
        complain("run: %s: machines have no network yet",
                 options->publish ? "-p" : "--network");
    else if (options->volume)
        complain("run: -v: machines share no folders yet: supermachine cp "
                 "carries files in and out");
    else
        return true;
    return false;
}

/* The rest of a command that goes on is as it was. */
static bool check_command(const struct run_options *options, bool goes_on)
{
    if (!goes_on || options->timeout_ms == UINT64_MAX)
        return check_time("timeout", options->timeout_ms);
    complain("run: --timeout: a snapshot's command goes on with its own: give "
             "a COMMAND, or see --lifetime");
    return false;
}

static int run_run(void *values, char **words)
{
    struct run_options *options = values;
    int status = EXIT_OURS;

    options->image.json_to = stderr;
    if (!words[0] && !options->snapshot)
        complain("run: which image? see supermachine run --help");
    else if (!check_size(options) || !check_command(options, !words[0]) ||
             !check_outside(options) ||
             !check_time("lifetime", options->lifetime_ms) ||
             !check_warm(options))
        ;
    else if (options->stop_timeout_ms > TIMEOUT_MAX_MS)
        complain("run: --stop-timeout: at most %d seconds",
                 TIMEOUT_MAX_MS / 1000);
    else if (!choose_pull(options))
        complain("run: --pull %s: must be missing or always", options->pull);
    else if (options->detach && (options->cost || options->console))
        complain("run: --cost and --console speak at the end: not with -d");
    else if (labels_check("run", &options->labels) &&
             attached_parse_keys("run", options->detach_words,
                                 &options->detach_keys) &&
             limits_parse(&options->ulimits, &options->limits) &&
             env_gather(&options->env, &options->env_files,
                        &options->env_given))
        status = run_image(options, words);
    env_done(&options->env);
    return status;
}

static const struct verb_example examples[] = {
    {"Run a command and take its exit status",
     "supermachine run alpine:3 uname -a"},
    {"Work in a shell", "supermachine run -m 2g --cpus 2 debian:12"},
    {"Filter a stream", "sort big | supermachine run alpine:3 uniq -c"},
    {"Leave a server running",
     "supermachine run -d --name cache redis:7 && supermachine logs -f cache"},
    {"Have a server that is slow to start at once, from the second time on",
     "supermachine run -d --warm -e POSTGRES_PASSWORD=secret postgres:16"},
};

const struct verb verb_run = {
    .name = "run",
    .usage = "[OPTIONS] IMAGE [COMMAND [ARG...]]",
    .summary = "Run a command of an image in a machine of its own",
    .details =
        "IMAGE is one of\n"
        "  NAME[:TAG][@DIGEST]        an image of a registry, as Docker names\n"
        "                             it; pulled unless it was before\n"
        "  ID                         one that was pulled or loaded before, "
        "by\n"
        "                             its ID or the beginning of it\n"
        "  oci:DIR[:TAG]              an OCI image layout\n"
        "  oci-archive:FILE[:TAG]     the same in a tar\n"
        "  docker-archive:FILE[:TAG]  what docker save writes\n"
        "  dir:DIR                    a root file system in a folder\n"
        "  -                          a tar on standard input: one of these\n"
        "                             archives, or a root file system\n\n"
        "If standard input and output are a terminal, the command gets one "
        "too. Then\nCtrl-P Ctrl-Q leaves the machine running, as if it had "
        "been started with -d, and\nattach comes back to it.\n\n"
        "With --snapshot there is no IMAGE: the machine goes on from where the "
        "snapshot\nwas made, with its memory and processors. Its command goes "
        "on, too, with these\nstreams, unless there is a COMMAND to run "
        "beside it.\n\n"
        "With --warm, a machine whose command is ready is kept as a snapshot, "
        "and whoever\nruns the same again, image, command and options, goes "
        "on from there. It is ready\nwhen --ready says so; else, if the "
        "image's "
        "own command runs, when its HEALTHCHECK\ndoes, or somebody listens on "
        "all TCP ports that it EXPOSEs; else when the machine\ndoes nothing "
        "for a moment. Before that it gets no input, and run -d does not "
        "return.\nWhat it wrote before is not written again. What it drew "
        "before, keys and seeds,\nis the same in every machine: see "
        "share/doc/supermachine/CLONES.md.\nWhat was kept is listed by "
        "supermachine snapshot ls as warm-..., and goes with\nprune.",
    .exit_status =
        "The exit status is the command's; 125 when supermachine itself "
        "failed,\n126 when the command cannot be executed, 127 when it is "
        "not found,\n128 + N when it was ended by signal N.",
    .examples = examples,
    .example_count = sizeof examples / sizeof examples[0],
    .group = VERB_MACHINES,
    .options = run_option_table,
    .option_count = sizeof run_option_table / sizeof run_option_table[0],
    .values_bytes = sizeof(struct run_options),
    .defaults = &run_defaults,
    .run = run_run,
};
