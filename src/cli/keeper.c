/* keeper.c: holds a machine and answers those who ask; see keeper.h. */
#include "keeper.h"

#include "control.h"
#include "keeper_files.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MAX = 1024, CHUNK = 65536, STOP_DEFAULT_S = 10 };

struct client {
    struct client *next;
    int fd;
    struct control_reader reader;
    struct control_reader streams; /* keeps a command's descriptors open */
    struct sm_exec *exec;          /* NULL: none yet */
    bool waits;                    /* for the machine's command to end */
    bool follows;                  /* the journal */
    bool gone;
};

/* What keeper_run() works on. */
struct service {
    struct keeper *keeper;
    int listener;
    struct client *clients;
    size_t client_count;
    int64_t kill_at_ms; /* on the monotonic clock; 0: no stop under way */
    bool killed;        /* that time came, or somebody wanted it at once */
    bool ended;
    int rc;
    struct sm_exit_status status;
    struct sm_error err;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------- answers -- */

static void send_to(struct client *client, enum control_type type,
                    struct control_message *message)
{
    if (control_send(client->fd, type, message, NULL) != 0)
        client->gone = true;
}

static void answer_ended(struct client *client,
                         const struct sm_exit_status *status)
{
    struct control_message message = {0};

    control_put(&message, "%d", status->exited != 0);
    control_put(&message, "%d", status->exited ? status->code : status->signal);
    send_to(client, CONTROL_ENDED, &message);
}

static void answer(struct client *client, int rc, const struct sm_error *err)
{
    struct control_message message = {0};

    if (rc) {
        control_put(&message, "%d", rc);
        control_put(&message, "%s", err->message);
    }
    send_to(client, rc ? CONTROL_FAILED : CONTROL_DONE, &message);
}

/* ------------------------------------------------------------ requests -- */

/* What a CONTROL_EXEC says, for sm_exec_new(). */
struct exec_request {
    struct sm_exec_config config;
    struct option_list argv;
    struct option_list env;
};

static bool read_exec(const struct control_reader *reader,
                      struct exec_request *request)
{
    struct sm_exec_config *config = &request->config;
    bool fine = true;

    for (const char *at = control_next(reader, NULL); fine && at;
         at = control_next(reader, at)) {
        const char *value = strchr(at, '=');

        if (!value)
            return false;
        value++;
        if (strncmp(at, "arg=", 4) == 0)
            fine = option_list_add(&request->argv, value);
        else if (strncmp(at, "env=", 4) == 0)
            fine = option_list_add(&request->env, value);
        else if (strncmp(at, "workdir=", 8) == 0)
            config->workdir = value;
        else if (strncmp(at, "user=", 5) == 0)
            config->user = value;
        else if (strncmp(at, "tty=", 4) == 0)
            config->tty = *value == '1';
        else if (strncmp(at, "rows=", 5) == 0)
            config->rows = (uint32_t)strtoul(value, NULL, 10);
        else if (strncmp(at, "columns=", 8) == 0)
            config->columns = (uint32_t)strtoul(value, NULL, 10);
    }
    config->argv = request->argv.item;
    config->env = request->env.item;
    return fine && request->argv.count > 0;
}

/* Its descriptors stay open as long as its command. */
static void keep_streams(struct client *client)
{
    for (int i = 0; i < CONTROL_FDS; i++) {
        client->streams.fds[i] = client->reader.fds[i];
        client->reader.fds[i] = -1;
    }
}

static void serve_exec(struct service *service, struct client *client)
{
    struct exec_request request = {0};
    struct sm_error err;
    int rc;

    sm_exec_config_init(&request.config);
    /* The command is the caller's, all of it. */
    request.config.entrypoint = "";
    if (service->keeper->record->state == RECORD_PAUSED) {
        rc = text_fail(&err, SM_ESTATE,
                       "the machine is paused: see supermachine unpause");
    } else if (client->exec || !read_exec(&client->reader, &request)) {
        rc = text_fail(&err, SM_EPROTO, "not a command");
    } else {
        request.config.stdin_fd = client->reader.fds[0];
        request.config.stdout_fd = client->reader.fds[1];
        request.config.stderr_fd = client->reader.fds[2];
        rc = sm_exec_new(service->keeper->machine, &request.config,
                         &client->exec, &err);
    }
    option_list_done(&request.argv);
    option_list_done(&request.env);
    if (rc)
        answer(client, rc, &err);
    else
        keep_streams(client);
}

/* A command's client in all but the words. */
static void serve_files(struct service *service, struct client *client)
{
    struct sm_error err;
    int rc;

    if (service->keeper->record->state == RECORD_PAUSED)
        rc = text_fail(&err, SM_ESTATE,
                       "the machine is paused: see supermachine unpause");
    else if (client->exec)
        rc = text_fail(&err, SM_EPROTO, "one thing at a time");
    else
        rc = keeper_files_open(service->keeper->machine, &client->reader,
                               &client->exec, &err);
    if (rc)
        answer(client, rc, &err);
    else
        keep_streams(client);
}

static void serve_pause(struct service *service, struct client *client,
                        bool pause)
{
    struct keeper *keeper = service->keeper;
    struct sm_error err;
    int rc = pause ? sm_machine_pause(keeper->machine, &err)
                   : sm_machine_resume(keeper->machine, &err);

    if (!rc) {
        keeper->record->state = pause ? RECORD_PAUSED : RECORD_RUNNING;
        rc = record_save(keeper->record, &err);
    }
    answer(client, rc, &err);
}

static void serve_kill(struct service *service, struct client *client,
                       int number)
{
    struct keeper *keeper = service->keeper;
    struct sm_error err;
    int rc;

    /* A machine that stands still hears nothing but the end. */
    if (number == SIGKILL && keeper->record->state == RECORD_PAUSED) {
        service->killed = true;
        sm_machine_kill(keeper->machine);
    }
    rc = sm_exec_signal(keeper->exec, number, &err);
    answer(client, rc, &err);
}

static void serve_stop(struct service *service, struct client *client,
                       int grace_s)
{
    struct keeper *keeper = service->keeper;
    int64_t kill_at = now_ms() + (int64_t)grace_s * 1000;

    client->waits = true;
    if (keeper->record->state == RECORD_PAUSED &&
        sm_machine_resume(keeper->machine, NULL) == 0)
        keeper->record->state = RECORD_RUNNING;
    sm_exec_signal(keeper->exec, (int)keeper->record->stop_signal, NULL);
    if (!service->killed &&
        (!service->kill_at_ms || kill_at < service->kill_at_ms))
        service->kill_at_ms = kill_at;
}

static void serve_rename(struct service *service, struct client *client,
                         const char *name)
{
    struct sm_error err;
    int rc = record_rename(service->keeper->record, name, &err);

    answer(client, rc, &err);
}

static void serve_message(struct service *service, struct client *client)
{
    const char *first = control_next(&client->reader, NULL);
    const char *second = first ? control_next(&client->reader, first) : NULL;
    int number = first ? (int)strtol(first, NULL, 10) : 0;

    switch (client->reader.header.type) {
    case CONTROL_EXEC:
        serve_exec(service, client);
        break;
    case CONTROL_FILES:
        serve_files(service, client);
        break;
    case CONTROL_SIGNAL:
        if (client->exec)
            sm_exec_signal(client->exec, number, NULL);
        break;
    case CONTROL_RESIZE:
        if (client->exec && second)
            sm_exec_resize(client->exec, (uint32_t)number,
                           (uint32_t)strtoul(second, NULL, 10), NULL);
        break;
    case CONTROL_KILL:
        serve_kill(service, client, number);
        break;
    case CONTROL_STOP:
        serve_stop(service, client, number < 0 ? STOP_DEFAULT_S : number);
        break;
    case CONTROL_FOLLOW:
        client->follows = true;
        client->waits = true;
        break;
    case CONTROL_WAIT:
        client->waits = true;
        break;
    case CONTROL_PAUSE:
    case CONTROL_RESUME:
        serve_pause(service, client,
                    client->reader.header.type == CONTROL_PAUSE);
        break;
    case CONTROL_RENAME:
        serve_rename(service, client, first ? first : "");
        break;
    default:
        client->gone = true;
    }
}

/* ------------------------------------------------------------- clients -- */

static void serve_client(struct service *service, struct client *client)
{
    int rc;

    while (!client->gone &&
           (rc = control_read(&client->reader, client->fd, false)) != 0) {
        if (rc == 1)
            serve_message(service, client);
        else
            client->gone = true;
        control_reader_done(&client->reader);
    }
}

static void free_client(struct service *service, struct client *client)
{
    sm_exec_free(client->exec);
    control_reader_done(&client->reader);
    control_reader_done(&client->streams);
    close(client->fd);
    free(client);
    service->client_count--;
}

static void accept_clients(struct service *service)
{
    int fd;

    while (service->client_count < CLIENTS_MAX &&
           (fd = accept(service->listener, NULL, NULL)) >= 0) {
        struct client *client = calloc(1, sizeof *client);

        /* Nobody who does not read may hold us up. */
        if (!client || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
            fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
            free(client);
            close(fd);
            return;
        }
        client->fd = fd;
        control_reader_init(&client->reader);
        control_reader_init(&client->streams);
        client->next = service->clients;
        service->clients = client;
        service->client_count++;
    }
}

static void end_command(struct client *client)
{
    struct sm_exit_status status;
    struct sm_error err;
    int rc = sm_exec_wait(client->exec, SM_NOWAIT, &status, &err);

    if (rc == SM_ETIMEOUT)
        return;
    if (rc)
        answer(client, rc, &err);
    else
        answer_ended(client, &status);
    sm_exec_free(client->exec);
    client->exec = NULL;
    control_reader_done(&client->streams);
}

static void look_after_clients(struct service *service)
{
    struct client **at = &service->clients;

    while (*at) {
        struct client *client = *at;

        if (client->exec)
            end_command(client);
        if (!client->gone) {
            at = &client->next;
            continue;
        }
        *at = client->next;
        free_client(service, client);
    }
}

/* ----------------------------------------------------------- the machine -- */

static void keep_output(struct service *service)
{
    struct keeper *keeper = service->keeper;
    struct control_message nothing = {0};
    char bytes[CHUNK];
    bool more = false;
    int64_t count;

    for (int stream = 1; keeper->logged && stream <= 2; stream++)
        while ((count = sm_exec_read(keeper->exec, stream, bytes, sizeof bytes,
                                     SM_NOWAIT, NULL)) > 0) {
            journal_add(&keeper->journal, stream, bytes, (size_t)count);
            more = true;
        }
    /* One who has not read what we said before knows enough. */
    for (struct client *client = service->clients; more && client;
         client = client->next)
        if (client->follows)
            control_send(client->fd, CONTROL_MORE, &nothing, NULL);
}

static void look_after_machine(struct service *service)
{
    struct keeper *keeper = service->keeper;
    int rc;

    sm_machine_dispatch(keeper->machine);
    keep_output(service);
    rc = sm_exec_wait(keeper->exec, SM_NOWAIT, &service->status, &service->err);
    if (rc == SM_ETIMEOUT)
        return;
    if (rc && service->killed) {
        service->status = (struct sm_exit_status){.signal = SIGKILL};
        rc = 0;
    }
    service->rc = rc;
    service->ended = true;
}

/* Milliseconds until something is due, for poll(). */
static int patience(struct service *service)
{
    int64_t left;

    if (!service->kill_at_ms)
        return -1;
    left = service->kill_at_ms - now_ms();
    if (left > 0)
        return left < 60000 ? (int)left : 60000;
    service->killed = true;
    service->kill_at_ms = 0;
    sm_machine_kill(service->keeper->machine);
    return -1;
}

static void wait_for_something(struct service *service)
{
    struct pollfd *list = calloc(service->client_count + 2, sizeof *list);
    size_t count = 2;

    if (!list)
        return;
    list[0] = (struct pollfd){
        .fd = sm_machine_fd(service->keeper->machine, NULL), .events = POLLIN};
    list[1] = (struct pollfd){.fd = service->listener, .events = POLLIN};
    for (struct client *client = service->clients; client;
         client = client->next)
        list[count++] = (struct pollfd){.fd = client->fd, .events = POLLIN};
    poll(list, count, patience(service));
    count = 2;
    /* New ones are put in front: what was waited for keeps its place. */
    for (struct client *client = service->clients; client;
         client = client->next)
        if (list[count++].revents)
            serve_client(service, client);
    if (list[1].revents)
        accept_clients(service);
    free(list);
}

static void finish(struct service *service)
{
    struct record *record = service->keeper->record;

    record->state = RECORD_EXITED;
    record->finished_ns = record_now_ns();
    record->exit_code =
        service->rc ? EXIT_OURS : (uint32_t)sm_exit_code(&service->status);
    if (service->rc)
        record_set(&record->error, service->err.message);
    record_save(record, NULL);
    while (service->clients) {
        struct client *client = service->clients;

        service->clients = client->next;
        if (client->waits && service->rc)
            answer(client, service->rc, &service->err);
        else if (client->waits)
            answer_ended(client, &service->status);
        free_client(service, client);
    }
    close(service->listener);
}

int keeper_run(struct keeper *keeper, int listener,
               struct sm_exit_status *status, struct sm_error *err)
{
    struct service service = {.keeper = keeper, .listener = listener};
    int fd = sm_machine_fd(keeper->machine, err);

    if (fd < 0) {
        close(listener);
        return fd;
    }
    look_after_machine(&service);
    while (!service.ended) {
        wait_for_something(&service);
        look_after_machine(&service);
        look_after_clients(&service);
    }
    finish(&service);
    *status = service.status;
    if (service.rc)
        *err = service.err;
    return service.rc;
}
