/* image.c: recognises, checks and loads a kernel; see boot.h. */
#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"

#include "base/bytes.h"
#include "platform/file.h"

#include <sys/stat.h>

/* Offsets into a bzImage (Documentation/x86/boot.rst). */
enum {
    SETUP_SECTS = 0x1f1,
    BOOT_FLAG = 0x1fe,
    JUMP_LENGTH = 0x201,
    HEADER_MAGIC = 0x202,
    VERSION = 0x206,
    INITRD_ADDR_MAX = 0x22c,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    VERSION_64BIT = 0x20c, /* 2.12: xloadflags */
    XLF_KERNEL_64 = 1 << 0,
    ENTRY_64BIT = 0x200,
    SECTOR = 512,
    SETUP_SECTS_DEFAULT = 4 /* what 0 means */
};

/* Offsets into an ELF file of 64 bits (System V ABI, chapters 4 and 5). */
enum {
    ELF_CLASS = 4,
    ELF_DATA = 5,
    ELF_TYPE = 16,
    ELF_MACHINE = 18,
    ELF_ENTRY = 24,
    ELF_PHOFF = 32,
    ELF_PHENTSIZE = 54,
    ELF_PHNUM = 56,
    ELF_HEADER_BYTES = 64,
    PH_TYPE = 0,
    PH_OFFSET = 8,
    PH_PADDR = 24,
    PH_FILESZ = 32,
    PH_MEMSZ = 40,
    PH_BYTES = 56,
    PH_MAX = 64, /* a vmlinux has about five */
    CLASS_64 = 2,
    DATA_LITTLE = 1,
    TYPE_EXEC = 2,
    MACHINE_X86_64 = 62,
    PT_LOAD = 1
};

/* A vmlinux does not say; the same as in the headers of its bzImage. */
#define VMLINUX_INITRD_MAX 0x7fffffffULL
/* The page tables of the boot map the first GiB. */
#define KERNEL_END_MAX GIB

enum { HEAD_BYTES = 1024 };

struct kernel_file {
    int fd;
    uint64_t bytes;
    uint8_t head[HEAD_BYTES]; /* zero beyond the file's end */
};

int load_range(const struct gmem *mem, struct gpa to,
               const struct file_range *from, struct sm_error *err)
{
    void *host = gmem_span(mem, to, from->bytes);
    int rc;

    if (!host)
        return fail(err, SM_ENOSPC,
                    "%s: memory up to %llu MiB is needed, the machine has "
                    "%llu",
                    from->what,
                    (unsigned long long)((to.v + from->bytes) / MIB + 1),
                    (unsigned long long)(gmem_total_bytes(mem) / MIB));
    rc = file_read_at(from->fd, host, from->bytes, from->offset, err);
    return rc ? wrap(err, rc, "%s", from->what) : 0;
}

/* The memory that a kernel claims for itself is there, and mapped at entry. */
static int check_memory(const struct gmem *mem, uint64_t start, uint64_t end,
                        struct sm_error *err)
{
    if (start < X86_KERNEL_MIN || end <= start || end > KERNEL_END_MAX)
        return fail(err, SM_EIMAGE,
                    "kernel wants memory from %#llx to %#llx: 1 MiB to 1 GiB",
                    (unsigned long long)start, (unsigned long long)end);
    if (!gmem_valid(mem, GPA(start), end - start))
        return fail(err, SM_ENOSPC,
                    "kernel: memory up to %llu MiB is needed, the machine has "
                    "%llu",
                    (unsigned long long)(end / MIB + 1),
                    (unsigned long long)(gmem_total_bytes(mem) / MIB));
    return 0;
}

/* -------------------------------------------------------------- vmlinux --- */

static bool is_elf(const struct kernel_file *file)
{
    return !memcmp(file->head, "\177ELF", 4);
}

static int check_elf(const struct kernel_file *file, struct sm_error *err)
{
    const uint8_t *head = file->head;

    if (head[ELF_CLASS] != CLASS_64 || head[ELF_DATA] != DATA_LITTLE ||
        load_le16(head + ELF_MACHINE) != MACHINE_X86_64)
        return fail(err, SM_EIMAGE,
                    "ELF file for another machine (%u): x86_64 is needed",
                    load_le16(head + ELF_MACHINE));
    if (load_le16(head + ELF_TYPE) != TYPE_EXEC ||
        load_le16(head + ELF_PHENTSIZE) != PH_BYTES ||
        !load_le16(head + ELF_PHNUM) || load_le16(head + ELF_PHNUM) > PH_MAX)
        return fail(err, SM_EIMAGE,
                    "ELF file, but no vmlinux: type %u, %u program headers",
                    load_le16(head + ELF_TYPE), load_le16(head + ELF_PHNUM));
    return 0;
}

/* Load one segment and widen the range of the kernel by it. */
static int load_segment(const struct kernel_file *file, const uint8_t *ph,
                        const struct gmem *mem, struct kernel_image *ret,
                        struct sm_error *err)
{
    struct file_range from = {
        .fd = file->fd,
        .offset = load_le64(ph + PH_OFFSET),
        .bytes = load_le64(ph + PH_FILESZ),
        .what = "kernel",
    };
    uint64_t start = load_le64(ph + PH_PADDR);
    uint64_t memory = load_le64(ph + PH_MEMSZ);
    uint64_t end;
    int rc;

    if (load_le32(ph + PH_TYPE) != PT_LOAD || !memory)
        return 0;
    if (from.bytes > memory || from.offset > file->bytes ||
        from.bytes > file->bytes - from.offset || !add_u64(start, memory, &end))
        return fail(err, SM_EIMAGE,
                    "kernel: a segment lies outside of its file, which is "
                    "damaged");
    rc = check_memory(mem, start, end, err);
    if (rc)
        return rc;
    ret->start = min_u64(ret->start, start);
    if (end > ret->end)
        ret->end = end;
    /* What memory has more than the file stays untouched: it is zero. */
    return from.bytes ? load_range(mem, GPA(start), &from, err) : 0;
}

static int load_vmlinux(const struct kernel_file *file, const struct gmem *mem,
                        struct kernel_image *ret, struct sm_error *err)
{
    uint8_t table[PH_MAX * PH_BYTES];
    unsigned count = load_le16(file->head + ELF_PHNUM);
    uint64_t table_at = load_le64(file->head + ELF_PHOFF);
    uint64_t table_bytes = (uint64_t)count * PH_BYTES;
    int rc = check_elf(file, err);

    if (rc)
        return rc;
    if (table_at > file->bytes || table_bytes > file->bytes - table_at)
        return fail(err, SM_EIMAGE,
                    "kernel: its program headers lie outside of its file, "
                    "which is damaged");
    rc = file_read_at(file->fd, table, table_bytes, table_at, err);
    if (rc)
        return wrap(err, rc, "kernel");
    *ret = (struct kernel_image){
        .entry = load_le64(file->head + ELF_ENTRY),
        .start = UINT64_MAX,
        .initrd_max = VMLINUX_INITRD_MAX,
        .cmdline_max = ARCH_CMDLINE_MAX,
    };
    for (unsigned i = 0; i < count && !rc; i++)
        rc = load_segment(file, table + i * PH_BYTES, mem, ret, err);
    if (rc)
        return rc;
    if (ret->entry < ret->start || ret->entry >= ret->end)
        return fail(err, SM_EIMAGE, "kernel: entry %#llx is outside of it",
                    (unsigned long long)ret->entry);
    return 0;
}

/* -------------------------------------------------------------- bzImage --- */

static bool is_bzimage(const struct kernel_file *file)
{
    return load_le16(file->head + BOOT_FLAG) == 0xaa55 &&
           !memcmp(file->head + HEADER_MAGIC, "HdrS", 4);
}

static int load_bzimage(const struct kernel_file *file, const struct gmem *mem,
                        struct kernel_image *ret, struct sm_error *err)
{
    const uint8_t *head = file->head;
    unsigned sectors =
        head[SETUP_SECTS] ? head[SETUP_SECTS] : SETUP_SECTS_DEFAULT;
    struct file_range from = {
        .fd = file->fd,
        .offset = (sectors + 1) * SECTOR,
        .what = "kernel",
    };
    uint64_t start = load_le64(head + PREF_ADDRESS);
    uint32_t header_bytes = HEADER_MAGIC + head[JUMP_LENGTH] - SETUP_HEADER;
    uint64_t end;
    int rc;

    if (load_le16(head + VERSION) < VERSION_64BIT ||
        !(load_le16(head + XLOADFLAGS) & XLF_KERNEL_64))
        return fail(err, SM_EIMAGE,
                    "bzImage without 64-bit entry: an x86_64 kernel of Linux "
                    "3.8 or newer is needed");
    if (from.offset + ENTRY_64BIT >= file->bytes)
        return fail(err, SM_EIMAGE, "bzImage of %llu bytes: truncated",
                    (unsigned long long)file->bytes);
    from.bytes = file->bytes - from.offset;
    if (!add_u64(start, load_le32(head + INIT_SIZE), &end) ||
        from.bytes > load_le32(head + INIT_SIZE))
        return fail(err, SM_EIMAGE, "bzImage: larger than its header says");
    rc = check_memory(mem, start, end, err);
    if (rc)
        return rc;
    *ret = (struct kernel_image){
        .entry = start + ENTRY_64BIT,
        .start = start,
        .end = end,
        .initrd_max = load_le32(head + INITRD_ADDR_MAX),
        .cmdline_max =
            (uint32_t)min_u64(load_le32(head + CMDLINE_SIZE), ARCH_CMDLINE_MAX),
        .header_bytes = (uint32_t)min_u64(header_bytes, SETUP_HEADER_MAX),
    };
    memcpy(ret->header, head + SETUP_HEADER, ret->header_bytes);
    return load_range(mem, GPA(start), &from, err);
}

/* ------------------------------------------------------------------ any --- */

static int open_kernel(int fd, struct kernel_file *ret, struct sm_error *err)
{
    struct stat status;

    *ret = (struct kernel_file){.fd = fd};
    if (fstat(fd, &status) != 0)
        return fail_os(err, "kernel");
    if (!S_ISREG(status.st_mode))
        return fail(err, SM_EIMAGE, "kernel: not a regular file");
    ret->bytes = (uint64_t)status.st_size;
    return file_read_at(fd, ret->head, min_u64(ret->bytes, HEAD_BYTES), 0, err);
}

int kernel_load(int fd, const struct gmem *mem, struct kernel_image *ret,
                struct sm_error *err)
{
    struct kernel_file file;
    int rc = open_kernel(fd, &file, err);

    if (rc)
        return rc;
    if (is_elf(&file) && file.bytes >= ELF_HEADER_BYTES)
        return load_vmlinux(&file, mem, ret, err);
    if (is_bzimage(&file) && file.bytes >= HEAD_BYTES)
        return load_bzimage(&file, mem, ret, err);
    return fail(err, SM_EIMAGE,
                "not a kernel: pass an x86_64 vmlinux (ELF, not compressed) "
                "or bzImage");
}
