/* manifest_fields.c: the fields of a manifest; see manifest_fields.h. */
#include "shelf/manifest_fields.h"

#include "base/bytes.h"

enum { WORD_MAX = 256, PATH_BYTES_MAX = 4096, CHANNEL_MAX = 0x7fffffff };

#define TIME_MAX      (UINT64_C(1) << 40)
#define PROCESSES_MAX (UINT64_C(1) << 22)

#define AT(member)    offsetof(struct snapshot_manifest, member)

static const struct snapshot_field snapshot_fields[] = {
    {"created_s", NUMBER64, AT(created_s), 0, TIME_MAX},
    {"writer", TEXT, AT(writer), 0, WORD_MAX},
    {"parent", TEXT, AT(parent), 0, WORD_MAX},
};

static const struct snapshot_field image_fields[] = {
    {"name", TEXT, AT(image), 0, PATH_BYTES_MAX},
    {"digest", DIGEST, AT(image_digest), 0, WORD_MAX},
};

static const struct snapshot_field machine_fields[] = {
    {"memory_bytes", NUMBER64, AT(memory_bytes), SM_MEMORY_MIN, SM_MEMORY_MAX},
    {"vcpus", NUMBER32, AT(vcpus), 1, SM_VCPUS_MAX},
    {"disk_bytes", NUMBER64, AT(disk_bytes), 512, DISK_MAX},
    {"hostname", TEXT, AT(hostname), 0, WORD_MAX},
    {"labels", TEXTS, AT(labels), 0, SNAPSHOT_STRING_MAX},
    {"processes_max", NUMBER32, AT(processes_max), 0, PROCESSES_MAX},
};

static const struct snapshot_field default_fields[] = {
    {"entrypoint", TEXTS, AT(defaults.entrypoint), 0, SNAPSHOT_STRING_MAX},
    {"cmd", TEXTS, AT(defaults.cmd), 0, SNAPSHOT_STRING_MAX},
    {"env", TEXTS, AT(defaults.env), 0, SNAPSHOT_STRING_MAX},
    {"volumes", TEXTS, AT(defaults.volumes), 0, PATH_BYTES_MAX},
    {"ports", TEXTS, AT(defaults.ports), 0, WORD_MAX},
    {"labels", TEXTS, AT(defaults.labels), 0, SNAPSHOT_STRING_MAX},
    {"workdir", TEXT, AT(defaults.workdir), 0, PATH_BYTES_MAX},
    {"user", TEXT, AT(defaults.user), 0, WORD_MAX},
    {"stop_signal", TEXT, AT(defaults.stop_signal), 0, WORD_MAX},
    {"healthcheck", TEXT, AT(defaults.healthcheck), 0, SNAPSHOT_STRING_MAX},
};

static const struct snapshot_field program_fields[] = {
    {"channel", NUMBER32, AT(program.channel), 0, CHANNEL_MAX},
    {"tty", TRUTH, AT(program.tty), 0, 0},
    {"stdin", TRUTH, AT(program.has_stdin), 0, 0},
    {"argv", TEXTS, AT(program.argv), 0, SNAPSHOT_STRING_MAX},
};

static const struct snapshot_field origin_fields[] = {
    {"architecture", TEXT, AT(origin.architecture), 0, WORD_MAX},
    {"hypervisor", TEXT, AT(origin.hypervisor), 0, WORD_MAX},
    {"label", TEXT, AT(origin.label), 0, PATH_BYTES_MAX},
    {"programs", TEXT, AT(origin.programs), 0, PATH_BYTES_MAX},
    {"kernel", DIGEST, AT(origin.kernel_digest), 0, WORD_MAX},
    {"agent", DIGEST, AT(origin.agent_digest), 0, WORD_MAX},
    {"own_kernel", TRUTH, AT(origin.own_kernel), 0, 0},
};

#define PART(name)                                                             \
    {                                                                          \
#name, name##_fields, ARRAY_LEN(name##_fields)                         \
    }

const struct snapshot_part snapshot_parts[SNAPSHOT_PARTS] = {
    PART(snapshot), PART(image),
    PART(machine),  {"defaults", default_fields, ARRAY_LEN(default_fields)},
    PART(program),  PART(origin),
};
