/* keeper.c: holds a machine and answers those who ask; see keeper.h. */
#include "keeper.h"

#include "events.h"
#include "keeper_inside.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 1024,
    /* What poll() waits for besides clients. */
    MACHINE = 0,
    LISTENER,
    INPUT,
    CLIENTS,
    /* For attached ones to take the last words of a command that has ended. */
    LAST_WORDS_MS = 2000
};

int64_t keeper_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------- clients -- */

/* What the command has not taken holds up who sends more. Where it may not have
 * it yet, more is read up to a limit: keys that end the waiting may come. */
static bool is_full(const struct service *service, const struct client *client)
{
    size_t count;

    if (!relay_waits(&client->in))
        return false;
    relay_front(&client->in, &count);
    return !service->holds || count > KEEPER_CHUNK;
}

static void serve_client(struct service *service, struct client *client,
                         bool hung_up)
{
    int rc;

    if (!hung_up && !relay_send(&client->out, client->fd))
        client->gone = true;
    /* His last words are there already. */
    while (!client->gone && (hung_up || !is_full(service, client)) &&
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
    struct keeper *keeper = service->keeper;

    if (client->attached && !service->ended)
        events_note(keeper->record, "detach", NULL, NULL);
    if (client->owns && !service->ended) {
        service->killed = true;
        sm_machine_kill(keeper->machine);
    }
    sm_exec_free(client->exec);
    capture_forget(service, client);
    relay_done(&client->in);
    relay_done(&client->out);
    control_reader_done(&client->reader);
    control_reader_done(&client->streams);
    if (client->fd >= 0)
        close(client->fd);
    free(client);
    service->client_count--;
}

/* NULL: no memory; (fd) is closed. */
static struct client *add_client(struct service *service, int fd)
{
    struct client *client = calloc(1, sizeof *client);

    /* Nobody who does not read may hold us up. */
    if (!client || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        free(client);
        close(fd);
        return NULL;
    }
    client->fd = fd;
    control_reader_init(&client->reader);
    control_reader_init(&client->streams);
    client->next = service->clients;
    service->clients = client;
    service->client_count++;
    return client;
}

static void accept_clients(struct service *service)
{
    int fd;

    while (service->client_count < CLIENTS_MAX &&
           (fd = accept(service->listener, NULL, NULL)) >= 0)
        if (!add_client(service, fd))
            return;
}

static int add_owner(struct service *service, struct sm_error *err)
{
    struct client *client = add_client(service, service->keeper->owner);

    if (!client)
        return text_fail(err, SM_ENOMEM, "out of memory");
    client->owns = client->attached = client->waits = true;
    events_note(service->keeper->record, "attach", NULL, NULL);
    return 0;
}

static void end_command(struct service *service, struct client *client)
{
    char text[16];
    struct sm_exit_status status;
    struct sm_error err;
    int rc = sm_exec_wait(client->exec, SM_NOWAIT, &status, &err);

    if (rc == SM_ETIMEOUT)
        return;
    if (rc)
        serve_failed(client, rc, &err);
    else
        serve_ended(client, &status);
    snprintf(text, sizeof text, "%d",
             rc ? text_exit_code(rc) : sm_exit_code(&status));
    events_note(service->keeper->record, "exec_die", "exitCode", text);
    sm_exec_free(client->exec);
    client->exec = NULL;
    control_reader_done(&client->streams);
}

/* One who lets go of his command is told that it has started, and may leave. */
static void let_go_of_command(struct client *client)
{
    if (client->exec && !client->told &&
        sm_exec_wait_started(client->exec, SM_NOWAIT, NULL) == 0) {
        client->told = true;
        serve_failed(client, 0, NULL);
    }
    if (client->gone && client->exec && client->told && client->fd >= 0) {
        close(client->fd);
        client->fd = -1;
    }
    client->gone = !client->exec || (client->gone && client->fd >= 0);
}

static void look_after_clients(struct service *service)
{
    struct client **at = &service->clients;

    while (*at) {
        struct client *client = *at;

        if (client->exec)
            end_command(service, client);
        if (client->lets_go)
            let_go_of_command(client);
        serve_input(service, &client->in);
        if (!client->gone) {
            at = &client->next;
            continue;
        }
        *at = client->next;
        free_client(service, client);
    }
}

/* ----------------------------------------------------------- the machine -- */

/* Somebody who is attached has not taken what came before. */
static bool is_held_up(const struct service *service)
{
    for (const struct client *client = service->clients; client;
         client = client->next)
        if (relay_waits(&client->out) && !client->gone)
            return true;
    return false;
}

static void hand_out(struct service *service, int stream, const char *bytes,
                     size_t count)
{
    enum control_type type = stream == 1 ? CONTROL_OUTPUT : CONTROL_ERROR;

    for (struct client *client = service->clients; client;
         client = client->next)
        if (client->attached &&
            (!relay_put_message(&client->out, type, bytes, count) ||
             !relay_send(&client->out, client->fd)))
            client->gone = true;
}

static void keep_output(struct service *service)
{
    struct keeper *keeper = service->keeper;
    struct control_message nothing = {0};
    char bytes[KEEPER_CHUNK];
    bool more = false;
    int64_t count;

    for (int stream = 1; keeper->logged && stream <= 2; stream++)
        while (!is_held_up(service) &&
               (count = sm_exec_read(keeper->exec, stream, bytes, sizeof bytes,
                                     SM_NOWAIT, NULL)) > 0) {
            journal_add(&keeper->journal, stream, bytes, (size_t)count);
            hand_out(service, stream, bytes, (size_t)count);
            more = true;
        }
    /* One who has not read what we said before knows enough. */
    for (struct client *client = service->clients; more && client;
         client = client->next)
        if (client->follows)
            control_send(client->fd, CONTROL_MORE, &nothing, NULL);
}

static void note_events(struct keeper *keeper)
{
    struct sm_event event;

    while (sm_machine_next_event(keeper->machine, SM_NOWAIT, &event, NULL) ==
           0) {
        if (event.kind == SM_EVENT_PANIC)
            events_note(keeper->record, "panic", "reason", event.detail);
        if (event.kind != SM_EVENT_OUT_OF_MEMORY)
            continue;
        events_note(keeper->record, "oom", "process", event.detail);
        keeper->record->oom_killed = true;
        record_save(keeper->record, NULL);
    }
}

/* The command has ended: wait a moment for those who have not taken its last
 * words. True: go on. */
static bool waits_for_readers(struct service *service)
{
    if (!is_held_up(service))
        return false;
    if (!service->leave_at_ms)
        service->leave_at_ms = keeper_now_ms() + LAST_WORDS_MS;
    if (keeper_now_ms() < service->leave_at_ms)
        return true;
    for (struct client *client = service->clients; client;
         client = client->next)
        client->gone |= relay_waits(&client->out);
    return false;
}

static void look_after_machine(struct service *service)
{
    struct keeper *keeper = service->keeper;
    int rc;

    sm_machine_dispatch(keeper->machine);
    capture_look(service);
    note_events(keeper);
    keep_output(service);
    serve_input(service, &service->input);
    rc = sm_exec_wait(keeper->exec, SM_NOWAIT, &service->status, &service->err);
    if (rc == SM_ETIMEOUT) {
        warming_look(service);
        return;
    }
    warming_give_up(service, "it ended before it was ready");
    /* The last of it may have come with the end. */
    keep_output(service);
    /* Of a moment when it ran, and whoever asked for it waits. */
    if (service->capture.active) {
        service->leave_at_ms = 0;
        return;
    }
    if (waits_for_readers(service))
        return;
    keep_output(service);
    if (rc && service->killed) {
        service->status = (struct sm_exit_status){.signal = SIGKILL};
        rc = 0;
    }
    note_events(keeper);
    service->rc = rc;
    service->ended = true;
}

/* Milliseconds until (when), for poll(). */
static int until(int64_t when)
{
    int64_t left = when - keeper_now_ms();

    if (left < 0)
        return 0;
    return left < 60000 ? (int)left : 60000;
}

/* -1: never. */
static int sooner(int one, int other)
{
    return one >= 0 && (other < 0 || one < other) ? one : other;
}

/* Milliseconds until something is due, for poll(). */
static int patience(struct service *service)
{
    int wait = -1;

    if (service->kill_at_ms && service->kill_at_ms <= keeper_now_ms()) {
        service->killed = true;
        service->kill_at_ms = 0;
        sm_machine_kill(service->keeper->machine);
    }
    if (service->kill_at_ms)
        wait = until(service->kill_at_ms);
    if (service->leave_at_ms)
        wait = sooner(wait, until(service->leave_at_ms));
    /* Whoever wants it stopped has ended this, unless it is being kept. */
    else if (service->holds && !service->capture.warm &&
             !service->capture.warm_waits)
        wait = sooner(wait, until(ready_due_ms(&service->ready)));
    return wait;
}

static void wait_for_something(struct service *service)
{
    struct pollfd *list = calloc(service->client_count + CLIENTS, sizeof *list);
    bool listens = !service->holds && !relay_waits(&service->input);
    size_t count = CLIENTS;

    if (!list)
        return;
    list[MACHINE] = (struct pollfd){
        .fd = sm_machine_fd(service->keeper->machine, NULL), .events = POLLIN};
    list[LISTENER] = (struct pollfd){.fd = service->listener, .events = POLLIN};
    list[INPUT] = (struct pollfd){.fd = listens ? service->keeper->input : -1,
                                  .events = POLLIN};
    for (struct client *client = service->clients; client;
         client = client->next)
        list[count++] = (struct pollfd){
            .fd = client->fd,
            .events = (short)((is_full(service, client) ? 0 : POLLIN) |
                              (relay_waits(&client->out) ? POLLOUT : 0))};
    poll(list, count, patience(service));
    count = CLIENTS;
    /* New ones are put in front: what was waited for keeps its place. */
    for (struct client *client = service->clients; client;
         client = client->next)
        if (list[count++].revents)
            serve_client(service, client, list[count - 1].revents & POLLHUP);
    if (list[LISTENER].revents)
        accept_clients(service);
    if (list[INPUT].revents)
        warming_take_input(service);
    free(list);
}

static void finish(struct service *service)
{
    struct record *record = service->keeper->record;
    char text[16];

    record->state = RECORD_EXITED;
    record->finished_ns = record_now_ns();
    record->exit_code =
        service->rc ? EXIT_OURS : (uint32_t)sm_exit_code(&service->status);
    if (service->rc)
        record_set(&record->error, service->err.message);
    record->oom_killed |= service->status.out_of_memory;
    record_save(record, NULL);
    snprintf(text, sizeof text, "%u", record->exit_code);
    events_note(record, "die", "exitCode", text);
    while (service->clients) {
        struct client *client = service->clients;

        service->clients = client->next;
        if (relay_waits(&client->out))
            client->gone = true;
        else if (client->waits && service->rc)
            serve_failed(client, service->rc, &service->err);
        else if (client->waits)
            serve_ended(client, &service->status);
        free_client(service, client);
    }
    relay_done(&service->input);
    close(service->listener);
}

int keeper_run(struct keeper *keeper, int listener,
               struct sm_exit_status *status, struct sm_error *err)
{
    struct service service = {.keeper = keeper, .listener = listener};
    int rc = sm_machine_fd(keeper->machine, err);

    if (rc < 0 && keeper->owner >= 0)
        close(keeper->owner);
    else if (rc >= 0)
        rc = keeper->owner >= 0 ? add_owner(&service, err) : 0;
    if (rc) {
        close(listener);
        return rc;
    }
    warming_begin(&service);
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
