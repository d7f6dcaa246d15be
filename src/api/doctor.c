/* doctor.c: sm_host_doctor(): what is here, measured, and what to do. */
#include "api/inside.h"

#include "base/bytes.h"
#include "base/own.h"
#include "machine/worker.h"
#include "platform/file.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
    PROBE_TIMEOUT_MS = 10000,
    /* A machine's first writes and an image or two. */
    DISK_LITTLE_MIB = 2048,
    DISK_NOTHING_MIB = 64
};

typedef void report_fn(void *context, const struct sm_finding *finding);

struct examination {
    const struct sm_host *host;
    report_fn *report;
    void *context;
    struct loop *loop;
    bool answered;
    bool expired;
    struct sm_error why; /* the worker's end, if it did not answer */
};

static void tell(const struct examination *examination,
                 enum sm_finding_level level, const char *what,
                 const char *found, const char *advice)
{
    examination->report(
        examination->context,
        &(struct sm_finding){
            .level = level, .what = what, .found = found, .advice = advice});
}

/* The hypervisor ---------------------------------------------------------- */

static void probed(void *context, const struct worker_probed *answer)
{
    static const struct {
        enum sm_finding_level level;
        const char *what;
        const char *advice;
    } table[] = {
        [WORKER_SOUND] = {SM_FINDING_OK, "hypervisor", ""},
        [WORKER_INTERPRETED] =
            {SM_FINDING_ERROR, "hypervisor",
             "use a machine whose processor runs guests itself: bare metal, "
             "or a virtual machine with nested virtualization"},
        [WORKER_MISSING] =
            {SM_FINDING_ERROR, "hypervisor",
             "load the module kvm_intel or kvm_amd, and switch virtualization "
             "on in the firmware, or nested virtualization in the host"},
        [WORKER_NOT_PERMITTED] =
            {SM_FINDING_ERROR, "permission",
             "join the group that owns /dev/kvm: sudo usermod -aG kvm $USER, "
             "then log in again"},
        [WORKER_UNUSABLE] = {SM_FINDING_ERROR, "hypervisor",
                             "a newer kernel may mend this"},
    };
    struct examination *examination = context;
    char found[1200];

    examination->answered = true;
    if (answer->verdict == WORKER_SOUND)
        snprintf(found, sizeof found,
                 "%s is sound: 20 000 turns of a loop in the guest's kernel "
                 "mode took %.3f ms",
                 answer->hypervisor, (double)answer->loop_ns / 1e6);
    else if (answer->verdict == WORKER_INTERPRETED)
        snprintf(found, sizeof found,
                 "%s interprets guest kernel code: 20 000 turns of a loop "
                 "took %.3f ms, some 0.02 are right",
                 answer->hypervisor, (double)answer->loop_ns / 1e6);
    else
        snprintf(found, sizeof found, "%s", answer->detail);
    tell(examination, table[answer->verdict].level, table[answer->verdict].what,
         found, table[answer->verdict].advice);
    if (answer->verdict == WORKER_SOUND)
        tell(examination, SM_FINDING_OK, "permission",
             "this user may make machines", "");
}

static void worker_gone(void *context, const struct worker_ended *ended)
{
    struct examination *examination = context;

    examination->why = ended->error;
    examination->expired = true;
}

static void timed_out(void *context)
{
    struct examination *examination = context;

    fail(&examination->why, SM_ETIMEOUT, "no answer within %d ms",
         PROBE_TIMEOUT_MS);
    examination->expired = true;
}

static const struct worker_events probe_events = {
    .probed = probed,
    .ended = worker_gone,
};

static int probe_with(struct examination *examination, struct sm_error *err)
{
    AUTO_FREE char *program = NULL;
    struct worker *worker = NULL;
    struct loop_timer *timer = NULL;
    int rc;

    if (asprintf(&program, "%s/supermachine-vmm",
                 examination->host->runtime_dir) < 0) {
        program = NULL;
        return fail(err, SM_ENOMEM, "out of memory");
    }
    rc = loop_timer_new(examination->loop, timed_out, examination, &timer, err);
    if (!rc)
        rc = worker_open(examination->loop, program, &probe_events, examination,
                         &worker, err);
    if (!rc)
        rc = worker_probe(worker, err);
    if (!rc)
        loop_timer_start(timer, PROBE_TIMEOUT_MS);
    while (!rc && !examination->answered && !examination->expired)
        loop_turn(examination->loop, -1);
    worker_close(worker);
    loop_timer_free(timer);
    return rc;
}

static int examine_hypervisor(struct examination *examination,
                              struct sm_error *err)
{
    int rc = loop_new(&examination->loop, err);

    if (rc)
        return rc;
    rc = probe_with(examination, &examination->why);
    loop_free(examination->loop);
    if (rc == SM_ENOMEM)
        return fail(err, rc, "out of memory");
    if (!examination->answered)
        tell(examination, SM_FINDING_ERROR, "hypervisor",
             examination->why.message, "");
    return 0;
}

/* Files ------------------------------------------------------------------- */

static void examine_file(const struct examination *examination,
                         const char *what, const char *name)
{
    AUTO_FREE char *path = NULL;
    char found[1200];
    struct stat st;

    if (asprintf(&path, "%s/%s", examination->host->runtime_dir, name) < 0) {
        path = NULL;
        return;
    }
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) ||
        access(path, R_OK) != 0) {
        snprintf(found, sizeof found, "%s is missing or not readable", path);
        tell(examination, SM_FINDING_ERROR, what, found,
             "install supermachine anew (make install), or point "
             "SUPERMACHINE_RUNTIME_DIR to the right folder");
        return;
    }
    snprintf(found, sizeof found, "%s, %.1f MiB", path,
             (double)st.st_size / (double)MIB);
    tell(examination, SM_FINDING_OK, what, found, "");
}

static void examine_disk(const struct examination *examination)
{
    const char *home = examination->host->home;
    struct statvfs fs;
    char found[1200];
    uint64_t free_mib;

    if (statvfs(home, &fs) != 0 || access(home, W_OK | X_OK) != 0) {
        snprintf(found, sizeof found, "%s cannot be written to", home);
        tell(examination, SM_FINDING_ERROR, "disk", found,
             "set SUPERMACHINE_HOME to a folder of yours");
        return;
    }
    free_mib = (uint64_t)fs.f_bavail * fs.f_frsize / MIB;
    snprintf(found, sizeof found, "%s: %llu MiB free", home,
             (unsigned long long)free_mib);
    if (free_mib < DISK_NOTHING_MIB)
        tell(examination, SM_FINDING_ERROR, "disk", found,
             "make room there, or set SUPERMACHINE_HOME to another disk");
    else if (free_mib < DISK_LITTLE_MIB)
        tell(examination, SM_FINDING_WARNING, "disk", found,
             "images and what machines write need room: some GiB are usual");
    else
        tell(examination, SM_FINDING_OK, "disk", found, "");
}

int sm_host_doctor(struct sm_host *host, report_fn *report, void *context,
                   struct sm_error *err)
{
    struct examination examination = {
        .host = host, .report = report, .context = context};
    int rc = examine_hypervisor(&examination, err);

    if (rc)
        return wrap(err, rc, "hypervisor");
    examine_file(&examination, "kernel", "vmlinux");
    examine_file(&examination, "agent", "initramfs.cpio");
    examine_file(&examination, "programs", "supermachine-vmm");
    examine_file(&examination, "programs", "supermachine-image");
    examine_disk(&examination);
    return 0;
}
