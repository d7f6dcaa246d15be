/* device.c: /dev/kvm: opening it, and what it must offer; see kvm.h. */
#include "hypervisor/kvm/kvm.h"

#include "base/bytes.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

static const char device_path[] = "/dev/kvm";

int kvm_ioctl(int fd, unsigned long request, void *argument)
{
    int rc;

    do
        rc = ioctl(fd, request, argument);
    while (rc < 0 && errno == EINTR);
    return rc;
}

int kvm_ioctl_value(int fd, unsigned long request, unsigned long value)
{
    int rc;

    do
        rc = ioctl(fd, request, value);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* Why the device could not be opened, and what to do about it. */
static int open_failure(int os_error, struct sm_error *err)
{
    switch (os_error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return fail(err, SM_ENOHV,
                    "%s is missing: load KVM (modprobe kvm_amd or "
                    "kvm_intel); if that fails, switch on virtualization "
                    "(SVM, VT-x) in the firmware, or nested virtualization "
                    "in the hypervisor that this machine runs on",
                    device_path);
    case EACCES:
    case EPERM:
        return fail(err, SM_EACCES,
                    "%s: permission denied: join its group (sudo usermod "
                    "-aG kvm USER), then log in again",
                    device_path);
    default:
        return fail_errno(err, os_error, "open %s", device_path);
    }
}

/* What the backend is written with. All are in Linux 4.19. */
static const struct {
    int capability;
    const char *name;
} needed[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"},
    {KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
    {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    {KVM_CAP_IOEVENTFD_ANY_LENGTH, "KVM_CAP_IOEVENTFD_ANY_LENGTH"},
    {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
    {KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
    {KVM_CAP_X2APIC_API, "KVM_CAP_X2APIC_API"},
    {KVM_CAP_TSC_DEADLINE_TIMER, "KVM_CAP_TSC_DEADLINE_TIMER"},
    {KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ"},
    {KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    {KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
    {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
};

static int extension(int fd, int capability)
{
    return kvm_ioctl_value(fd, KVM_CHECK_EXTENSION, (unsigned long)capability);
}

static int check_device(int fd, struct sm_error *err)
{
    int version = kvm_ioctl_value(fd, KVM_GET_API_VERSION, 0);

    if (version < 0)
        return fail(err, SM_ENOHV, "%s is not a KVM device", device_path);
    if (version != KVM_API_VERSION)
        return fail(err, SM_ENOHV, "%s speaks version %d: %d is needed",
                    device_path, version, KVM_API_VERSION);
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (extension(fd, needed[i].capability) <= 0)
            return fail(err, SM_ENOHV,
                        "%s lacks %s: Linux 4.19 or newer is needed",
                        device_path, needed[i].name);
    return 0;
}

int kvm_open(int device_fd, int *ret, struct sm_error *err)
{
    AUTO_CLOSE int fd = device_fd >= 0 ? fcntl(device_fd, F_DUPFD_CLOEXEC, 0)
                                       : open(device_path, O_RDWR | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return open_failure(errno, err);
    rc = check_device(fd, err);
    if (rc)
        return rc;
    *ret = own_take_fd(&fd);
    return 0;
}

/* Widest guest-physical address (CPUID 0x80000008 EAX 7-0). */
static uint32_t gpa_bits(const struct hv_cpuid_table *offered)
{
    for (uint32_t i = 0; i < offered->count; i++)
        if (offered->entry[i].leaf == 0x80000008)
            return offered->entry[i].eax & 0xff;
    return 36; /* what processors without that leaf have (SDM 3, 4.1.4) */
}

int kvm_caps_fill(int fd, const struct hv_cpuid_table *offered,
                  struct hv_caps *ret, struct sm_error *err)
{
    int vcpus = extension(fd, KVM_CAP_MAX_VCPUS);

    if (vcpus <= 0)
        vcpus = extension(fd, KVM_CAP_NR_VCPUS);
    if (vcpus <= 0)
        return fail(err, SM_ENOHV, "%s does not say how many vcpus it has",
                    device_path);
    *ret = (struct hv_caps){
        .map_granule = 4096,
        .vcpus_max = (uint32_t)vcpus,
        .gpa_bits = gpa_bits(offered),
        .irqfd = true,
        .ioeventfd = true,
        .windows = true,
        .dirty_log = true,
        .user_ioapic = true,
        .save = true,
    };
    return 0;
}

int kvm_probe(int device_fd, struct hv_caps *ret, struct sm_error *err)
{
    AUTO_CLOSE int fd = -1;
    struct hv_cpuid_table offered;
    int rc = kvm_open(device_fd, &fd, err);

    if (!rc)
        rc = kvm_cpuid_offered(fd, &offered, err);
    if (!rc)
        rc = kvm_caps_fill(fd, &offered, ret, err);
    return rc;
}
