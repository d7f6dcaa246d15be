/* attached.c: this end of a machine's command; see attached.h. */
#include "attached.h"

#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { CHUNK = 65536 };

/* What came to the thread that takes signals. */
struct notice {
    enum control_type type; /* SIGNAL, RESIZE; 0: give up */
    uint32_t first;
    uint32_t second;
};

/* ---------------------------------------------------- the other thread -- */

static void notify(struct attached *attached, enum control_type type,
                   uint32_t first, uint32_t second)
{
    const struct notice notice = {type, first, second};

    /* Smaller than PIPE_BUF. A full pipe says enough already. */
    if (write(attached->notices[1], &notice, sizeof notice) < 0)
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

static bool put_numbers(struct attached *attached, enum control_type type,
                        uint32_t first, uint32_t second)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%u%c%u", first, 0, second);

    return relay_put_message(&attached->out, type, text, (size_t)length + 1);
}

/* False: it is over. */
static bool take_notice(struct attached *attached)
{
    struct notice notice;

    if (read(attached->notices[0], &notice, sizeof notice) != sizeof notice)
        return true;
    return notice.type &&
           put_numbers(attached, notice.type, notice.first, notice.second);
}

/* False: it is over. */
static bool take_input(struct attached *attached)
{
    char typed[CHUNK];
    char bytes[CHUNK + KEYS_MAX];
    size_t kept;
    ssize_t count = read(STDIN_FILENO, typed, sizeof typed);

    if (count <= 0) {
        /* Its stdin stays open, for the next one who attaches. */
        attached->reads_input = count < 0 && errno == EINTR;
        return true;
    }
    if (!attached->has_terminal)
        return relay_put_message(&attached->out, CONTROL_INPUT, typed,
                                 (size_t)count);
    attached->leaving =
        keys_sift(&attached->keys, typed, (size_t)count, bytes, &kept);
    return (!kept ||
            relay_put_message(&attached->out, CONTROL_INPUT, bytes, kept)) &&
           (!attached->leaving ||
            relay_put_message(&attached->out, CONTROL_DETACH, NULL, 0));
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

/* From now on the terminal and its size are the command's. */
static bool hand_over_terminal(struct attached *attached)
{
    uint32_t rows, columns;

    if (!attached->has_terminal)
        return true;
    terminal_set(&attached->terminal, TERMINAL_RAW);
    return !terminal_size(&rows, &columns) ||
           put_numbers(attached, CONTROL_RESIZE, rows, columns);
}

/* CONTROL_DONE: the machine runs. */
static int come_up(struct attached *attached)
{
    const char *name = control_next(&attached->reader, NULL);

    snprintf(attached->name, sizeof attached->name, "%s", name ? name : "");
    attached->is_up = true;
    return hand_over_terminal(attached) ? 0 : SM_ENOMEM;
}

/* 1: the answer that ends it is in the reader; 0: go on; SM_ECLOSED. */
static int take_output(struct attached *attached)
{
    struct control_reader *reader = &attached->reader;
    int rc;

    while ((rc = control_read(reader, attached->keeper, false)) == 1) {
        enum control_type type = (enum control_type)reader->header.type;
        int to = type == CONTROL_ERROR ? STDERR_FILENO : STDOUT_FILENO;

        if (type == CONTROL_DONE && !attached->is_up)
            rc = come_up(attached);
        else if (type != CONTROL_OUTPUT && type != CONTROL_ERROR)
            return 1;
        else if (!write_all(to, reader->payload, reader->header.length))
            rc = SM_ECLOSED;
        control_reader_done(reader);
        if (rc < 0)
            return rc;
    }
    return rc;
}

int attached_carry(struct attached *attached)
{
    int rc = 0;

    if (attached->is_up && !hand_over_terminal(attached))
        return SM_ENOMEM;
    while (rc == 0) {
        bool waits = relay_waits(&attached->out);
        bool listens = attached->is_up && attached->reads_input && !waits;
        struct pollfd list[3] = {
            {.fd = attached->keeper,
             .events = (short)(POLLIN | (waits ? POLLOUT : 0))},
            {.fd = attached->notices[0], .events = POLLIN},
            {.fd = listens ? STDIN_FILENO : -1, .events = POLLIN},
        };

        if (poll(list, 3, -1) < 0) {
            if (errno == EINTR)
                continue;
            return SM_EIO;
        }
        if ((list[2].revents && !take_input(attached)) ||
            (list[1].revents && !take_notice(attached)))
            return SM_ECANCELED;
        if (list[0].revents)
            rc = take_output(attached);
        if (rc == 0 && !relay_send(&attached->out, attached->keeper))
            rc = take_output(attached) == 1 ? 1 : SM_ECLOSED;
        attached->left = attached->leaving && !relay_waits(&attached->out);
        if (rc == 0 && attached->left)
            return SM_ECANCELED;
    }
    return rc;
}

/* ------------------------------------------------------------ its life -- */

void attached_init(struct attached *attached)
{
    *attached = (struct attached){.keeper = -1, .notices = {-1, -1}};
    control_reader_init(&attached->reader);
}

int attached_begin(struct attached *attached, struct sm_error *err)
{
    if (pipe(attached->notices) != 0)
        return text_fail_os(err, "pipe");
    fcntl(attached->notices[1], F_SETFL, O_NONBLOCK);
    fcntl(attached->notices[0], F_SETFD, FD_CLOEXEC);
    fcntl(attached->notices[1], F_SETFD, FD_CLOEXEC);
    attached->forward = (struct forward){
        .events = &forward_events,
        .context = attached,
        .terminal = attached->has_terminal ? &attached->terminal : NULL,
    };
    if (attached->has_terminal)
        terminal_init(&attached->terminal);
    if (!attached->takes_signals && !attached->has_terminal)
        return 0;
    attached->has_forward = forward_start(&attached->forward);
    if (!attached->has_forward)
        return text_fail(err, SM_ENOMEM, "no thread for signals");
    if (attached->has_terminal)
        terminal_set(&attached->terminal, TERMINAL_WAITING);
    return 0;
}

void attached_done(struct attached *attached)
{
    if (attached->has_terminal && attached->has_forward)
        terminal_set(&attached->terminal, TERMINAL_BEFORE);
    if (attached->has_forward)
        forward_stop(&attached->forward);
    attached->has_forward = false;
    for (int i = 0; i < 2; i++) {
        if (attached->notices[i] >= 0)
            close(attached->notices[i]);
        attached->notices[i] = -1;
    }
    control_reader_done(&attached->reader);
    relay_done(&attached->out);
}

bool attached_parse_keys(const char *verb, const char *text, struct keys *ret)
{
    if (keys_parse(text ? text : "ctrl-p,ctrl-q", ret))
        return true;
    complain("%s: --detach-keys %s: letters and ctrl-LETTER with commas "
             "between, at most %d",
             verb, text, KEYS_MAX);
    return false;
}
