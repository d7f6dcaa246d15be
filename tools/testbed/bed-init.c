/* bed-init.c - from the bare kernel to a machine that looks like the host.
 *
 * /low    the host's root, 9p, read-only; what does not change under us
 * /rw     a tmpfs: what is written
 * /new    overlay of the two, with own /dev, /proc, /sys, /run and /tmp;
 *         becomes the root
 */
#include "bed-agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* 125 descriptors of a page each: the most that 9p over virtio takes. */
#define NINEP "trans=virtio,version=9p2000.L,access=any,msize=512000,"

static void fail(const char *what)
{
    fprintf(stderr, "bed: %s: %s\n", what, strerror(errno));
    exit(1); /* panics the kernel, and panic=-1 ends QEMU */
}

static void must_mount(const char *source, const char *target, const char *type,
                       unsigned long flags, const char *options)
{
    mkdir(target, 0755);
    if (mount(source, target, type, flags, options) < 0)
        fail(target);
}

/* Without these a bed is still of use. */
static void may_mount(const char *source, const char *target, const char *type,
                      unsigned long flags, const char *options)
{
    mkdir(target, 0755);
    if (mount(source, target, type, flags, options) < 0)
        fprintf(stderr, "bed: %s: %s\n", target, strerror(errno));
}

void bed_make_folders(const char *path)
{
    char part[4096];

    for (size_t i = 1; path[0] == '/' && i < sizeof(part); i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        mkdir(part, 0755);
        if (path[i] == '\0')
            return;
    }
}

int bed_mount_9p(const char *tag, const char *target, const char *extra,
                 unsigned long flags)
{
    char options[256];

    snprintf(options, sizeof(options), NINEP "%s", extra);
    return mount(tag, target, "9p", flags, options) < 0 ? errno : 0;
}

/* The files of a folder in the order of their names. */
static void load_modules(const char *folder)
{
    struct dirent **list;
    int n = scandir(folder, &list, NULL, alphasort);
    char path[512];

    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, list[i]->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0 ||
            (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
            fprintf(stderr, "bed: %s: %s\n", path, strerror(errno));
        close(fd);
        unlink(path); /* the initramfs is memory */
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

/* Loads what the root does not need in a process of its own. */
static pid_t load_beside(const char *folder)
{
    pid_t pid = fork();

    if (pid == 0) {
        load_modules(folder);
        _exit(0);
    }
    return pid;
}

static int open_port(void)
{
    DIR *folder = opendir("/dev");
    struct dirent *entry;
    int fd = -1;

    while (folder != NULL && fd < 0 && (entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, "vport", 5) == 0)
            fd = openat(dirfd(folder), entry->d_name, O_RDWR | O_CLOEXEC);
    }
    if (folder != NULL)
        closedir(folder);
    return fd;
}

/* The kernel makes the port a little after its module was loaded. */
static int wait_for_port(void)
{
    int watch = inotify_init1(IN_CLOEXEC);
    char event[4096];
    int fd;

    if (watch < 0 || inotify_add_watch(watch, "/dev", IN_CREATE) < 0)
        fail("inotify");
    while ((fd = open_port()) < 0) {
        if (read(watch, event, sizeof(event)) < 0)
            fail("inotify");
    }
    close(watch);
    return fd;
}

static void make_devices(void)
{
    static const char *const links[][2] = {
        {"/proc/self/fd", "/dev/fd"},
        {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"},
        {"/proc/self/fd/2", "/dev/stderr"},
    };

    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        (void)!symlink(links[i][0], links[i][1]);
    may_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "ptmxmode=0666,mode=0620,gid=5");
    unlink("/dev/ptmx");
    (void)!symlink("pts/ptmx", "/dev/ptmx");
    may_mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    may_mount("mqueue", "/dev/mqueue", "mqueue", 0, NULL);
    chmod("/dev/kvm", 0666);
    chmod("/dev/vhost-vsock", 0666);
    chmod("/dev/net/tun", 0666);
}

static void enter_host(void)
{
    mkdir("/low", 0755);
    int error =
        bed_mount_9p("root", "/low", "cache=loose", MS_RDONLY | MS_NOATIME);

    if (error != 0) {
        errno = error;
        fail("the host's root over 9p");
    }
    must_mount("rw", "/rw", "tmpfs", 0, "size=80%,mode=0755");
    mkdir("/rw/upper", 0755);
    mkdir("/rw/work", 0755);
    must_mount("bed", "/new", "overlay", 0,
               "lowerdir=/low,upperdir=/rw/upper,workdir=/rw/work");
    must_mount("/dev", "/new/dev", NULL, MS_MOVE, NULL);
    must_mount("proc", "/new/proc", "proc", 0, NULL);
    must_mount("sys", "/new/sys", "sysfs", 0, NULL);
    must_mount("run", "/new/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
    must_mount("tmp", "/new/tmp", "tmpfs", MS_NOSUID | MS_NODEV,
               "size=80%,mode=1777");
    if (chdir("/new") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 ||
        chroot(".") < 0 || chdir("/") < 0)
        fail("entering the new root");
}

static void raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        fprintf(stderr, "bed: loopback: %s\n", strerror(errno));
    close(fd);
}

/*
 * One machine of KVM's for as long as the bed is up, so that the processors'
 * SVM stays switched on: KVM switches it with the first and the last machine,
 * and under QEMU 7.2 with thread=multi the whole bed stops after some tens of
 * these switches. Machines that are made later are faster made, too.
 */
static void keep_svm_on(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (kvm < 0 || ioctl(kvm, KVM_CREATE_VM, 0) < 0)
        fprintf(stderr, "bed: /dev/kvm: %s\n", strerror(errno));
}

static void mount_disk(void)
{
    if (access("/dev/vda", F_OK) == 0)
        may_mount("/dev/vda", "/disk", "ext4", 0, NULL);
}

void bed_bind_modules(const char *path)
{
    struct utsname kernel;
    char target[512];

    uname(&kernel);
    snprintf(target, sizeof(target), "/lib/modules/%s", kernel.release);
    bed_make_folders(target);
    may_mount(path, target, NULL, MS_BIND, NULL);
}

void bed_mount_out(size_t number)
{
    char tag[32], target[64];

    snprintf(tag, sizeof(tag), "out%zu", number);
    snprintf(target, sizeof(target), BED_RUN_FOLDER "/out%zu", number);
    mkdir(target, 0755);
    int error = bed_mount_9p(tag, target, "cache=mmap", 0);

    if (error != 0)
        fprintf(stderr, "bed: --out: %s\n", strerror(error));
}

int bed_init(void)
{
    static const struct rlimit files = {1024, 1 << 20};

    must_mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
    int console = open("/dev/console", O_RDWR);

    for (int i = 0; i < 3 && console >= 0; i++)
        dup2(console, i);
    if (console > 2)
        close(console);
    load_modules("/modules/first");
    pid_t beside = load_beside("/modules/then");
    int line = wait_for_port();

    enter_host();
    waitpid(beside, NULL, 0);
    make_devices();
    may_mount("cgroup", "/sys/fs/cgroup", "cgroup2",
              MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mkdir(BED_RUN_FOLDER, 0755);
    mkdir("/run/lock", 01777);
    raise_loopback();
    keep_svm_on();
    mount_disk();
    if (sethostname("testbed", 7) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
        fprintf(stderr, "bed: %s\n", strerror(errno));
    return line;
}
