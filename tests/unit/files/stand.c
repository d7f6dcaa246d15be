/* stand.c: a folder for a test, tars in memory; see stand.h. */
#include "stand.h"

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

int stand_set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/files-stand-XXXXXX");
    return !mkdtemp(folder) || chdir(folder) ? -1 : 0;
}

int stand_tear_down(void **state)
{
    char script[192];

    (void)state;
    snprintf(script, sizeof script, "chmod -R u+rwx %s; rm -rf %s", folder,
             folder);
    shell(script);
    return chdir("/tmp");
}

void shell(const char *script)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        execl("/bin/bash", "bash", "-ec", script, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("status %#x of: %s", status, script);
}

void tape_init(struct tape *tape)
{
    *tape = (struct tape){0};
    buf_init(&tape->bytes, 64 << 20);
}

void tape_done(struct tape *tape)
{
    buf_done(&tape->bytes);
}

static int write_tape(void *context, const void *bytes, size_t count,
                      struct sm_error *err)
{
    struct tape *tape = context;

    (void)err;
    assert_true(buf_append(&tape->bytes, bytes, count));
    return 0;
}

static int64_t read_tape(void *context, void *to, size_t capacity,
                         struct sm_error *err)
{
    struct tape *tape = context;
    size_t count = min_u64(capacity, tape->bytes.size - tape->at);

    (void)err;
    if (tape->step)
        count = min_u64(count, tape->step);
    if (count)
        memcpy(to, tape->bytes.data + tape->at, count);
    tape->at += count;
    return (int64_t)count;
}

struct pax_output tape_output(struct tape *tape)
{
    return (struct pax_output){.write = write_tape, .context = tape};
}

struct pax_input tape_input(struct tape *tape)
{
    return (struct pax_input){.read = read_tape, .context = tape};
}

struct pax_entry entry_of(enum pax_type type, const char *name,
                          const char *link)
{
    return (struct pax_entry){
        .type = type,
        .mode = type == PAX_FOLDER ? 0755 : 0644,
        .name = name,
        .link = link ? link : "",
    };
}

/* A writer for each: it adds its end, which is taken off again. */
void tape_add(struct tape *tape, const struct pax_entry *entry,
              const char *text)
{
    struct pax_output out = tape_output(tape);
    struct pax_writer writer;
    struct pax_entry whole;

    assert_int_equal(pax_writer_init(&writer, &out, NULL), 0);
    if (entry) {
        whole = *entry;
        if (text)
            whole.size = strlen(text);
        assert_int_equal(pax_put(&writer, &whole, true, NULL), 0);
        if (text && *text) {
            size_t room;

            memcpy(pax_room(&writer, &room), text, strlen(text));
            assert_int_equal(pax_added(&writer, strlen(text), NULL), 0);
        }
    }
    assert_int_equal(pax_put_end(&writer, NULL), 0);
    if (entry)
        tape->bytes.size -= 2 * PAX_RECORD;
    pax_writer_done(&writer);
}

void tape_pack(struct tape *tape, const char *path)
{
    const struct pack_config config = {.path = path};
    const struct pax_output out = tape_output(tape);
    struct sm_error err;

    if (pack(&config, &out, NULL, &err))
        fail_msg("%s", err.message);
}

int tape_unpack(struct tape *tape, struct sm_error *err)
{
    const struct unpack_config config = {.path = "out",
                                         .links = BENEATH_INSIDE};
    const struct pax_input in = tape_input(tape);

    return unpack(&config, &in, NULL, err);
}
