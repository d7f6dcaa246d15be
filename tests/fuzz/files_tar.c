/* files_tar.c: fuzzes what this host makes of a tar that a guest has sent.
 *
 * The input is a tar, whose checksums are put right first, or the plan of one:
 * entries with names that like to lead out. Beside the target stands a folder
 * that nothing may touch.
 */
#include "base/bytes.h"
#include "files/unpack.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

enum { ENTRIES_MAX = 32, NAME_WORDS = 4 };

struct tape {
    const uint8_t *bytes;
    size_t count;
    size_t at;
};

static int64_t read_tape(void *context, void *to, size_t capacity,
                         struct sm_error *err)
{
    struct tape *tape = context;
    size_t count = min_u64(capacity, tape->count - tape->at);

    (void)err;
    if (count)
        memcpy(to, tape->bytes + tape->at, count);
    tape->at += count;
    return (int64_t)count;
}

static int write_tape(void *context, const void *bytes, size_t count,
                      struct sm_error *err)
{
    (void)err;
    return buf_append(context, bytes, count) ? 0 : SM_ELIMIT;
}

/* Everything in a folder, and no link followed. */
static void empty(int folder)
{
    DIR *entries = fdopendir(folder);
    const struct dirent *next;

    while (entries && (next = readdir(entries))) {
        int below;

        if (strcmp(next->d_name, ".") == 0 || strcmp(next->d_name, "..") == 0)
            continue;
        if (unlinkat(folder, next->d_name, 0) == 0)
            continue;
        if (fchmodat(folder, next->d_name, 0700, 0))
            abort();
        below = openat(folder, next->d_name,
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below < 0)
            abort();
        empty(below);
        if (unlinkat(folder, next->d_name, AT_REMOVEDIR))
            abort();
    }
    closedir(entries);
}

/* out/ and outside/file, once for the process; it works in that folder. */
static void prepare(void)
{
    static char folder[] = "/tmp/fuzz-files-XXXXXX";
    static bool done;

    if (!done) {
        int fd;

        if (!mkdtemp(folder) || chdir(folder) || mkdir("outside", 0755) ||
            mkdir("out", 0755))
            abort();
        fd = open("outside/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0 || write(fd, "kept", 4) != 4)
            abort();
        close(fd);
        done = true;
    }
    empty(open("out", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (symlink("../outside", "out/old"))
        abort();
}

/* As it was made: one file of four bytes, with one name and no rights more. */
static void check_outside(void)
{
    struct stat folder, file;

    if (stat("outside", &folder) || stat("outside/file", &file) ||
        (folder.st_mode & 07777) != 0755 || folder.st_nlink > 2 ||
        file.st_size != 4 || file.st_nlink != 1 ||
        (file.st_mode & 07777) != 0644)
        abort();
}

/* Nothing on the way may have got more rights than files have. */
static void check_made(const char *name)
{
    struct stat st;

    if (lstat(name, &st) == 0 &&
        (st.st_mode & 06000 || S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)))
        abort();
}

static void unpack_bytes(const uint8_t *bytes, size_t count, unsigned how)
{
    struct tape tape = {.bytes = bytes, .count = count};
    const struct pax_input in = {.read = read_tape, .context = &tape};
    const struct unpack_config config = {
        .path = how & 1 ? "out" : "out/new",
        .place = !(how & 1) || how & 2,
        .root = how & 4 ? "a" : NULL,
        .links = how & 8 ? BENEATH_INSIDE : BENEATH_NO_LINKS,
        .bytes_max = 1 << 20,
    };

    prepare();
    unpack(&config, &in, NULL, NULL);
    check_outside();
    check_made("out/a");
    check_made("out/new");
    check_made("out/b");
}

/* Every record might be a header: it gets the sum of one. */
static void put_sums_right(uint8_t *bytes, size_t count)
{
    for (size_t at = 0; at + PAX_RECORD <= count; at += PAX_RECORD) {
        struct pax_header header;
        char sum[8];

        memcpy(&header, bytes + at, sizeof header);
        snprintf(sum, sizeof sum, "%06o", pax_checksum(&header) & 0777777);
        memcpy(header.checksum, sum, sizeof sum);
        memcpy(bytes + at, &header, sizeof header);
    }
}

/* The next bytes of the plan as a name. */
static void make_name(char *to, size_t size, const uint8_t **at, size_t *left)
{
    static const char *const words[] = {"a", "b",   "..",      ".",
                                        "",  "old", "outside", "file"};
    size_t used = 0;

    to[0] = '\0';
    for (int i = 0; i<NAME_WORDS && * left> 0; i++) {
        uint8_t byte = *(*at)++;

        (*left)--;
        used += (size_t)snprintf(to + used, size - used, "%s%s", i ? "/" : "",
                                 words[byte & 7]);
        if (byte & 0x80)
            break;
    }
}

static void unpack_plan(const uint8_t *bytes, size_t count, unsigned how)
{
    struct buf tar;
    const struct pax_output out = {.write = write_tape, .context = &tar};
    struct pax_writer writer;

    buf_init(&tar, 1 << 20);
    if (pax_writer_init(&writer, &out, NULL))
        abort();
    for (int i = 0; i < ENTRIES_MAX && count > 0; i++) {
        struct pax_entry entry = {.mode = bytes[0] & 1 ? 06755 : 0};
        char name[128];
        char link[128];

        entry.type = (enum pax_type)('0' + (bytes[0] >> 1) % 7);
        bytes++;
        count--;
        make_name(name, sizeof name, &bytes, &count);
        make_name(link, sizeof link, &bytes, &count);
        entry.name = name;
        entry.link = link;
        if (pax_put(&writer, &entry, true, NULL))
            abort();
    }
    if (pax_put_end(&writer, NULL))
        abort();
    pax_writer_done(&writer);
    unpack_bytes(tar.data, tar.size, how);
    buf_done(&tar);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    uint8_t *copy;

    if (count < 2)
        return 0;
    if (bytes[0] & 0x80) {
        unpack_plan(bytes + 1, count - 1, bytes[0]);
        return 0;
    }
    copy = malloc(count);
    if (!copy)
        abort();
    memcpy(copy, bytes, count);
    if (bytes[0] & 0x40)
        put_sums_right(copy + 1, count - 1);
    unpack_bytes(copy + 1, count - 1, bytes[0]);
    free(copy);
    return 0;
}
