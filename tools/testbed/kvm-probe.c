/* kvm-probe.c - is this machine's /dev/kvm sound, interpreted or missing?
 *
 * Some hosts answer as KVM does, but interpret the guest's kernel-mode code an
 * instruction at a time. So a throw-away machine of one page runs 20 000
 * turns of `dec; jnz` in ring 0 (real mode is ring 0), and the time tells:
 * a processor needs some 0.01 ms, software emulation of SVM under 1 ms, an
 * interpreter some 25 ms. Prints "sound", "interpreted" or "missing" with
 * the figure or the reason. Exit status 0, 1, 2.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define GUEST_BYTES 0x1000u
#define LIMIT_US    5000 /* five times sound, a fifth of interpreted */
#define ROUNDS      3    /* the best one counts: the machine may be busy */

/* mov cx, 20000; 1: dec cx; jnz 1b; out 0x10, al; jmp to the start */
static const uint8_t code[] = {0xb9, 0x20, 0x4e, 0x49, 0x75,
                               0xfd, 0xe6, 0x10, 0xeb, 0xf6};

static int missing(const char *what)
{
    printf("missing: %s: %s\n", what, strerror(errno));
    return 2;
}

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Returns the vcpu's descriptor, at the code's start; -1 and errno. */
static int make_machine(int kvm, struct kvm_run **run)
{
    int machine = ioctl(kvm, KVM_CREATE_VM, 0);
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    void *memory = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region region = {
        .memory_size = GUEST_BYTES,
        .userspace_addr = (uintptr_t)memory,
    };
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rflags = 2};

    if (machine < 0 || size < 0 || memory == MAP_FAILED)
        return -1;
    memcpy(memory, code, sizeof(code));
    if (ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return -1;
    int vcpu = ioctl(machine, KVM_CREATE_VCPU, 0);

    if (vcpu < 0 || ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
        return -1;
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    *run =
        mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (*run == MAP_FAILED || ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 ||
        ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
        return -1;
    return vcpu;
}

int main(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    struct kvm_run *run;
    int64_t best = INT64_MAX;

    if (kvm < 0)
        return missing("/dev/kvm");
    if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        return missing("KVM_GET_API_VERSION");
    int vcpu = make_machine(kvm, &run);

    if (vcpu < 0)
        return missing("a throw-away machine");
    /* The first round also pays for faulting the page in. */
    for (int i = 0; i < ROUNDS + 1; i++) {
        int64_t start = now_us();

        do {
            if (ioctl(vcpu, KVM_RUN, 0) < 0 && errno != EINTR &&
                errno != EAGAIN)
                return missing("KVM_RUN");
        } while (run->exit_reason == KVM_EXIT_INTR);
        if (run->exit_reason != KVM_EXIT_IO) {
            printf("missing: the throw-away machine ended with exit reason "
                   "%u\n",
                   run->exit_reason);
            return 2;
        }
        int64_t spent = now_us() - start;

        if (i > 0 && spent < best)
            best = spent;
    }
    printf("%s: 20000 turns of ring 0 in %.2f ms\n",
           best < LIMIT_US ? "sound" : "interpreted", (double)best / 1000);
    return best < LIMIT_US ? 0 : 1;
}
