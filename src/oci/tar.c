/* tar.c: walking the headers of a tar; see tar.h. */
#include "oci/tar.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    RECORD = 512,
    EXTRA_MAX = 1 << 20, /* bytes of a pax header */
    LINKS_MAX = 8
};

/* ustar; all fields are text, padded with NULs or blanks. */
struct header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[6]; /* "ustar\0" (POSIX) or "ustar " (GNU) */
    char version[2];
    char owner[32];
    char group[32];
    char major[8];
    char minor[8];
    char prefix[155]; /* POSIX only */
    char unused[12];
};
_Static_assert(sizeof(struct header) == RECORD, "a header is one record");

/* One walk. What an extra header said holds for the next member. */
struct walk {
    int fd;
    uint64_t at;
    uint64_t end;
    struct tar *tar;
    char *name;
    char *link;
    bool has_size;
    uint64_t size;
};

static void forget_extra(struct walk *walk)
{
    free(own_take(walk->name));
    free(own_take(walk->link));
    walk->has_size = false;
}

/* ---- fields ---- */

/* Octal digits, or with the top bit set a big-endian number (GNU). */
static bool parse_number(const char *field, size_t length, uint64_t *ret)
{
    uint64_t value = 0;
    size_t at = 0;

    if ((uint8_t)field[0] & 0x80) {
        if ((uint8_t)field[0] != 0x80)
            return false; /* negative, or beyond any disk */
        for (at = 1; at < length; at++) {
            if (value >> 55)
                return false;
            value = value << 8 | (uint8_t)field[at];
        }
        *ret = value;
        return true;
    }
    while (at < length && field[at] == ' ')
        at++;
    for (; at < length && field[at] && field[at] != ' '; at++) {
        if (field[at] < '0' || field[at] > '7')
            return false;
        value = value << 3 | (uint64_t)(field[at] - '0');
    }
    *ret = value;
    return true;
}

static bool checksum_holds(const struct header *header)
{
    const uint8_t *bytes = (const uint8_t *)header;
    size_t from = offsetof(struct header, checksum);
    uint64_t stored;
    uint64_t sum = 0;

    for (size_t i = 0; i < RECORD; i++)
        sum += i >= from && i < from + sizeof header->checksum ? ' ' : bytes[i];
    return parse_number(header->checksum, sizeof header->checksum, &stored) &&
           stored == sum;
}

static bool is_zero(const struct header *header)
{
    static const struct header zero;

    return memcmp(header, &zero, sizeof zero) == 0;
}

/* Names are compared as if they all began at the root. */
static const char *plain_name(const char *name)
{
    for (;;) {
        if (name[0] == '/')
            name++;
        else if (name[0] == '.' && name[1] == '/')
            name += 2;
        else
            return name;
    }
}

/* A copy of (length) bytes at most; NULL if memory is out. */
static char *copy_field(const char *field, size_t length)
{
    return strndup(field, strnlen(field, length));
}

static char *header_name(const struct header *header)
{
    char *name;

    if (memcmp(header->magic, "ustar", 6) != 0 || !header->prefix[0])
        return copy_field(header->name, sizeof header->name);
    if (asprintf(&name, "%.*s/%.*s", (int)sizeof header->prefix, header->prefix,
                 (int)sizeof header->name, header->name) < 0)
        return NULL;
    return name;
}

/* ---- extra headers ---- */

/* A name ends with its record: a NUL in it would make it another one. */
static int take_pax_name(char **name, const char *value, size_t count,
                         struct sm_error *err)
{
    if (memchr(value, '\0', count))
        return fail(err, SM_EIMAGE, "malformed pax header: a NUL in a name");
    free(*name);
    *name = strndup(value, count);
    return *name ? 0 : fail(err, SM_ENOMEM, "out of memory");
}

/* "LENGTH KEY=VALUE\n"; what is left of it moves on. */
static int take_pax_record(struct walk *walk, const char **at, size_t *left,
                           struct sm_error *err)
{
    size_t length = 0;
    size_t digits = 0;
    const char *key;
    const char *value;
    const char *end;
    int rc = 0;

    while (digits < *left && digits < 7 && (*at)[digits] >= '0' &&
           (*at)[digits] <= '9')
        length = length * 10 + (size_t)((*at)[digits++] - '0');
    if (!digits || length > *left || length < digits + 3 ||
        (*at)[digits] != ' ' || (*at)[length - 1] != '\n')
        return fail(err, SM_EIMAGE, "malformed pax header");
    key = *at + digits + 1;
    end = *at + length - 1;
    value = memchr(key, '=', (size_t)(end - key));
    if (!value)
        return fail(err, SM_EIMAGE, "malformed pax header");
    value++;
    if (value - key == 5 && memcmp(key, "path=", 5) == 0) {
        rc = take_pax_name(&walk->name, value, (size_t)(end - value), err);
    } else if (value - key == 9 && memcmp(key, "linkpath=", 9) == 0) {
        rc = take_pax_name(&walk->link, value, (size_t)(end - value), err);
    } else if (value - key == 5 && memcmp(key, "size=", 5) == 0) {
        walk->size = 0;
        walk->has_size = true;
        for (; value < end; value++) {
            if (*value < '0' || *value > '9' || walk->size >> 59)
                return fail(err, SM_EIMAGE, "malformed size");
            walk->size = walk->size * 10 + (uint64_t)(*value - '0');
        }
    }
    *at += length;
    *left -= length;
    return rc;
}

static int take_extra(struct walk *walk, char type, uint64_t bytes,
                      struct sm_error *err)
{
    AUTO_FREE char *text = NULL;
    const char *at;
    size_t left = (size_t)bytes;
    int rc;

    if (bytes > EXTRA_MAX)
        return fail(err, SM_ELIMIT, "header of %llu bytes: at most %d",
                    (unsigned long long)bytes, EXTRA_MAX);
    text = calloc(1, left + 1);
    if (!text)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = file_read_at(walk->fd, text, left, walk->at, err);
    if (rc)
        return rc;
    if (type == 'L') {
        free(walk->name);
        walk->name = own_take(text);
    } else if (type == 'K') {
        free(walk->link);
        walk->link = own_take(text);
    }
    at = text;
    while (!rc && type == 'x' && left)
        rc = take_pax_record(walk, &at, &left, err);
    return rc;
}

/* ---- members ---- */

/* Takes (name) and (link) over. */
static int add_member(struct walk *walk, char *name, char *link, uint64_t bytes,
                      struct sm_error *err)
{
    AUTO_FREE char *owned_name = name;
    AUTO_FREE char *owned_link = link;
    struct tar *tar = walk->tar;

    if (!name)
        return fail(err, SM_ENOMEM, "out of memory");
    if (strlen(name) >= TAR_NAME_MAX)
        return fail(err, SM_ELIMIT, "name of %zu bytes: at most %d",
                    strlen(name), TAR_NAME_MAX - 1);
    if (tar->count == TAR_MEMBERS_MAX)
        return fail(err, SM_ELIMIT, "more than %d files", TAR_MEMBERS_MAX);
    if (tar->count == tar->room) {
        size_t room = tar->room ? 2 * tar->room : 64;
        struct tar_member *grown =
            realloc(tar->members, room * sizeof *tar->members);

        if (!grown)
            return fail(err, SM_ENOMEM, "out of memory");
        tar->members = grown;
        tar->room = room;
    }
    tar->members[tar->count++] = (struct tar_member){
        .name = own_take(owned_name),
        .link = own_take(owned_link),
        .offset = walk->at,
        .bytes = bytes,
    };
    return 0;
}

/* What a symbolic link in folder-of-(name) means, seen from the root: "../a"
 * in "b/c" is "a". NULL: out of memory. */
static char *resolve_link(const char *name, const char *link)
{
    const char *slash = strrchr(name, '/');
    size_t length = slash ? (size_t)(slash - name) : 0;
    char *joined;

    if (link[0] == '/')
        return strdup(plain_name(link));
    while (strncmp(link, "../", 3) == 0) {
        link += 3;
        while (length && name[length - 1] != '/')
            length--;
        if (length)
            length--;
    }
    if (asprintf(&joined, "%.*s%s%s", (int)length, name, length ? "/" : "",
                 plain_name(link)) < 0)
        return NULL;
    return joined;
}

static int take_member(struct walk *walk, const struct header *header,
                       uint64_t bytes, struct sm_error *err)
{
    AUTO_FREE char *whole = walk->name ? own_take(walk->name) : NULL;
    AUTO_FREE char *target = walk->link ? own_take(walk->link) : NULL;
    char *link = NULL;
    char *name;

    forget_extra(walk);
    if (header->type != '0' && header->type != '\0' && header->type != '1' &&
        header->type != '2')
        return 0;
    if (!whole)
        whole = header_name(header);
    if (!target)
        target = copy_field(header->link, sizeof header->link);
    if (!whole || !target)
        return fail(err, SM_ENOMEM, "out of memory");
    name = strdup(plain_name(whole));
    if (name && header->type == '1')
        link = strdup(plain_name(target));
    else if (name && header->type == '2')
        link = resolve_link(name, target);
    if ((header->type == '1' || header->type == '2') && !link) {
        free(name);
        return fail(err, SM_ENOMEM, "out of memory");
    }
    return add_member(walk, name, link, bytes, err);
}

/* One header and what belongs to it. *more is false behind the last one. */
static int step(struct walk *walk, bool *more, struct sm_error *err)
{
    struct header header;
    uint64_t bytes;
    int rc;

    *more = walk->end - walk->at >= RECORD;
    if (!*more)
        return 0;
    rc = file_read_at(walk->fd, &header, sizeof header, walk->at, err);
    if (rc)
        return rc;
    *more = !is_zero(&header);
    if (!*more)
        return 0;
    if (!checksum_holds(&header))
        return fail(err, SM_EIMAGE, "no tar header");
    if (!parse_number(header.size, sizeof header.size, &bytes))
        return fail(err, SM_EIMAGE, "malformed size");
    walk->at += RECORD;
    if (header.type == 'x' || header.type == 'L' || header.type == 'K' ||
        header.type == 'g') {
        if (bytes > walk->end - walk->at)
            return fail(err, SM_EIMAGE, "cut short");
        rc = take_extra(walk, header.type, bytes, err);
    } else {
        bytes = walk->has_size ? walk->size : bytes;
        if (header.type >= '1' && header.type <= '6')
            bytes = 0; /* links, devices, folders have no content */
        if (bytes > walk->end - walk->at)
            return fail(err, SM_EIMAGE, "cut short");
        rc = take_member(walk, &header, bytes, err);
    }
    if (!rc)
        walk->at += min_u64((bytes + RECORD - 1) / RECORD * RECORD,
                            walk->end - walk->at);
    return rc;
}

int tar_read(int fd, struct tar *ret, struct sm_error *err)
{
    struct walk walk = {.fd = fd, .tar = ret};
    bool more = true;
    int rc;

    *ret = (struct tar){0};
    rc = file_size(fd, &walk.end, err);
    if (!rc && walk.end < RECORD)
        rc = fail(err, SM_EIMAGE, "is no tar: it has %llu bytes",
                  (unsigned long long)walk.end);
    while (!rc && more) {
        uint64_t at = walk.at;

        rc = step(&walk, &more, err);
        if (rc)
            rc = wrap(err, rc, "tar, at byte %llu", (unsigned long long)at);
    }
    forget_extra(&walk);
    if (rc)
        tar_done(ret);
    return rc;
}

void tar_done(struct tar *tar)
{
    for (size_t i = 0; i < tar->count; i++) {
        free(tar->members[i].name);
        free(tar->members[i].link);
    }
    free(tar->members);
    *tar = (struct tar){0};
}

const struct tar_member *tar_find(const struct tar *tar, const char *name)
{
    const struct tar_member *found = NULL;

    name = plain_name(name);
    for (int links = 0; links < LINKS_MAX; links++) {
        found = NULL;
        for (size_t i = tar->count; i > 0 && !found; i--)
            if (strcmp(tar->members[i - 1].name, name) == 0)
                found = &tar->members[i - 1];
        if (!found || !found->link)
            return found;
        name = found->link;
    }
    return NULL;
}
