/* played.c: a machine on the scripted hypervisor; see played.h. */
#include "played.h"

#include "base/bytes.h"
#include "unit.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ELF_HEADER = 64, PROGRAM_HEADER = 56 };

/* The smallest vmlinux: one segment, which is the file itself. */
static int make_kernel(void)
{
    uint8_t file[ELF_HEADER + PROGRAM_HEADER] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    uint8_t *program = file + ELF_HEADER;
    int fd = memfd_create("kernel", MFD_CLOEXEC);

    assert_true(fd >= 0);
    store_le16(file + 16, 2);  /* type: executable      */
    store_le16(file + 18, 62); /* machine: x86_64       */
    store_le64(file + 24, PLAYED_ENTRY);
    store_le64(file + 32, ELF_HEADER);
    store_le16(file + 54, PROGRAM_HEADER);
    store_le16(file + 56, 1);   /* program headers       */
    store_le32(program + 0, 1); /* type: load            */
    store_le64(program + 24, PLAYED_ENTRY);
    store_le64(program + 32, sizeof file);
    store_le64(program + 40, 4096); /* bytes in memory    */
    assert_int_equal(write(fd, file, sizeof file), sizeof file);
    return fd;
}

void played_init(struct played *played, uint32_t vcpus,
                 const struct fake_options *options)
{
    *played = (struct played){.vcpus = vcpus, .kernel_fd = make_kernel()};
    played->script = fake_script_new(options);
    assert_non_null(played->script);
    assert_int_equal(loop_new(&played->loop, NULL), 0);
}

/* ---- what the machine tells ---- */

static int refuse(void *context, uint32_t host_port, uint32_t guest_port)
{
    (void)context;
    (void)host_port;
    (void)guest_port;
    return -1;
}

/* On a vcpu's thread, before its step counts as answered: played_wait() is
 * the barrier. */
static void console(void *context, const uint8_t *bytes, size_t count)
{
    struct played *played = context;

    if (count > sizeof played->console - 1 - played->console_bytes)
        count = sizeof played->console - 1 - played->console_bytes;
    memcpy(played->console + played->console_bytes, bytes, count);
    played->console_bytes += count;
}

static void step(void *context, const char *what)
{
    (void)context;
    (void)what;
}

static void ended(void *context, const struct vm_end *end)
{
    struct played *played = context;

    played->ends++;
    played->end = *end;
    played->ended_on = pthread_self();
}

static const struct vm_events events = {
    .connect = refuse, .console = console, .step = step, .ended = ended};

/* ---- life ---- */

int played_make(struct played *played, struct sm_error *err)
{
    struct vm_config config = {.hv = &hv_fake,
                               .hv_device_fd = -1,
                               .memory_bytes = 64 * MIB,
                               .vcpus = played->vcpus,
                               .saved = played->saved,
                               .kernel_fd = played->kernel_fd,
                               .initrd_fd = -1,
                               .cmdline = "quiet",
                               .disk = played->disk,
                               .loop = played->loop,
                               .events = &events,
                               .context = played,
                               .trust_hypervisor = true};

    return vm_new(&config, &played->vm, err);
}

void played_start(struct played *played)
{
    struct sm_error err;
    int rc = played_make(played, &err);

    if (rc)
        print_error("%s\n", err.message);
    assert_int_equal(rc, 0);
    vm_run(played->vm);
}

void played_done(struct played *played)
{
    vm_free(played->vm);
    fake_script_free(played->script);
    loop_free(played->loop);
    close(played->kernel_fd);
}

/* ---- the play ---- */

void played_add(struct played *played, uint32_t vcpu, struct fake_step step)
{
    fake_script_add(played->script, vcpu, &step);
}

void played_wait(struct played *played, uint32_t vcpu, unsigned count)
{
    assert_true(fake_script_wait(played->script, vcpu, count));
}

uint64_t played_read(struct played *played, unsigned index)
{
    struct fake_step step = fake_script_step(played->script, 0, index);

    assert_true(step.answered);
    return load_le64(step.data);
}

void played_expect_end(struct played *played, enum vm_end_kind kind)
{
    enum { TURNS = 100, TURN_MS = 200 };

    for (unsigned i = 0; i < TURNS && !played->ends; i++)
        loop_turn(played->loop, TURN_MS);
    /* Another wake, whoever it is for, is no second end. */
    loop_wake(played->loop);
    loop_turn(played->loop, TURN_MS);
    assert_int_equal(played->ends, 1);
    assert_int_equal(played->end.kind, kind);
    assert_true(pthread_equal(played->ended_on, pthread_self()));
}
