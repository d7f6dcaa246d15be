/* keeper_snapshot.c: a machine is kept while all else goes on; see keeper.h. */
#include "events.h"
#include "keeper_inside.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void answer(struct client *client, int rc,
                   const struct sm_snapshot_info *info,
                   const struct sm_error *err)
{
    struct control_message message = {0};

    if (rc) {
        serve_failed(client, rc, err);
        return;
    }
    control_put(&message,
                "{\"name\":\"%s\",\"paused_us\":%llu,\"duration_us\":%llu,"
                "\"bytes\":%llu}",
                info->name, (unsigned long long)info->paused_ns / 1000,
                (unsigned long long)info->duration_ns / 1000,
                (unsigned long long)info->bytes);
    serve_send(client, CONTROL_TEXT, &message);
}

/* Who has waited longest: new ones are put in front. */
static struct client *next_client(const struct service *service)
{
    struct client *next = NULL;

    for (struct client *client = service->clients; client;
         client = client->next)
        if (client->snapshot && !client->gone)
            next = client;
    return next;
}

/* The command's own, for which its input waits, comes before others'. False:
 * nobody wants one. */
static bool begin_next(struct service *service)
{
    struct capture *capture = &service->capture;
    struct client *client = next_client(service);

    if (!capture->warm_waits && !client)
        return false;
    capture->active = true;
    capture->warm = capture->warm_waits;
    capture->warm_waits = false;
    if (capture->warm) {
        capture->name = strdup(service->keeper->warming->name);
        capture->flags = 0;
        return true;
    }
    capture->client = client;
    capture->name = client->snapshot;
    capture->flags = client->snapshot_flags;
    client->snapshot = NULL;
    return true;
}

/* 1: it goes on. */
static int go_on(const struct service *service, struct sm_snapshot_info *info,
                 struct sm_error *err)
{
    const struct capture *capture = &service->capture;
    struct sm_snapshot_config config;

    if (!capture->name)
        return text_fail(err, SM_ENOMEM, "out of memory");
    sm_snapshot_config_init(&config);
    config.name = *capture->name ? capture->name : NULL;
    config.flags = capture->flags | SM_SNAPSHOT_NOWAIT;
    config.command = service->keeper->exec;
    return sm_snapshot_create(service->keeper->machine, &config, info, err);
}

void capture_look(struct service *service)
{
    struct capture *capture = &service->capture;

    while (capture->active || begin_next(service)) {
        struct sm_snapshot_info info;
        struct sm_error err;
        struct capture done;
        int rc = go_on(service, &info, &err);

        if (rc == 1)
            return;
        done = *capture;
        *capture = (struct capture){.warm_waits = done.warm_waits};
        if (!rc && *done.name)
            events_note(service->keeper->record, "snapshot", "snapshot",
                        done.name);
        if (done.client)
            answer(done.client, rc, &info, &err);
        if (done.warm)
            warming_settled(service, rc, &err);
        free(done.name);
    }
}

void capture_ask(struct service *service, struct client *client,
                 const char *name, const char *flags)
{
    struct sm_error err;

    if (client->snapshot || service->capture.client == client) {
        text_fail(&err, SM_EPROTO, "one snapshot at a time");
        serve_failed(client, SM_EPROTO, &err);
        return;
    }
    client->snapshot = strdup(name);
    client->snapshot_flags = (uint32_t)strtoul(flags, NULL, 10);
    if (client->snapshot) {
        capture_look(service);
        return;
    }
    text_fail(&err, SM_ENOMEM, "out of memory");
    serve_failed(client, SM_ENOMEM, &err);
}

void capture_forget(struct service *service, struct client *client)
{
    if (service->capture.client == client)
        service->capture.client = NULL;
    free(client->snapshot);
    client->snapshot = NULL;
}
