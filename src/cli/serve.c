/* serve.c: what clients ask a machine's keeper for; see keeper.h. */
#include "events.h"
#include "keeper_files.h"
#include "keeper_inside.h"
#include "text.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTROL_C = 3 };

/* ------------------------------------------------------------- answers -- */

void serve_send(struct client *client, enum control_type type,
                struct control_message *message)
{
    if (control_send(client->fd, type, message, NULL) != 0)
        client->gone = true;
}

/* Behind what waits for an attached one, which is read to its end. */
void serve_ended(struct client *client, const struct sm_exit_status *status)
{
    struct control_message message = {0};

    control_put(&message, "%d", status->exited != 0);
    control_put(&message, "%d", status->exited ? status->code : status->signal);
    control_put(&message, "%d", status->out_of_memory != 0);
    serve_send(client, CONTROL_ENDED, &message);
}

void serve_failed(struct client *client, int rc, const struct sm_error *err)
{
    struct control_message message = {0};

    if (rc) {
        control_put(&message, "%d", rc);
        control_put(&message, "%s", err->message);
    }
    serve_send(client, rc ? CONTROL_FAILED : CONTROL_DONE, &message);
}

/* ------------------------------------------------------------ requests -- */

/* What a CONTROL_EXEC says, for sm_exec_new(). */
struct exec_request {
    struct sm_exec_config config;
    struct option_list argv;
    struct option_list env;
    bool detach;
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
        else if (strncmp(at, "detach=", 7) == 0)
            request->detach = *value == '1';
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
    char command[256];
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
    snprintf(command, sizeof command, "%s",
             request.argv.count ? request.argv.item[0] : "");
    option_list_done(&request.argv);
    option_list_done(&request.env);
    if (rc) {
        serve_failed(client, rc, &err);
        return;
    }
    client->lets_go = request.detach;
    events_note(service->keeper->record, "exec_start", "execCommand", command);
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
        serve_failed(client, rc, &err);
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
        events_note(keeper->record, pause ? "pause" : "unpause", NULL, NULL);
    }
    serve_failed(client, rc, &err);
}

static void serve_kill(struct service *service, struct client *client,
                       int number)
{
    struct keeper *keeper = service->keeper;
    struct sm_error err;
    char text[16];
    int rc;

    /* A machine that stands still hears nothing but the end. */
    if (number == SIGKILL && keeper->record->state == RECORD_PAUSED) {
        service->killed = true;
        sm_machine_kill(keeper->machine);
    }
    rc = sm_exec_signal(keeper->exec, number, &err);
    snprintf(text, sizeof text, "%d", number);
    if (!rc)
        events_note(keeper->record, "kill", "signal", text);
    serve_failed(client, rc, &err);
}

/* (signal): a number; NULL: what the record says. */
static void serve_stop(struct service *service, struct client *client,
                       int grace_ms, const char *signal)
{
    struct keeper *keeper = service->keeper;
    int64_t kill_at =
        keeper_now_ms() +
        (grace_ms < 0 ? (int64_t)keeper->record->stop_timeout_ms : grace_ms);

    struct sm_error err;
    int rc = sm_exec_signal(keeper->exec,
                            signal ? (int)strtol(signal, NULL, 10)
                                   : (int)keeper->record->stop_signal,
                            &err);

    if (rc) {
        serve_failed(client, rc, &err);
        return;
    }
    client->waits = true;
    events_note(keeper->record, "stop", NULL, NULL);
    if (keeper->record->state == RECORD_PAUSED &&
        sm_machine_resume(keeper->machine, NULL) == 0)
        keeper->record->state = RECORD_RUNNING;
    if (!service->killed &&
        (!service->kill_at_ms || kill_at < service->kill_at_ms))
        service->kill_at_ms = kill_at;
}

static void serve_rename(struct service *service, struct client *client,
                         const char *name)
{
    struct sm_error err;
    int rc = record_rename(service->keeper->record, name, &err);

    if (!rc)
        events_note(service->keeper->record, "rename", NULL, NULL);

    serve_failed(client, rc, &err);
}

/* ---------------------------------------------------------- what it uses -- */

static char *stats_text(const struct sm_machine_stats *stats)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
#define PUT(field)                                                             \
    fprintf(to, ",\"" #field "\":%llu", (unsigned long long)stats->field)

    if (!to)
        return NULL;
    fprintf(to, "{\"vcpus\":%u", stats->vcpus);
    PUT(uptime_us);
    PUT(vcpu_us);
    PUT(worker_us);
    PUT(worker_bytes);
    PUT(memory_bytes);
    PUT(disk_read_bytes);
    PUT(disk_written_bytes);
    PUT(disk_reads);
    PUT(disk_writes);
    PUT(stream_in_bytes);
    PUT(stream_out_bytes);
    PUT(commands);
    PUT(guest_answered);
    PUT(processes);
    PUT(oom_kills);
    PUT(guest_total_bytes);
    PUT(guest_available_bytes);
    PUT(guest_cached_bytes);
#undef PUT
    fprintf(to, "}");
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}

/* STATS and TOP. */
static void serve_text(struct service *service, struct client *client,
                       enum control_type type)
{
    struct sm_machine *machine = service->keeper->machine;
    struct control_message message = {0};
    struct sm_machine_stats stats;
    struct sm_error err;
    char *text = NULL;
    int rc;

    if (type == CONTROL_STATS) {
        rc = sm_machine_stats(machine, &stats, &err);
        text = rc ? NULL : stats_text(&stats);
    } else {
        rc = sm_machine_inspect(machine, SM_INSPECT_PROCESSES, &text, &err);
    }
    if (!rc && !text)
        rc = text_fail(&err, SM_ENOMEM, "out of memory");
    if (rc) {
        serve_failed(client, rc, &err);
        return;
    }
    control_put(&message, "%s", text);
    free(text);
    serve_send(client, CONTROL_TEXT, &message);
}

/* ------------------------------------------------------------ attaching -- */

static void serve_attach(struct service *service, struct client *client)
{
    struct control_message message = {0};
    struct sm_error err;
    int rc;

    if (!service->keeper->logged) {
        rc = text_fail(&err, SM_EBUSY,
                       "the streams of %s are those of the command that runs "
                       "it, not a terminal: only such a machine, or one of "
                       "run -d, can be attached to",
                       service->keeper->record->name);
        serve_failed(client, rc, &err);
        return;
    }
    client->attached = client->waits = true;
    events_note(service->keeper->record, "attach", NULL, NULL);
    serve_send(client, CONTROL_DONE, &message);
}

void serve_input(struct service *service, struct relay *in)
{
    while (!service->holds && relay_waits(in)) {
        struct sm_error err;
        size_t count;
        const char *front = relay_front(in, &count);
        int64_t taken =
            sm_exec_write(service->keeper->exec, front, count, SM_NOWAIT, &err);

        if (taken == SM_ETIMEOUT)
            return;
        /* Nobody reads it: as if it had been. */
        relay_drop(in, taken > 0 ? (size_t)taken : count);
    }
}

static void take_input(struct service *service, struct client *client)
{
    const struct control_reader *reader = &client->reader;

    if (!client->attached ||
        !relay_put(&client->in, reader->payload, reader->header.length)) {
        client->gone = true;
        return;
    }
    if (service->keeper->record->tty && reader->header.length > 0 &&
        memchr(reader->payload, CONTROL_C, reader->header.length))
        warming_give_up(service, "Ctrl-C was typed before it was ready");
    serve_input(service, &client->in);
}

/* Who was there from the beginning goes, and the machine stays. */
static void serve_detach(struct service *service, struct client *client)
{
    if (relay_waits(&client->in))
        warming_give_up(service, "it was left before it was ready");
    serve_input(service, &client->in);
    /* What is left of it follows when the command may have it, and takes it. */
    while (relay_waits(&client->in)) {
        size_t count;
        const char *front = relay_front(&client->in, &count);

        relay_put(&service->input, front, count);
        relay_drop(&client->in, count);
    }
    if (client->owns)
        service->keeper->left(service->keeper->context);
    client->owns = false;
    client->gone = true;
}

/* The command that SIGNAL and RESIZE of this client are for. */
static struct sm_exec *command_of(const struct service *service,
                                  const struct client *client)
{
    return client->attached ? service->keeper->exec : client->exec;
}

static void serve_signal(const struct service *service, struct client *client,
                         int number)
{
    if (command_of(service, client))
        sm_exec_signal(command_of(service, client), number, NULL);
}

static void serve_resize(const struct service *service, struct client *client,
                         int rows, const char *columns)
{
    if (command_of(service, client) && columns)
        sm_exec_resize(command_of(service, client), (uint32_t)rows,
                       (uint32_t)strtoul(columns, NULL, 10), NULL);
}

/* After it the machine is not what it was before. */
static bool is_work(const struct client *client)
{
    switch (client->reader.header.type) {
    case CONTROL_EXEC:
    case CONTROL_FILES:
    case CONTROL_KILL:
    case CONTROL_STOP:
    case CONTROL_PAUSE:
        return true;
    default:
        return false;
    }
}

/* Those who stay: they hear of the machine, or have its command's streams. */
static void serve_listener(struct service *service, struct client *client)
{
    switch (client->reader.header.type) {
    case CONTROL_FOLLOW:
        client->follows = true;
        client->waits = true;
        break;
    case CONTROL_WAIT:
        client->waits = true;
        break;
    case CONTROL_ATTACH:
        serve_attach(service, client);
        break;
    case CONTROL_INPUT:
        take_input(service, client);
        break;
    case CONTROL_DETACH:
        serve_detach(service, client);
        break;
    default:
        client->gone = true;
    }
}

void serve_message(struct service *service, struct client *client)
{
    const char *first = control_next(&client->reader, NULL);
    const char *second = first ? control_next(&client->reader, first) : NULL;
    int number = first ? (int)strtol(first, NULL, 10) : 0;

    if (is_work(client))
        warming_give_up(service, "it was worked in before it was ready");
    switch (client->reader.header.type) {
    case CONTROL_EXEC:
        serve_exec(service, client);
        break;
    case CONTROL_FILES:
        serve_files(service, client);
        break;
    case CONTROL_SIGNAL:
        serve_signal(service, client, number);
        break;
    case CONTROL_RESIZE:
        serve_resize(service, client, number, second);
        break;
    case CONTROL_KILL:
        serve_kill(service, client, number);
        break;
    case CONTROL_STOP:
        serve_stop(service, client, number, second);
        break;
    case CONTROL_PAUSE:
    case CONTROL_RESUME:
        serve_pause(service, client,
                    client->reader.header.type == CONTROL_PAUSE);
        break;
    case CONTROL_RENAME:
        /* More than one string is a name with a NUL in it: no name. */
        serve_rename(service, client, first && !second ? first : "");
        break;
    case CONTROL_STATS:
    case CONTROL_TOP:
        serve_text(service, client,
                   (enum control_type)client->reader.header.type);
        break;
    case CONTROL_SNAPSHOT:
        capture_ask(service, client, first ? first : "", second ? second : "");
        break;
    default:
        serve_listener(service, client);
    }
}
