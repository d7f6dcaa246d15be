/* http.h: HTTP requests to registries, several at once, over libcurl.
 *
 * How it works
 *   A job is one GET, a POST of a form, or one of struct http_send. http_run()
 * has up to HTTP_PARALLEL of them under way and waits for the next event of
 * any. What may pass by itself, a broken or stalled connection, status 408, 429
 * or 5xx, is tried again after a while, from the offset that begin() then
 * gives; as long as that leads further than any attempt before, for ever, else
 * a few times.
 *
 *   Plain HTTP, and a certificate that proves nothing, will do for this very
 *   machine (localhost, 127.0.0.0/8, [::1]) and for the hosts that the user
 *   named; each redirect is judged by its own host. Redirects are followed;
 *   the authorization goes no further than to the host, port and scheme that
 *   it was meant for (curl's CURLOPT_UNRESTRICTED_AUTH is off).
 *   What is sent is sent to nobody else: redirects of a form, a POST or a PUT
 *   are failures. Proxies come
 *   from the environment of the process, as curl reads it; none is asked for
 *   this very machine.
 */
#ifndef SM_OCI_HTTP_H
#define SM_OCI_HTTP_H

#include "base/error.h"
#include "base/own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_PARALLEL = 6, HTTP_HEADER_MAX = 2048, HTTP_LINK_MAX = 512 };

struct http;

/*
 * ca_file      certificates to trust, in one file, NULL: the system's
 * ca_folder    the same by their hashes (c_rehash(1)), NULL: the system's
 * insecure     "HOST[:PORT]" that need not prove who they are, NULL at the
 *              end, or NULL; outlives the result
 */
int http_new(const char *ca_file, const char *ca_folder,
             const char *const *insecure, struct http **ret,
             struct sm_error *err);
/* How long to bear with a server. */
struct http_patience {
    unsigned stall_s;    /* it sends next to nothing: the attempt is over */
    unsigned attempts;   /* of one job that lead no further               */
    unsigned backoff_ms; /* after the first of them, then doubled         */
};

/* Other than 30 s, 6 and 250 ms: for tests, which have less. */
void http_set_patience(struct http *http, const struct http_patience *patience);
/* Whether the host of (url) need not prove who it is. */
bool http_is_lenient(const struct http *http, const char *url);
/* NULL is fine. */
void http_free(struct http *http);

OWN_DEFINE(struct http, http_free)

/* What came back, of the last attempt. Missing headers are "". */
struct http_response {
    long status;                     /* 0: none came                */
    bool tls_failed;                 /* the other end speaks no TLS */
    unsigned retry_after_s;          /* 0: not said                 */
    char challenge[HTTP_HEADER_MAX]; /* WWW-Authenticate            */
    char content_type[128];
    char link[HTTP_LINK_MAX];
    char location[HTTP_HEADER_MAX];
    char rate_limit[128];     /* RateLimit-Limit             */
    char rate_remaining[128]; /* RateLimit-Remaining         */
};

/* A request that is no GET. */
struct http_send {
    enum http_method { HTTP_HEAD, HTTP_POST, HTTP_PUT } method;
    int fd; /* what is sent: (bytes), from its beginning; nothing of a HEAD,
               and of a POST                                            */
    uint64_t bytes;
    const char *type; /* Content-Type, or NULL */
};

struct http_job {
    const char *url;
    const char *accept;        /* NULL: anything                        */
    const char *authorization; /* value of the header, or NULL          */
    const char *form; /* what to POST, in a form's encoding, or NULL   */
    const struct http_send *send; /* what to send; NULL: GET, or the form */
    /* Before each attempt: the offset to begin at. SM_EBUSY: leave this job,
     * which then ends with that code and does not count as failed. SM_EEXIST:
     * there is nothing to fetch, which is success. */
    int (*begin)(void *context, uint64_t *offset, struct sm_error *err);
    /* NULL: what comes is of no interest, as with `begin` and `end`.
     * Content, in order; the first piece of an attempt begins at (offset),
     * which is 0 if the server would not begin elsewhere. */
    int (*body)(void *context, uint64_t offset, const void *bytes, size_t count,
                struct sm_error *err);
    /* All of it came. */
    int (*end)(void *context, struct sm_error *err);
    void *context;
    /* Set by http_run(). */
    int rc;
    struct sm_error error;
    struct http_response response;
};

/*
 * Run all jobs to their ends. Returns 0, or the first failure, after which no
 * others are started: SM_ENOENT (404), SM_EACCES (401, 403), SM_ETIMEOUT,
 * SM_ELIMIT (429), SM_EIO, SM_ENOMEM, or what the job's own functions said.
 */
int http_run(struct http *http, struct http_job *jobs, size_t count,
             struct sm_error *err);

#endif
