/* bed-host.c - the host's side of a test bed: options, and who does what.
 *
 * tools/with-kvm calls it:
 *   bed-host --once       [OPTIONS] --qemu N ARG... -- COMMAND [ARG ...]
 *   bed-host --start NAME [OPTIONS] --qemu N ARG...
 *   bed-host --in NAME    [OPTIONS] -- COMMAND [ARG ...]
 *   bed-host --stop NAME
 * A kept bed listens on an abstract unix socket, which leaves no file behind
 * and which only its owner and root may talk to.
 */
#include "bed.h"
#include "mux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIVE_MAX 16

extern char **environ;

enum action { NOTHING, ONCE, START, IN, STOP };

struct settings {
    enum action action;
    const char *name;
    int timeout_seconds;
    const char *live[LIVE_MAX];
    uint32_t live_count;
    char **command;
    struct bed_options bed;
};

static void die(const char *what)
{
    fprintf(stderr, "with-kvm: %s\n", what);
    exit(BED_FAILED);
}

static void die_errno(const char *what)
{
    fprintf(stderr, "with-kvm: %s: %s\n", what, strerror(errno));
    exit(BED_FAILED);
}

static int parse_number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < 0 || value > 100000000)
        die("not a number of seconds");
    return (int)value;
}

/* Moves N words of argv, from *at, to where they end with a NULL. */
static char **take_words(char **argv, int *at, int argc)
{
    int words = parse_number(argv[(*at)++]);
    char **list = calloc((size_t)words + 1, sizeof(*list));

    if (list == NULL || words > argc - *at)
        die("--qemu has too few words");
    memcpy(list, argv + *at, (size_t)words * sizeof(*list));
    *at += words;
    return list;
}

/* The options with a value. at is that of the value, and moves on. */
static void parse_valued(struct settings *settings, const char *option,
                         char **argv, int *at, int argc)
{
    const char *value = argv[*at];

    if (strcmp(option, "--qemu") == 0) {
        settings->bed.qemu = take_words(argv, at, argc);
        return;
    }
    (*at)++;
    if (strcmp(option, "--timeout") == 0)
        settings->timeout_seconds = parse_number(value);
    else if (strcmp(option, "--idle") == 0)
        settings->bed.idle_seconds = parse_number(value);
    else if (strcmp(option, "--start-limit") == 0)
        settings->bed.start_seconds = parse_number(value);
    else if (strcmp(option, "--disk") == 0)
        settings->bed.disk = value;
    else if (strcmp(option, "--modules") == 0)
        settings->bed.modules = value;
    else if (strcmp(option, "--out") == 0 &&
             settings->bed.out_count < BED_OUT_MAX)
        settings->bed.out[settings->bed.out_count++] = value;
    else if (strcmp(option, "--live") == 0 && settings->live_count < LIVE_MAX)
        settings->live[settings->live_count++] = value;
    else
        die(option);
}

static void parse(struct settings *settings, int argc, char **argv)
{
    static const struct {
        const char *option;
        enum action action;
    } actions[] = {
        {"--start", START},
        {"--in", IN},
        {"--stop", STOP},
    };
    int at = 1;

    while (at < argc) {
        const char *option = argv[at++];

        if (strcmp(option, "--") == 0) {
            settings->command = argv + at;
            return;
        }
        if (strcmp(option, "--once") == 0) {
            settings->action = ONCE;
            continue;
        }
        if (at == argc)
            die(option);
        size_t i = 0;

        while (i < 3 && strcmp(option, actions[i].option) != 0)
            i++;
        if (i < 3) {
            settings->action = actions[i].action;
            settings->name = argv[at++];
        } else {
            parse_valued(settings, option, argv, &at, argc);
        }
    }
}

static void put_string(struct mux_buffer *buffer, const char *text)
{
    buffer_put(buffer, text, strlen(text) + 1);
}

/* struct bed_request and its strings. */
static struct mux_buffer make_request(const struct settings *settings)
{
    struct bed_request head = {.live = settings->live_count};
    struct mux_buffer buffer = {0};
    char *folder = getcwd(NULL, 0);

    if (folder == NULL)
        die_errno("working directory");
    if (settings->command == NULL || settings->command[0] == NULL)
        die("no command");
    while (settings->command[head.arguments] != NULL)
        head.arguments++;
    while (environ[head.environment] != NULL)
        head.environment++;
    buffer_put(&buffer, &head, sizeof(head));
    put_string(&buffer, folder);
    for (uint32_t i = 0; i < head.live; i++)
        put_string(&buffer, settings->live[i]);
    for (uint32_t i = 0; i < head.arguments; i++)
        put_string(&buffer, settings->command[i]);
    for (uint32_t i = 0; i < head.environment; i++)
        put_string(&buffer, environ[i]);
    free(folder);
    if (buffer.end > MUX_PAYLOAD_MAX)
        die("the command and the environment are too long");
    return buffer;
}

static struct sockaddr_un bed_address(const char *name, socklen_t *length)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
                     "supermachine-testbed-%u-%s", (unsigned)geteuid(), name);

    if (n < 0 || (size_t)n >= sizeof(address.sun_path) - 1)
        die("the test bed's name is too long");
    *length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    return address;
}

/* Returns a socket, or -1 where no such bed is. */
static int connect_bed(const char *name)
{
    socklen_t length;
    struct sockaddr_un address = bed_address(name, &length);
    struct ucred peer;
    socklen_t size = sizeof(peer);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die_errno("socket");
    if (connect(fd, (struct sockaddr *)&address, length) < 0) {
        close(fd);
        return -1;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
        (peer.uid != geteuid() && peer.uid != 0))
        die("somebody else's test bed has that name");
    return fd;
}

/* Leaves the caller's session, descriptors and directory. */
static void detach(const int *keep, int keep_count)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int top = 3;

    setsid();
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    for (int i = 0; i < keep_count; i++) {
        /* In ascending order, so that closing the gaps is enough. */
        if (keep[i] > top)
            syscall(SYS_close_range, top, keep[i] - 1, 0);
        top = keep[i] + 1;
    }
    syscall(SYS_close_range, top, ~0u, 0);
}

static int run_once(const struct settings *settings)
{
    struct mux_buffer request = make_request(settings);
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        die_errno("socketpair");
    pid_t pid = fork();

    if (pid < 0)
        die_errno("fork");
    if (pid == 0) {
        detach(&ends[1], 1);
        _exit(bed_daemon(&settings->bed, ends[1], -1, -1));
    }
    close(ends[1]);
    int status = bed_client(ends[0], request.data, request.end,
                            settings->timeout_seconds);

    /* The bed is to be gone, with all of its memory, when we are. */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static int start_bed(const struct settings *settings)
{
    socklen_t length;
    struct sockaddr_un address = bed_address(settings->name, &length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int ready[2];
    char text[16 << 10];
    size_t got = 0;

    if (fd < 0 || pipe2(ready, O_CLOEXEC) < 0)
        die_errno("socket");
    if (bind(fd, (struct sockaddr *)&address, length) < 0 ||
        listen(fd, 64) < 0) {
        if (errno == EADDRINUSE)
            die("a test bed of that name is there already");
        die_errno("bind");
    }
    pid_t pid = fork();

    if (pid < 0)
        die_errno("fork");
    if (pid == 0) {
        int keep[2] = {fd, ready[1]};

        detach(keep, 2);
        if (chdir("/") < 0)
            _exit(BED_FAILED);
        _exit(bed_daemon(&settings->bed, -1, fd, ready[1]));
    }
    close(ready[1]);
    for (;;) {
        ssize_t n = read(ready[0], text + got, sizeof(text) - 1 - got);

        if (n <= 0 && errno != EINTR)
            break;
        if (n > 0)
            got += (size_t)n;
        if (n == 0)
            break;
    }
    text[got] = '\0';
    if (strcmp(text, "ok") == 0)
        return 0;
    fprintf(stderr, "with-kvm: %s\n", text);
    return BED_FAILED;
}

static int run_in(const struct settings *settings)
{
    struct mux_buffer request = make_request(settings);
    int fd = connect_bed(settings->name);

    if (fd < 0) {
        fprintf(stderr,
                "with-kvm: no test bed is called %s: start it with "
                "--start %s\n",
                settings->name, settings->name);
        return BED_FAILED;
    }
    return bed_client(fd, request.data, request.end, settings->timeout_seconds);
}

static int stop_bed(const struct settings *settings)
{
    int fd = connect_bed(settings->name);

    if (fd < 0) {
        fprintf(stderr, "with-kvm: no test bed is called %s\n", settings->name);
        return 0;
    }
    return bed_client_stop(fd);
}

int main(int argc, char **argv)
{
    static struct settings settings = {
        .bed = {.modules = "", .start_seconds = 120, .idle_seconds = 900},
    };

    /* Descriptors 0 to 2 exist from here on, whatever the caller left out. */
    int fd = open("/dev/null", O_RDWR);

    while (fd >= 0 && fd < 3)
        fd = open("/dev/null", O_RDWR);
    close(fd);
    parse(&settings, argc, argv);
    if ((settings.action == ONCE || settings.action == START) &&
        settings.bed.qemu == NULL)
        die("--qemu is missing");
    switch (settings.action) {
    case ONCE:
        return run_once(&settings);
    case START:
        return start_bed(&settings);
    case IN:
        return run_in(&settings);
    case STOP:
        return stop_bed(&settings);
    case NOTHING:
        break;
    }
    die("nothing to do");
}
