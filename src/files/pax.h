/* pax.h: trees as streams: tar in its POSIX form (POSIX.1-2017, pax), with what
 * GNU tar, libarchive and Docker add to it.
 *
 * How it works
 *   A stream is a row of entries: a header of 512 bytes, and for regular files
 *   the content, filled up to a multiple of 512; two empty headers end it. What
 *   does not fit into a header stands in an extra one before it, as
 *   "LENGTH KEY=VALUE\n" records: long names, large numbers, nanoseconds,
 *   extended attributes (SCHILY.xattr.NAME).
 *
 *   A file with holes is stored as GNU tar 1.0 does with --format=pax: its
 *   content begins with a list of the pieces that are data, in decimal, and
 *   those alone follow.
 *
 *   Both ends work in one buffer of their own. A writer's content is read
 *   straight into it, a reader's handed out of it: the bytes of a file are
 *   copied once on each side.
 *
 *   A reader takes what is written here, and plain old tar, ustar and GNU's
 *   long names besides. It believes nothing: every number has a range, every
 *   list a cap. Names come out as they stand in the stream; what they may lead
 *   to is the business of unpack.h.
 */
#ifndef SM_FILES_PAX_H
#define SM_FILES_PAX_H

#include "base/buf.h"
#include "base/error.h"

enum {
    PAX_RECORD = 512,
    PAX_BUFFER = 256 << 10,
    PAX_NAME_MAX = 4095,     /* bytes of a name or link, as PATH_MAX has it */
    PAX_EXTRA_MAX = 1 << 20, /* bytes of an extra header                    */
    PAX_PIECES_MAX = 65536   /* pieces of data of a file with holes         */
};

/* The digit in the header. */
enum pax_type {
    PAX_FILE = '0',
    PAX_LINK = '1', /* hard */
    PAX_SYMLINK = '2',
    PAX_CHAR = '3',
    PAX_BLOCK = '4',
    PAX_FOLDER = '5',
    PAX_FIFO = '6'
};

/* A part of a file that is data; all else reads as zeros. */
struct pax_piece {
    uint64_t offset;
    uint64_t count;
};

struct pax_entry {
    enum pax_type type;
    uint32_t mode; /* 0 to 07777 */
    uint32_t uid;
    uint32_t gid;
    uint32_t major; /* of a device */
    uint32_t minor;
    uint64_t size; /* bytes of a PAX_FILE, holes included */
    int64_t mtime_s;
    uint32_t mtime_ns;
    const char *name;
    const char *link; /* PAX_LINK, PAX_SYMLINK; else "" */
    /* Extended attributes: wire.h's string (name) and blob (value), one after
     * the other. */
    const uint8_t *xattrs;
    size_t xattrs_count;
    /* Where the data of a file with holes is, rising; NULL: all of it is. */
    const struct pax_piece *pieces;
    size_t piece_count;
};

/* ---- writing ---- */

/* All of (count) bytes, or a failure. */
struct pax_output {
    int (*write)(void *context, const void *bytes, size_t count,
                 struct sm_error *err);
    void *context;
};

struct pax_writer {
    struct pax_output to;
    uint8_t *bytes;
    size_t used;
    uint64_t left;    /* of the content that was announced    */
    size_t padding;   /* behind it                            */
    struct buf extra; /* records of the header under way      */
};

int pax_writer_init(struct pax_writer *writer, const struct pax_output *to,
                    struct sm_error *err);
void pax_writer_done(struct pax_writer *writer);

/* Write the header of (entry); the content of a PAX_FILE, its pieces one after
 * the other, must follow. (content): false leaves it out, for a header alone.
 */
int pax_put(struct pax_writer *writer, const struct pax_entry *entry,
            bool content, struct sm_error *err);
/* Where the next bytes of content go, and how many at most. */
uint8_t *pax_room(struct pax_writer *writer, size_t *room);
int pax_added(struct pax_writer *writer, size_t count, struct sm_error *err);
/* The end of the stream; everything has been handed on then. */
int pax_put_end(struct pax_writer *writer, struct sm_error *err);

/* ---- reading ---- */

/* 1 to (capacity) bytes; 0: the end; or SM_E*. */
struct pax_input {
    int64_t (*read)(void *context, void *to, size_t capacity,
                    struct sm_error *err);
    void *context;
};

struct pax_reader {
    struct pax_input from;
    uint8_t *bytes;
    size_t at;
    size_t filled;
    uint64_t left;  /* of the content                         */
    size_t padding; /* behind it                              */
    bool ended;
    struct buf name;
    struct buf link;
    struct buf xattrs;
    struct buf pieces;   /* struct pax_piece                    */
    size_t piece;        /* the one that content is handed from */
    uint64_t piece_done; /* bytes of it                         */
};

int pax_reader_init(struct pax_reader *reader, const struct pax_input *from,
                    struct sm_error *err);
void pax_reader_done(struct pax_reader *reader);

/*
 * The next entry, which is valid until the next call; content that was not
 * taken is passed over. At the end, what fills the last block is read, too.
 * Returns 1; 0: the end; SM_EINVAL (no tar, damaged), SM_ECLOSED (cut short),
 * SM_ELIMIT, SM_ENOTSUP (compressed, or a kind that is unknown), SM_ENOMEM, or
 * what the input said.
 */
int pax_next(struct pax_reader *reader, struct pax_entry *ret,
             struct sm_error *err);

/* Some of the content, valid until the next call: (*count) bytes for (*offset)
 * of the file. Returns 1; 0: that was all; or as pax_next(). */
int pax_content(struct pax_reader *reader, uint64_t *offset,
                const uint8_t **bytes, size_t *count, struct sm_error *err);

/* ---- both ---- */

/* The fixed part of an entry, all of it text. */
struct pax_header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[6]; /* "ustar\0", of GNU "ustar " */
    char version[2];
    char owner[32];
    char group[32];
    char major[8];
    char minor[8];
    char prefix[155]; /* POSIX only */
    char unused[12];
};
_Static_assert(sizeof(struct pax_header) == PAX_RECORD,
               "a header is one record");

/* What the checksum of (header) must be: its own field counts as blanks. */
uint32_t pax_checksum(const struct pax_header *header);

#endif
