/* warm.c: the snapshots of `run --warm`; see warm.h. */
#include "warm.h"

#include "json.h"
#include "sha256.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_DIGITS = 32 };

static const char prefix[] = "warm-";

/* Of what sm_machine_inspect() tells: all but the machine's own names and
 * times, and where its root file system lies. */
static const char *const fields[] = {
    "config.image",         "config.memory_bytes", "config.vcpus",
    "config.kernel_args",   "config.entrypoint",   "config.command",
    "config.env",           "config.workdir",      "config.user",
    "config.ports",         "config.healthcheck",  "config.limits",
    "config.processes_max",
};

/* A field's text is JSON, so none looks like two. */
static void put_fields(FILE *to, const char *machine)
{
    struct json_value all = json_read(machine);

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        fprintf(to, "%s ", fields[i]);
        json_write(to, json_at(all, fields[i], strlen(fields[i])));
        fputc('\n', to);
    }
}

/* NULL is not "". With its length, so that none looks like two. */
static void put_word(FILE *to, const char *name, const char *word)
{
    fprintf(to, "%s %d %zu %s\n", name, word != NULL, word ? strlen(word) : 0,
            word ? word : "");
}

/* Who replaces a file has another one, and who writes into it another time. */
static void put_file(FILE *to, const struct stat *st)
{
    fprintf(to, "file %llu %llu %lld %lld.%09ld\n",
            (unsigned long long)st->st_dev, (unsigned long long)st->st_ino,
            (long long)st->st_size, (long long)st->st_mtim.tv_sec,
            st->st_mtim.tv_nsec);
}

int warm_name(const struct warm_kind *kind, char to[SM_SNAPSHOT_NAME_MAX + 1],
              struct sm_error *err)
{
    char digest[SHA256_DIGITS + 1];
    struct stat st = {0};
    char *text = NULL;
    size_t count;
    FILE *file;

    if (kind->kernel && stat(kind->kernel, &st) != 0)
        return text_fail_os(err, "kernel %s", kind->kernel);
    file = open_memstream(&text, &count);
    if (!file)
        return text_fail(err, SM_ENOMEM, "out of memory");
    put_fields(file, kind->machine);
    put_file(file, &st);
    put_word(file, "hostname", kind->hostname);
    put_word(file, "ready", kind->ready);
    fprintf(file, "way %d tty %d stdin %d timeout %llu\n", (int)kind->way,
            kind->tty, kind->open_stdin, (unsigned long long)kind->timeout_ms);
    if (fclose(file) != 0) {
        free(text);
        return text_fail(err, SM_ENOMEM, "out of memory");
    }
    sha256_text(text, count, digest);
    snprintf(to, SM_SNAPSHOT_NAME_MAX + 1, "%s%.*s", prefix, NAME_DIGITS,
             digest);
    free(text);
    return 0;
}

bool warm_is_name(const char *name)
{
    size_t length = strlen(prefix);

    return strncmp(name, prefix, length) == 0 &&
           strspn(name + length, "0123456789abcdef") == NAME_DIGITS &&
           name[length + NAME_DIGITS] == '\0';
}

bool warm_is_refusal(int rc)
{
    switch (rc) {
    case SM_ENOENT:
    case SM_EIMAGE:
    case SM_EDIGEST:
    case SM_ENOTSUP:
    case SM_EGUEST:
    case SM_EPROTO:
    case SM_EINVAL:
    case SM_EIO:
        return true;
    default:
        return false;
    }
}

static int remove_one(struct sm_host *host, const char *name,
                      void (*report)(void *context,
                                     const struct sm_store_change *change),
                      void *context, struct sm_error *err)
{
    char whole[SM_SNAPSHOT_NAME_MAX + 16];

    snprintf(whole, sizeof whole, "snapshot:%s", name);
    return sm_store_remove(host, whole, 0, report, context, err);
}

void warm_remove(struct sm_host *host, const char *name)
{
    remove_one(host, name, NULL, NULL, NULL);
}

/* ---------------------------------------------------------------- prune -- */

struct finding {
    char (*names)[SM_SNAPSHOT_NAME_MAX + 1];
    size_t count;
    bool failed; /* memory was out */
};

static void on_snapshot(void *context,
                        const struct sm_stored_snapshot *snapshot)
{
    struct finding *finding = context;
    void *more;

    if (!warm_is_name(snapshot->name) || finding->failed)
        return;
    more = realloc(finding->names,
                   (finding->count + 1) * sizeof finding->names[0]);
    finding->failed = !more;
    if (!more)
        return;
    finding->names = more;
    snprintf(finding->names[finding->count++], sizeof finding->names[0], "%s",
             snapshot->name);
}

static void on_removed(void *context, const struct sm_store_change *change)
{
    uint64_t *freed = context;

    *freed += change->bytes;
    printf("Deleted: snapshot:%s\n", change->what);
}

int warm_prune(struct sm_host *host, uint64_t *freed, struct sm_error *err)
{
    struct finding finding = {0};
    int rc = sm_snapshot_list(host, on_snapshot, &finding, err);

    if (!rc && finding.failed)
        rc = text_fail(err, SM_ENOMEM, "out of memory");
    for (size_t i = 0; i < finding.count && !rc; i++) {
        rc = remove_one(host, finding.names[i], on_removed, freed, err);
        /* Somebody was faster. */
        rc = rc == SM_ENOENT ? 0 : rc;
    }
    free(finding.names);
    return rc;
}
