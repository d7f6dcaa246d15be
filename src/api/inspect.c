/* inspect.c: what is known of a machine, as JSON. */
#include "api/inside.h"

#include "base/json_text.h"

#include <string.h>

enum { INSPECTION_MAX = 8 << 20 };

static const char *state_name(enum sm_machine_state state)
{
    static const char *const names[] = {
        [SM_MACHINE_NEW] = "new",         [SM_MACHINE_STARTING] = "starting",
        [SM_MACHINE_RUNNING] = "running", [SM_MACHINE_PAUSED] = "paused",
        [SM_MACHINE_STOPPED] = "stopped",
    };

    return names[state];
}

static const char *reason_name(enum sm_end_reason reason)
{
    static const char *const names[] = {
        [SM_END_POWER_OFF] = "power-off", [SM_END_REBOOT] = "reboot",
        [SM_END_PANIC] = "panic",         [SM_END_CRASH] = "crash",
        [SM_END_KILLED] = "killed",       [SM_END_FAILED] = "failed",
        [SM_END_EXPIRED] = "expired",
    };

    return names[reason];
}

static void put_field(struct buf *to, const char *key, const char *value)
{
    buf_print(to, ",\"%s\":", key);
    json_put_string(to, value);
}

static void put_list(struct buf *to, const char *key,
                     const struct image_strings *list)
{
    buf_print(to, ",\"%s\":[", key);
    for (uint32_t i = 0; i < list->count; i++) {
        buf_print(to, i ? "," : "");
        json_put_string(to, list->items[i]);
    }
    buf_print(to, "]");
}

/* "KEY=VALUE" as an object; of a key that is there twice the last one. */
static void put_labels(struct buf *to, const struct image_strings *labels)
{
    bool some = false;

    buf_print(to, ",\"labels\":{");
    for (uint32_t i = 0; i < labels->count; i++) {
        const char *label = labels->items[i];
        size_t key = strcspn(label, "=");
        bool again = false;

        for (uint32_t j = i + 1; j < labels->count; j++)
            again |= strcspn(labels->items[j], "=") == key &&
                     memcmp(labels->items[j], label, key) == 0;
        if (again)
            continue;
        buf_print(to, some ? "," : "");
        json_put_text(to, label, key);
        buf_print(to, ":");
        json_put_string(to, label + key + (label[key] == '='));
        some = true;
    }
    buf_print(to, "}");
}

static void put_limits(struct buf *to, const struct sm_machine *machine)
{
    buf_print(to, ",\"limits\":[");
    for (uint32_t i = 0; i < machine->limit_count; i++) {
        const struct agent_rlimit *limit = &machine->limits[i];

        buf_print(to, "%s{\"name\":\"%s\",\"soft\":%llu,\"hard\":%llu}",
                  i ? "," : "", limit_name(limit->resource),
                  (unsigned long long)limit->soft,
                  (unsigned long long)limit->hard);
    }
    buf_print(to, "]");
}

static void put_end(struct buf *to, struct sm_machine *machine)
{
    struct machine_end end;

    buf_print(to, ",\"end\":");
    if (sm_machine_state(machine) != SM_MACHINE_STOPPED ||
        machine_wait(machine_of(machine), SM_NOWAIT, &end, NULL) != 0) {
        buf_print(to, "null");
        return;
    }
    buf_print(to, "{\"reason\":\"%s\"", reason_name(end.reason));
    put_field(to, "message", end.why.message);
    buf_print(to, "}");
}

static int inspect_machine(struct sm_machine *machine, char **ret,
                           struct sm_error *err)
{
    const struct machine_config *config = machine_config(machine_of(machine));
    const struct image_config *defaults = &machine->defaults;
    struct buf text;

    buf_init(&text, INSPECTION_MAX);
    buf_print(&text, "{\"state\":\"%s\",\"config\":{\"name\":",
              state_name(sm_machine_state(machine)));
    json_put_string(&text, machine->name);
    put_labels(&text, &machine->labels);
    put_field(&text, "image", machine->image);
    put_field(&text, "rootfs", config->rootfs);
    put_field(&text, "hostname", config->hostname);
    buf_print(&text, ",\"memory_bytes\":%llu,\"vcpus\":%u",
              (unsigned long long)config->memory_bytes, config->vcpus);
    put_field(&text, "kernel", config->kernel);
    put_field(&text, "kernel_args", config->kernel_args);
    put_list(&text, "entrypoint", &defaults->entrypoint);
    put_list(&text, "command", &defaults->cmd);
    put_list(&text, "env", &defaults->env);
    put_field(&text, "workdir", defaults->workdir);
    put_field(&text, "user", defaults->user);
    put_list(&text, "ports", &defaults->ports);
    put_field(&text, "healthcheck", defaults->healthcheck);
    put_limits(&text, machine);
    buf_print(&text, ",\"processes_max\":%u,\"lifetime_ms\":%u}",
              config->processes_max, config->lifetime_ms);
    put_end(&text, machine);
    buf_print(&text, "}");
    *ret = buf_take_string(&text);
    return *ret ? 0 : fail(err, SM_ENOMEM, "inspect: out of memory");
}

int sm_machine_inspect(struct sm_machine *machine, enum sm_inspection what,
                       char **ret, struct sm_error *err)
{
    char *text = NULL;
    int rc;

    switch (what) {
    case SM_INSPECT_MACHINE:
        rc = inspect_machine(machine, &text, err);
        break;
    case SM_INSPECT_PROCESSES:
        rc = machine_enter(machine, err);
        if (rc)
            return rc;
        rc = machine_processes(machine->machine, &text, err);
        machine_leave(machine);
        break;
    default:
        return fail(err, SM_EINVAL, "inspection %d: there is none", (int)what);
    }
    if (!rc)
        *ret = text;
    return rc;
}
