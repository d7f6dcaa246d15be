/* mkinitramfs.c: build tool: the agent's binary as an initramfs.
 *
 *     mkinitramfs OUTPUT AGENT
 *
 * Writes a "newc" archive (Linux, Documentation/driver-api/early-userspace/
 * buffer-format.rst) with /init and the few nodes that the kernel wants before
 * the agent mounts devtmpfs. Needs no root: an archive may name devices that
 * its maker could not make. The same input gives the same bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct entry {
    const char *name;
    uint32_t mode;
    uint32_t major, minor;
    const uint8_t *bytes;
    uint32_t count;
};

/* Every part of an archive begins at a multiple of four. */
static void pad(FILE *to, size_t written)
{
    static const char zero[4];

    fwrite(zero, 1, (4 - written % 4) % 4, to);
}

static void put_entry(FILE *to, uint32_t inode, const struct entry *entry)
{
    size_t name_size = strlen(entry->name) + 1;
    int header = fprintf(
        to, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", inode,
        entry->mode, 0, 0, 1, 0, entry->count, 0, 0, entry->major, entry->minor,
        (unsigned)name_size, 0);

    fwrite(entry->name, 1, name_size, to);
    pad(to, (size_t)header + name_size);
    if (entry->count)
        fwrite(entry->bytes, 1, entry->count, to);
    pad(to, entry->count);
}

/* The whole file, or NULL. */
static uint8_t *read_file(const char *path, uint32_t *ret_count)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    struct stat st;

    if (file && fstat(fileno(file), &st) == 0 && st.st_size > 0 &&
        st.st_size < INT32_MAX)
        bytes = malloc((size_t)st.st_size);
    if (bytes &&
        fread(bytes, 1, (size_t)st.st_size, file) != (size_t)st.st_size) {
        free(bytes);
        bytes = NULL;
    }
    if (bytes)
        *ret_count = (uint32_t)st.st_size;
    if (file)
        fclose(file);
    return bytes;
}

int main(int argc, char **argv)
{
    struct entry entries[] = {
        {"dev", S_IFDIR | 0755, 0, 0, NULL, 0},
        {"dev/console", S_IFCHR | 0600, 5, 1, NULL, 0},
        {"dev/null", S_IFCHR | 0666, 1, 3, NULL, 0},
        {"proc", S_IFDIR | 0755, 0, 0, NULL, 0},
        {"root", S_IFDIR | 0755, 0, 0, NULL, 0},
        {"sys", S_IFDIR | 0755, 0, 0, NULL, 0},
        {"init", S_IFREG | 0755, 0, 0, NULL, 0},
        {"TRAILER!!!", 0, 0, 0, NULL, 0},
    };
    const uint32_t count = sizeof entries / sizeof *entries;
    struct entry *init = &entries[count - 2];
    uint8_t *agent;
    FILE *to;

    if (argc != 3) {
        fprintf(stderr, "usage: mkinitramfs OUTPUT AGENT\n");
        return 2;
    }
    agent = read_file(argv[2], &init->count);
    if (!agent) {
        perror(argv[2]);
        return 1;
    }
    init->bytes = agent;
    to = fopen(argv[1], "wb");
    for (uint32_t i = 0; to && i < count; i++)
        put_entry(to, i + 1, &entries[i]);
    free(agent);
    if (!to || ferror(to) | fclose(to)) {
        perror(argv[1]);
        return 1;
    }
    return 0;
}
