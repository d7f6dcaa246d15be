/* stand.c: a manifest with something in every field; see stand.h. */
#include "stand.h"

#include <string.h>

static char *digest(char digit)
{
    char text[7 + 64 + 1] = "sha256:";

    memset(text + 7, digit, 64);
    text[7 + 64] = '\0';
    return strdup(text);
}

static bool fill_texts(struct snapshot_manifest *to)
{
    to->writer = strdup("supermachine 0.1.0");
    to->parent = strdup("before");
    to->image = strdup("nginx:1.25");
    to->image_digest = digest('a');
    to->defaults.workdir = strdup("/srv");
    to->defaults.user = strdup("www:www");
    to->defaults.stop_signal = strdup("SIGQUIT");
    to->defaults.healthcheck = strdup("{\"Test\": [\"NONE\"]}");
    to->hostname = strdup("web");
    to->origin.architecture = strdup("x86_64");
    to->origin.hypervisor = strdup("kvm");
    to->origin.label = strdup("snapshot 1");
    to->origin.programs = strdup("kernel 1:2 3 4.5, agent 1:3 4 5.6");
    to->origin.kernel_digest = digest('b');
    to->origin.agent_digest = digest('c');
    return to->writer && to->parent && to->image && to->image_digest &&
           to->defaults.workdir && to->defaults.user &&
           to->defaults.stop_signal && to->defaults.healthcheck &&
           to->hostname && to->origin.architecture && to->origin.hypervisor &&
           to->origin.label && to->origin.programs &&
           to->origin.kernel_digest && to->origin.agent_digest;
}

static bool fill_lists(struct snapshot_manifest *to)
{
    return image_strings_add(&to->defaults.entrypoint, "/start") &&
           image_strings_add(&to->defaults.cmd, "nginx") &&
           image_strings_add(&to->defaults.cmd, "-g\tdaemon \"off\";\\\n") &&
           image_strings_add(&to->defaults.env,
                             "GREETING=gr\xc3\xbc\xc3\x9f") &&
           image_strings_add(&to->defaults.volumes, "/data") &&
           image_strings_add(&to->defaults.ports, "80/tcp") &&
           image_strings_add(&to->defaults.labels, "a=b") &&
           image_strings_add(&to->labels, "tier=web") &&
           image_strings_add(&to->program.argv, "nginx") &&
           image_strings_add(&to->program.argv, "");
}

bool stand_manifest(struct snapshot_manifest *ret)
{
    *ret = (struct snapshot_manifest){
        .created_s = 1764000000,
        .limits = {{7, 1024, 2048}, {4, 0, UINT64_MAX}},
        .limit_count = 2,
        .processes_max = 100,
        .memory_bytes = STAND_MEMORY,
        .vcpus = 2,
        .disk_bytes = STAND_DISK,
        .program = {.channel = 3, .tty = true, .has_stdin = true},
        .origin = {.own_kernel = true},
        .layer_count = 2,
        .differential = true,
        .bytes = {[SNAPSHOT_STATE] = STAND_STATE,
                  [SNAPSHOT_MEMORY] = STAND_MEMORY,
                  [SNAPSHOT_DIFFERENTIAL] = STAND_MEMORY,
                  [SNAPSHOT_ROOTFS] = STAND_DISK,
                  [SNAPSHOT_DISK] = STAND_LAYER,
                  [SNAPSHOT_DISK + 1] = STAND_LAYER},
    };
    if (fill_texts(ret) && fill_lists(ret))
        return true;
    snapshot_manifest_done(ret);
    return false;
}
