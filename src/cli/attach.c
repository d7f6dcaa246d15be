/* attach.c: `supermachine attach`: the streams of a detached machine's command,
 * as if it had been started here.
 *
 * How it works
 *   Bytes go through the machine's keeper (control.h, relay.h). One thread
 *   waits for our input, for the keeper, and for a pipe, on which the thread
 *   that takes our signals (forward.h) says what came. Nothing here waits to
 *   send: else a command that waits for its output to be read, and we for its
 *   input to be taken, would wait for ever.
 */
#include "forward.h"
#include "host.h"
#include "keys.h"
#include "relay.h"
#include "text.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 65536 };

struct attach_options {
    const char *detach_keys;
    const char *sig_proxy;
    bool no_stdin;
};

#define FIELD(name) offsetof(struct attach_options, name)

static const struct option attach_option_table[] = {
    {"detach-keys", 0, OPTION_STRING, FIELD(detach_keys), "KEYS",
     "what is typed to leave, as ctrl-p,ctrl-q (the default)"},
    {"no-stdin", 0, OPTION_FLAG, FIELD(no_stdin), NULL,
     "only look: hand nothing on"},
    {"sig-proxy", 0, OPTION_STRING, FIELD(sig_proxy), "true|false",
     "hand signals on to the command (default true)"},
};

/* What came to the thread that takes signals. */
struct notice {
    enum control_type type; /* SIGNAL, RESIZE; 0: give up */
    uint32_t first;
    uint32_t second;
};

struct attachment {
    const struct record *record;
    struct keys keys;
    struct control_reader reader;
    struct relay out;
    struct terminal terminal;
    struct forward forward;
    int keeper;
    int notices[2];
    bool has_terminal;
    bool has_forward;
    bool reads_input;
    bool detached;
};

/* ---------------------------------------------------- the other thread -- */

static void notify(struct attachment *attachment, enum control_type type,
                   uint32_t first, uint32_t second)
{
    const struct notice notice = {type, first, second};

    /* Smaller than PIPE_BUF. A full pipe says enough already. */
    if (write(attachment->notices[1], &notice, sizeof notice) < 0)
        errno = 0;
}

static void on_signal(void *context, int number)
{
    notify(context, CONTROL_SIGNAL, (uint32_t)number, 0);
}

static void on_resize(void *context, uint32_t rows, uint32_t columns)
{
    notify(context, CONTROL_RESIZE, rows, columns);
}

static void on_give_up(void *context)
{
    notify(context, (enum control_type)0, 0, 0);
}

static const struct forward_events forward_events = {
    .signal = on_signal,
    .resize = on_resize,
    .give_up = on_give_up,
};

/* --------------------------------------------------------- this thread -- */

static bool put_numbers(struct attachment *attachment, enum control_type type,
                        uint32_t first, uint32_t second)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%u%c%u", first, 0, second);

    return relay_put_message(&attachment->out, type, text, (size_t)length + 1);
}

/* False: it is over. */
static bool take_notice(struct attachment *attachment)
{
    struct notice notice;

    if (read(attachment->notices[0], &notice, sizeof notice) != sizeof notice)
        return true;
    return notice.type &&
           put_numbers(attachment, notice.type, notice.first, notice.second);
}

/* False: it is over. */
static bool take_input(struct attachment *attachment)
{
    char typed[CHUNK];
    char bytes[CHUNK + KEYS_MAX];
    size_t kept;
    ssize_t count = read(STDIN_FILENO, typed, sizeof typed);

    if (count <= 0) {
        /* Its stdin stays open, for the next one who attaches. */
        attachment->reads_input = count < 0 && errno == EINTR;
        return true;
    }
    if (!attachment->has_terminal)
        return relay_put_message(&attachment->out, CONTROL_INPUT, typed,
                                 (size_t)count);
    attachment->detached =
        keys_sift(&attachment->keys, typed, (size_t)count, bytes, &kept);
    if (kept &&
        !relay_put_message(&attachment->out, CONTROL_INPUT, bytes, kept))
        return false;
    return !attachment->detached;
}

static bool write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t some = write(fd, bytes, count);

        if (some < 0 && errno != EINTR)
            return false;
        if (some > 0) {
            bytes += some;
            count -= (size_t)some;
        }
    }
    return true;
}

/* 1: the answer that ends it is in the reader; 0: go on; SM_ECLOSED. */
static int take_output(struct attachment *attachment)
{
    struct control_reader *reader = &attachment->reader;
    int rc;

    while ((rc = control_read(reader, attachment->keeper, false)) == 1) {
        int to = reader->header.type == CONTROL_ERROR ? STDERR_FILENO
                                                      : STDOUT_FILENO;

        if (reader->header.type != CONTROL_OUTPUT &&
            reader->header.type != CONTROL_ERROR)
            return 1;
        if (!write_all(to, reader->payload, reader->header.length))
            return SM_ECLOSED;
        control_reader_done(reader);
    }
    return rc;
}

/* Until the command's end or ours. Returns as take_output(). */
static int carry(struct attachment *attachment)
{
    int rc = 0;

    while (rc == 0) {
        bool waits = relay_waits(&attachment->out);
        struct pollfd list[3] = {
            {.fd = attachment->keeper,
             .events = (short)(POLLIN | (waits ? POLLOUT : 0))},
            {.fd = attachment->notices[0], .events = POLLIN},
            {.fd = attachment->reads_input && !waits ? STDIN_FILENO : -1,
             .events = POLLIN},
        };

        if (poll(list, 3, -1) < 0 && errno != EINTR)
            return SM_EIO;
        if ((list[2].revents && !take_input(attachment)) ||
            (list[1].revents && !take_notice(attachment)))
            return SM_ECANCELED;
        if (list[0].revents)
            rc = take_output(attachment);
        if (rc == 0 && !relay_send(&attachment->out, attachment->keeper))
            rc = take_output(attachment) == 1 ? 1 : SM_ECLOSED;
    }
    return rc;
}

static int carry_with_terminal(struct attachment *attachment)
{
    uint32_t rows, columns;
    int rc;

    if (attachment->has_terminal && terminal_size(&rows, &columns))
        put_numbers(attachment, CONTROL_RESIZE, rows, columns);
    if (attachment->has_terminal)
        terminal_set(&attachment->terminal, TERMINAL_RAW);
    rc = carry(attachment);
    if (attachment->has_terminal)
        terminal_set(&attachment->terminal, TERMINAL_BEFORE);
    return rc;
}

/* The keeper's answer to CONTROL_ATTACH. */
static int ask(struct attachment *attachment, struct sm_error *err)
{
    struct control_message nothing = {0};
    int rc = control_send(attachment->keeper, CONTROL_ATTACH, &nothing, NULL);

    if (!rc)
        rc = control_read(&attachment->reader, attachment->keeper, true);
    if (rc == 1)
        rc = control_answer(&attachment->reader, NULL, err);
    else
        rc = text_fail(err, SM_ECLOSED, "the machine %s ended meanwhile",
                       attachment->record->name);
    control_reader_done(&attachment->reader);
    return rc;
}

static int begin(struct attachment *attachment, bool proxy,
                 struct sm_error *err)
{
    int rc = ask(attachment, err);

    if (rc)
        return rc;
    if (pipe(attachment->notices) != 0)
        return text_fail_os(err, "pipe");
    fcntl(attachment->notices[1], F_SETFL, O_NONBLOCK);
    fcntl(attachment->notices[0], F_SETFD, FD_CLOEXEC);
    fcntl(attachment->notices[1], F_SETFD, FD_CLOEXEC);
    attachment->forward = (struct forward){
        .events = &forward_events,
        .context = attachment,
        .terminal = attachment->has_terminal ? &attachment->terminal : NULL,
    };
    if (attachment->has_terminal)
        terminal_init(&attachment->terminal);
    if (!proxy && !attachment->has_terminal)
        return 0;
    attachment->has_forward = forward_start(&attachment->forward);
    return attachment->has_forward
               ? 0
               : text_fail(err, SM_ENOMEM, "no thread for signals");
}

/* Returns the exit status. */
static int attach(struct attachment *attachment, bool proxy)
{
    struct sm_exit_status status = {0};
    struct sm_error err;
    int rc = begin(attachment, proxy, &err);

    if (!rc) {
        rc = carry_with_terminal(attachment);
        if (rc == 1)
            rc = control_answer(&attachment->reader, &status, &err);
        else if (rc == SM_ECANCELED || attachment->detached)
            rc = 0;
        else
            text_fail(&err, rc, "the machine %s: its keeper is gone",
                      attachment->record->name);
    }
    if (attachment->has_forward)
        forward_stop(&attachment->forward);
    if (rc) {
        complain("attach: %s", err.message);
        return EXIT_OURS;
    }
    if (attachment->detached)
        fprintf(stderr, "detached from %s\n", attachment->record->name);
    if (status.out_of_memory)
        complain("attach: killed: out of memory in the machine");
    return attachment->detached ? 0 : sm_exit_code(&status);
}

static int attach_to(const struct attach_options *options, const char *name)
{
    struct attachment attachment = {.keeper = -1, .notices = {-1, -1}};
    struct record record = {.folder = -1, .lock = -1};
    struct sm_error err;
    char home[HOME_MAX];
    int status = EXIT_OURS;
    int rc;

    if (!keys_parse(options->detach_keys ? options->detach_keys
                                         : "ctrl-p,ctrl-q",
                    &attachment.keys)) {
        complain(
            "attach: --detach-keys %s: letters and ctrl-LETTER with commas "
            "between, at most %d",
            options->detach_keys, KEYS_MAX);
        return EXIT_OURS;
    }
    control_reader_init(&attachment.reader);
    rc = cli_home(home, &err);
    if (!rc)
        rc = record_find(home, name, &record, &err);
    if (!rc)
        rc = attachment.keeper = control_connect(&record, &err);
    if (rc < 0) {
        complain("attach: %s", err.message);
    } else {
        attachment.record = &record;
        attachment.reads_input = record.open_stdin && !options->no_stdin;
        attachment.has_terminal = record.tty && terminal_is_here();
        status =
            attach(&attachment, !options->sig_proxy ||
                                    strcmp(options->sig_proxy, "true") == 0);
        close(attachment.keeper);
    }
    for (int i = 0; i < 2; i++)
        if (attachment.notices[i] >= 0)
            close(attachment.notices[i]);
    control_reader_done(&attachment.reader);
    relay_done(&attachment.out);
    record_done(&record);
    return status;
}

static int run_attach(int count, char **arguments)
{
    struct attach_options options = {0};
    char **rest;

    (void)count;
    switch (options_parse(&verb_attach, arguments, &options, &rest)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_WRONG:
        return EXIT_OURS;
    case OPTIONS_OK:
        break;
    }
    if (!rest[0] || rest[1])
        complain("attach: one machine, no more and no less");
    else if (options.sig_proxy && strcmp(options.sig_proxy, "true") != 0 &&
             strcmp(options.sig_proxy, "false") != 0)
        complain("attach: --sig-proxy %s: must be true or false",
                 options.sig_proxy);
    else
        return attach_to(&options, rest[0]);
    return EXIT_OURS;
}

const struct verb verb_attach = {
    .name = "attach",
    .usage = "[OPTIONS] MACHINE",
    .summary = "Look at a detached machine's command, and talk to it",
    .details =
        "Shows what the command writes from now on (logs shows what it wrote\n"
        "before) and, if it was started with run -d -i, hands on what comes "
        "here.\nWith run -d -i -t and a terminal here, Ctrl-P Ctrl-Q leaves; "
        "the machine goes on.\nThe end of standard input does not end the "
        "command's.",
    .exit_status = "The command's, as for run; 0 when it was left.",
    .options = attach_option_table,
    .option_count = sizeof attach_option_table / sizeof attach_option_table[0],
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .run = run_attach,
};
