/* pax_read.c: entries out of a stream; see pax.h. */
#include "files/pax_number.h"

#include "base/bytes.h"
#include "base/wire.h"

#include <stdlib.h>

enum {
    FILL_MAX = 1 << 20, /* bytes behind the end that are still read  */
    XATTRS_MAX = 1 << 20,
    NAME_ROOM = PAX_NAME_MAX + 1,
    LINE_MAX_DIGITS = 20 /* of a number in a list of pieces */
};

/* What extra headers said of the next entry. */
struct told {
    struct pax_entry entry;
    bool has_size, has_uid, has_gid, has_mtime, has_major, has_minor;
    bool has_name, has_link;
    uint64_t stored; /* "size": of the content in the stream */
    unsigned sparse_major;
    bool sparse;
    uint64_t real_size;
};

int pax_reader_init(struct pax_reader *reader, const struct pax_input *from,
                    struct sm_error *err)
{
    *reader = (struct pax_reader){.from = *from, .bytes = malloc(PAX_BUFFER)};
    buf_init(&reader->name, NAME_ROOM);
    buf_init(&reader->link, NAME_ROOM);
    buf_init(&reader->xattrs, XATTRS_MAX);
    buf_init(&reader->pieces, PAX_PIECES_MAX * sizeof(struct pax_piece));
    return reader->bytes ? 0 : fail(err, SM_ENOMEM, "tar: out of memory");
}

void pax_reader_done(struct pax_reader *reader)
{
    free(reader->bytes);
    buf_done(&reader->name);
    buf_done(&reader->link);
    buf_done(&reader->xattrs);
    buf_done(&reader->pieces);
}

/* ---- bytes ---- */

/* Have at least one byte in the buffer. 1; 0: the input has ended. */
static int fill(struct pax_reader *reader, struct sm_error *err)
{
    int64_t count;

    if (reader->at < reader->filled)
        return 1;
    count =
        reader->from.read(reader->from.context, reader->bytes, PAX_BUFFER, err);
    if (count <= 0)
        return (int)count;
    reader->at = 0;
    reader->filled = (size_t)count;
    return 1;
}

static int cut_short(struct sm_error *err)
{
    return fail(err, SM_ECLOSED, "tar: it is cut short");
}

/* Exactly (count) bytes to (to), or NULL: past them. */
static int take(struct pax_reader *reader, void *to, uint64_t count,
                struct sm_error *err)
{
    uint8_t *next = to;

    while (count > 0) {
        int rc = fill(reader, err);
        size_t some = min_u64(count, reader->filled - reader->at);

        if (rc <= 0)
            return rc ? rc : cut_short(err);
        if (next) {
            memcpy(next, reader->bytes + reader->at, some);
            next += some;
        }
        reader->at += some;
        count -= some;
    }
    return 0;
}

/* ---- numbers ---- */

static int malformed(const char *what, struct sm_error *err)
{
    return fail(err, SM_EINVAL, "tar: malformed %s", what);
}

static bool parse_u32(const char *field, size_t length, uint32_t *ret)
{
    int64_t value;

    if (!pax_field(field, length, &value) || value < 0 || value > UINT32_MAX)
        return false;
    *ret = (uint32_t)value;
    return true;
}

static bool parse_id(const char *text, size_t count, uint32_t *ret)
{
    uint64_t value;

    if (!pax_decimal(text, count, UINT32_MAX, &value))
        return false;
    *ret = (uint32_t)value;
    return true;
}

/* ---- extra headers ---- */

/* A string for the next entry; without a NUL, and short enough for a path. */
static bool keep_text(struct buf *to, const char *text, size_t count)
{
    buf_clear(to);
    return count > 0 && !memchr(text, '\0', count) && count <= PAX_NAME_MAX &&
           buf_append(to, text, count) && buf_append(to, "", 1);
}

static bool key_is(const char *key, size_t length, const char *name)
{
    return strlen(name) == length && memcmp(key, name, length) == 0;
}

static bool take_xattr(struct pax_reader *reader, const char *name,
                       size_t length, const char *value, size_t count)
{
    struct buf *to = &reader->xattrs;

    if (length == 0 || length > 255 || memchr(name, '\0', length))
        return false;
    wire_put_blob(to, name, length);
    wire_put_blob(to, value, count);
    return !to->failed;
}

/* The part of take_value() that is about files with holes. */
static bool take_sparse(struct told *told, const char *key, size_t length,
                        const char *value, size_t count)
{
    uint64_t number;

    if (key_is(key, length, "GNU.sparse.major")) {
        told->sparse = pax_decimal(value, count, 9, &number);
        told->sparse_major = told->sparse ? (unsigned)number : 0;
        return told->sparse;
    }
    if (key_is(key, length, "GNU.sparse.realsize"))
        return pax_decimal(value, count, INT64_MAX, &told->real_size);
    /* The older kinds, 0.0 and 0.1. */
    if (key_is(key, length, "GNU.sparse.map") ||
        key_is(key, length, "GNU.sparse.numblocks"))
        told->sparse = true;
    return true;
}

static bool take_value(struct pax_reader *reader, struct told *told,
                       const char *key, size_t length, const char *value,
                       size_t count)
{
    static const char xattr[] = "SCHILY.xattr.";
    const size_t xattr_length = sizeof xattr - 1;
    struct pax_entry *entry = &told->entry;

    if (key_is(key, length, "path") || key_is(key, length, "GNU.sparse.name"))
        return told->has_name = keep_text(&reader->name, value, count);
    if (key_is(key, length, "linkpath"))
        return told->has_link = keep_text(&reader->link, value, count);
    if (key_is(key, length, "size"))
        return told->has_size =
                   pax_decimal(value, count, INT64_MAX, &told->stored);
    if (key_is(key, length, "uid"))
        return told->has_uid = parse_id(value, count, &entry->uid);
    if (key_is(key, length, "gid"))
        return told->has_gid = parse_id(value, count, &entry->gid);
    if (key_is(key, length, "mtime"))
        return told->has_mtime =
                   pax_time(value, count, &entry->mtime_s, &entry->mtime_ns);
    if (key_is(key, length, "SCHILY.devmajor"))
        return told->has_major = parse_id(value, count, &entry->major);
    if (key_is(key, length, "SCHILY.devminor"))
        return told->has_minor = parse_id(value, count, &entry->minor);
    if (length > xattr_length && memcmp(key, xattr, xattr_length) == 0)
        return take_xattr(reader, key + xattr_length, length - xattr_length,
                          value, count);
    return take_sparse(told, key, length, value, count);
}

/* "LENGTH KEY=VALUE\n", one after the other. */
static int take_records(struct pax_reader *reader, struct told *told,
                        const char *at, size_t left, struct sm_error *err)
{
    while (left > 0) {
        const char *blank = memchr(at, ' ', left < 8 ? left : 8);
        const char *key = blank ? blank + 1 : NULL;
        const char *equals;
        uint64_t length;

        if (!blank || !pax_decimal(at, (size_t)(blank - at), left, &length) ||
            length < (size_t)(blank - at) + 4 || at[length - 1] != '\n')
            return malformed("extra header", err);
        equals = memchr(key, '=', (size_t)(at + length - 1 - key));
        if (!equals ||
            !take_value(reader, told, key, (size_t)(equals - key), equals + 1,
                        (size_t)(at + length - 1 - (equals + 1))))
            return malformed("extra header", err);
        at += length;
        left -= length;
    }
    return 0;
}

static int take_extra(struct pax_reader *reader, struct told *told, char type,
                      uint64_t count, struct sm_error *err)
{
    uint64_t whole = align_up(count, PAX_RECORD);
    char *text;
    int rc;

    if (count > PAX_EXTRA_MAX)
        return fail(err, SM_ELIMIT,
                    "tar: extra header of %llu bytes: at most %d",
                    (unsigned long long)count, PAX_EXTRA_MAX);
    /* Global ones tell of the archive as a whole, by custom. */
    if (type == 'g')
        return take(reader, NULL, whole, err);
    text = malloc(whole + 1);
    if (!text)
        return fail(err, SM_ENOMEM, "tar: out of memory");
    rc = take(reader, text, whole, err);
    if (!rc && type == 'x') {
        rc = take_records(reader, told, text, count, err);
    } else if (!rc) {
        size_t length = strnlen(text, count);

        if (!keep_text(type == 'L' ? &reader->name : &reader->link, text,
                       length))
            rc = malformed("long name", err);
        else if (type == 'L')
            told->has_name = true;
        else
            told->has_link = true;
    }
    free(text);
    return rc;
}

/* ---- headers ---- */

/* What a header that is none was compressed with; NULL: it was not. */
static const char *compression_of(const struct pax_header *header)
{
    static const struct {
        const char *magic;
        size_t count;
        const char *name;
    } compressed[] = {
        {"\x1f\x8b", 2, "gzip"},
        {"BZh", 3, "bzip2"},
        {"\xfd"
         "7zXZ",
         5, "xz"},
        {"\x28\xb5\x2f\xfd", 4, "zstd"},
    };

    for (size_t i = 0; i < ARRAY_LEN(compressed); i++)
        if (memcmp(header, compressed[i].magic, compressed[i].count) == 0)
            return compressed[i].name;
    return NULL;
}

/* What is no tar at all, in words that help. */
static int refuse_header(const struct pax_header *header, struct sm_error *err)
{
    const char *name = compression_of(header);

    if (name)
        return fail(err, SM_ENOTSUP,
                    "tar: compressed with %s: decompress it before", name);
    return fail(err, SM_EINVAL, "tar: no header where one should be");
}

static bool is_zero(const struct pax_header *header)
{
    static const struct pax_header zero;

    return memcmp(header, &zero, sizeof zero) == 0;
}

/* The next header that is one. 1; 0: the end. */
static int next_header(struct pax_reader *reader, struct pax_header *header,
                       struct sm_error *err)
{
    int64_t sum;
    int rc;

    *header = (struct pax_header){0};
    rc = take(reader, header, sizeof *header, err);
    /* What is compressed may be shorter than a header. */
    if (rc == SM_ECLOSED && compression_of(header))
        return refuse_header(header, err);
    if (rc)
        return rc;
    if (is_zero(header))
        return 0;
    if (!pax_field(header->checksum, sizeof header->checksum, &sum) ||
        sum != (int64_t)pax_checksum(header))
        return refuse_header(header, err);
    return 1;
}

/* Up to the end of the input, so that nobody who fills a last block is cut
 * off. */
static int drain(struct pax_reader *reader, struct sm_error *err)
{
    size_t seen = reader->filled - reader->at;
    int rc = 1;

    while (rc == 1 && seen < FILL_MAX) {
        reader->at = reader->filled;
        rc = fill(reader, err);
        seen += reader->filled - reader->at;
    }
    reader->ended = true;
    if (rc == 1)
        return fail(err, SM_ELIMIT, "tar: more than %d bytes behind its end",
                    FILL_MAX);
    return rc;
}

static bool take_names(struct pax_reader *reader, struct told *told,
                       const struct pax_header *header)
{
    char joined[sizeof header->prefix + 1 + sizeof header->name];
    size_t length = 0;

    if (!told->has_link) {
        length = strnlen(header->link, sizeof header->link);
        buf_clear(&reader->link);
        buf_append(&reader->link, header->link, length);
        buf_append(&reader->link, "", 1);
    }
    length = 0;
    if (memcmp(header->magic, "ustar", 6) == 0 && header->prefix[0]) {
        length = strnlen(header->prefix, sizeof header->prefix);
        memcpy(joined, header->prefix, length);
        joined[length++] = '/';
    }
    memcpy(joined + length, header->name,
           strnlen(header->name, sizeof header->name));
    length += strnlen(header->name, sizeof header->name);
    if (!told->has_name && !keep_text(&reader->name, joined, length))
        return false;
    return !reader->link.failed;
}

static bool take_numbers(struct told *told, const struct pax_header *header)
{
    struct pax_entry *entry = &told->entry;
    int64_t value;

    if (!parse_u32(header->mode, sizeof header->mode, &entry->mode) ||
        (!told->has_uid &&
         !parse_u32(header->uid, sizeof header->uid, &entry->uid)) ||
        (!told->has_gid &&
         !parse_u32(header->gid, sizeof header->gid, &entry->gid)))
        return false;
    entry->mode &= 07777;
    if (!told->has_mtime &&
        !pax_field(header->mtime, sizeof header->mtime, &entry->mtime_s))
        return false;
    if (!pax_field(header->size, sizeof header->size, &value) || value < 0)
        return false;
    if (!told->has_size)
        told->stored = (uint64_t)value;
    if (header->type != PAX_CHAR && header->type != PAX_BLOCK)
        return true;
    return (told->has_major ||
            parse_u32(header->major, sizeof header->major, &entry->major)) &&
           (told->has_minor ||
            parse_u32(header->minor, sizeof header->minor, &entry->minor));
}

static int take_type(struct pax_reader *reader, struct told *told, char type,
                     struct sm_error *err)
{
    const char *name = (const char *)reader->name.data;
    struct pax_entry *entry = &told->entry;

    if (type == '\0' || type == '7')
        type = PAX_FILE;
    /* Before POSIX a folder was a name with a slash behind it. */
    if (type == PAX_FILE && name[strlen(name) - 1] == '/')
        type = PAX_FOLDER;
    if (type < PAX_FILE || type > PAX_FIFO)
        return fail(err, SM_ENOTSUP, "tar: %s: entries of type \"%c\"%s", name,
                    type, type == 'S' ? ": use --format=pax" : "");
    entry->type = (enum pax_type)type;
    if (type != PAX_FILE)
        told->stored = 0;
    if (type == PAX_FILE && told->sparse && told->sparse_major != 1)
        return fail(err, SM_ENOTSUP,
                    "tar: %s: holes as GNU tar stored them before 1.0", name);
    return 0;
}

/* ---- files with holes ---- */

/* One line of digits; what was taken counts against the content. */
static int take_line(struct pax_reader *reader, uint64_t *ret,
                     struct sm_error *err)
{
    char digits[LINE_MAX_DIGITS];
    size_t count = 0;

    for (;;) {
        char c;
        int rc;

        if (reader->left == 0)
            return malformed("list of holes", err);
        rc = take(reader, &c, 1, err);
        if (rc)
            return rc;
        reader->left--;
        if (c == '\n')
            break;
        if (count == sizeof digits)
            return malformed("list of holes", err);
        digits[count++] = c;
    }
    return pax_decimal(digits, count, INT64_MAX, ret)
               ? 0
               : malformed("list of holes", err);
}

/* The list in front of the data: pieces that rise and fit. */
static int take_pieces(struct pax_reader *reader, struct told *told,
                       struct sm_error *err)
{
    uint64_t stored = reader->left;
    uint64_t count, rest;
    uint64_t end = 0;
    uint64_t sum = 0;
    int rc = take_line(reader, &count, err);

    if (!rc && count > PAX_PIECES_MAX)
        rc = fail(err, SM_ELIMIT, "tar: %llu pieces of data: at most %d",
                  (unsigned long long)count, PAX_PIECES_MAX);
    for (uint64_t i = 0; !rc && i < count; i++) {
        struct pax_piece piece = {0};

        rc = take_line(reader, &piece.offset, err);
        if (!rc)
            rc = take_line(reader, &piece.count, err);
        if (!rc &&
            (piece.offset < end || !add_u64(piece.offset, piece.count, &end) ||
             end > told->real_size))
            rc = malformed("list of holes", err);
        sum += piece.count;
        if (!rc && !buf_append(&reader->pieces, &piece, sizeof piece))
            rc = fail(err, SM_ENOMEM, "tar: out of memory");
    }
    rest = (stored - reader->left) % PAX_RECORD;
    rest = rest ? PAX_RECORD - rest : 0;
    if (!rc && (rest > reader->left || reader->left - rest != sum))
        rc = malformed("list of holes", err);
    if (!rc)
        rc = take(reader, NULL, rest, err);
    reader->left -= rc ? 0 : rest;
    return rc;
}

/* ---- entries ---- */

static int finish_entry(struct pax_reader *reader, struct told *told,
                        const struct pax_header *header, struct pax_entry *ret,
                        struct sm_error *err)
{
    struct pax_entry *entry = &told->entry;
    int rc = 0;

    if (!take_names(reader, told, header))
        return malformed("name", err);
    if (!take_numbers(told, header))
        return malformed("header", err);
    rc = take_type(reader, told, header->type, err);
    if (rc)
        return rc;
    reader->left = told->stored;
    reader->padding =
        (size_t)(align_up(told->stored, PAX_RECORD) - told->stored);
    reader->piece = 0;
    reader->piece_done = 0;
    entry->size = told->stored;
    if (told->sparse && entry->type == PAX_FILE) {
        entry->size = told->real_size;
        rc = take_pieces(reader, told, err);
        entry->piece_count = reader->pieces.size / sizeof(struct pax_piece);
    } else if (told->stored > 0) {
        struct pax_piece all = {.count = told->stored};

        if (!buf_append(&reader->pieces, &all, sizeof all))
            rc = fail(err, SM_ENOMEM, "tar: out of memory");
    }
    /* The buffer is aligned for any object. */
    if (told->sparse)
        entry->pieces = (const void *)reader->pieces.data;
    entry->name = (const char *)reader->name.data;
    entry->link = entry->type == PAX_LINK || entry->type == PAX_SYMLINK
                      ? (const char *)reader->link.data
                      : "";
    entry->xattrs = reader->xattrs.data;
    entry->xattrs_count = reader->xattrs.size;
    *ret = *entry;
    return rc ? rc : 1;
}

int pax_next(struct pax_reader *reader, struct pax_entry *ret,
             struct sm_error *err)
{
    struct told told = {0};
    int rc = take(reader, NULL, reader->left + reader->padding, err);

    if (rc || reader->ended)
        return rc;
    reader->left = reader->padding = 0;
    buf_clear(&reader->xattrs);
    buf_clear(&reader->pieces);
    for (;;) {
        struct pax_header header;
        int64_t count;

        rc = next_header(reader, &header, err);
        if (rc <= 0)
            return rc ? rc : drain(reader, err);
        if (header.type != 'x' && header.type != 'g' && header.type != 'L' &&
            header.type != 'K' && header.type != 'V')
            return finish_entry(reader, &told, &header, ret, err);
        if (!pax_field(header.size, sizeof header.size, &count) || count < 0)
            return malformed("size", err);
        /* GNU's label of a volume says nothing of files. */
        if (header.type == 'V')
            continue;
        rc = take_extra(reader, &told, header.type, (uint64_t)count, err);
        if (rc)
            return rc;
    }
}

int pax_content(struct pax_reader *reader, uint64_t *offset,
                const uint8_t **bytes, size_t *count, struct sm_error *err)
{
    const struct pax_piece *pieces = (const void *)reader->pieces.data;
    const struct pax_piece *piece;
    int rc;

    if (reader->left == 0)
        return 0;
    while (reader->piece_done == pieces[reader->piece].count) {
        reader->piece++;
        reader->piece_done = 0;
    }
    piece = &pieces[reader->piece];
    rc = fill(reader, err);
    if (rc <= 0)
        return rc ? rc : cut_short(err);
    *offset = piece->offset + reader->piece_done;
    *bytes = reader->bytes + reader->at;
    *count =
        min_u64(piece->count - reader->piece_done, reader->filled - reader->at);
    reader->at += *count;
    reader->left -= *count;
    reader->piece_done += *count;
    return 1;
}
