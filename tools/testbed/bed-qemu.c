/* bed-qemu.c - from the daemon's child to a running QEMU. */
#include "bed.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A file that goes when its last descriptor is closed. */
static int open_nameless(void)
{
    const char *folder = getenv("TMPDIR");
    char path[4096];

    if (folder == NULL)
        folder = "/var/tmp";
    int fd = open(folder, O_TMPFILE | O_RDWR, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        snprintf(path, sizeof(path), "%s/testbed.XXXXXX", folder);
        fd = mkstemp(path);
        if (fd >= 0)
            unlink(path);
    }
    return fd;
}

/* A nameless file with a new ext4 in it. */
static int make_disk(const char *size)
{
    int fd = open_nameless();
    char path[64];
    int status;

    if (fd < 0)
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    pid_t pid = fork();

    if (pid == 0) {
        execlp("mkfs.ext4", "mkfs.ext4", "-q", "-F", "-m", "0", "-E",
               "lazy_itable_init=1,lazy_journal_init=1", path, size,
               (char *)NULL);
        execl("/sbin/mkfs.ext4", "mkfs.ext4", "-q", "-F", "-m", "0", "-E",
              "lazy_itable_init=1,lazy_journal_init=1", path, size,
              (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static size_t count(char **list)
{
    size_t n = 0;

    while (list[n] != NULL)
        n++;
    return n;
}

void bed_become_qemu(const struct bed_options *options, int line, int console,
                     pid_t parent)
{
    size_t n = count(options->qemu);
    char **argv = calloc(n + 16, sizeof(*argv));
    char line_option[64], disk_option[128];
    sigset_t none;

    if (argv == NULL)
        _exit(BED_FAILED);
    memcpy(argv, options->qemu, n * sizeof(*argv));
    snprintf(line_option, sizeof(line_option), "socket,id=line,fd=%d", line);
    argv[n++] = "-chardev";
    argv[n++] = line_option;
    argv[n++] = "-device";
    argv[n++] = "virtserialport,chardev=line,name=testbed";
    argv[n++] = "-chardev";
    argv[n++] = "file,id=console,path=/proc/self/fd/1";
    argv[n++] = "-serial";
    argv[n++] = "chardev:console";
    dup2(console, 1);
    dup2(console, 2);
    fcntl(line, F_SETFD, 0);
    if (options->disk != NULL) {
        int disk = make_disk(options->disk);

        if (disk < 0) {
            fprintf(stderr, "cannot make a disk of %s: %s\n", options->disk,
                    strerror(errno));
            _exit(BED_FAILED);
        }
        snprintf(disk_option, sizeof(disk_option),
                 "if=virtio,format=raw,cache=unsafe,discard=unmap,"
                 "file=/proc/self/fd/%d",
                 disk);
        argv[n++] = "-drive";
        argv[n++] = disk_option;
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(BED_FAILED);
    execvp(argv[0], argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(BED_FAILED);
}
