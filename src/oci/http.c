/* http.c: jobs over curl's multi interface; see http.h. */
#include "oci/http.h"

#include "base/bytes.h"
#include "oci/trust.h"
#include "platform/clock.h"
#include "platform/file.h"

#include <ctype.h>
#include <curl/curl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    CONNECT_S = 20,
    LOW_SPEED_BYTES = 256, /* per second: it has stalled */
    REDIRECTS_MAX = 10,
    RETRY_AFTER_MAX_S = 60,   /* it is told instead, where it is more */
    PROGRESS_BYTES = 64 << 10 /* that make an attempt worth another one */
};

struct http {
    CURLM *multi;
    char *ca_file;
    char *ca_folder;
    const char *const *insecure;
    struct http_patience patience;
};

/* One job on its way. */
struct transfer {
    struct http_job *job;
    CURL *curl;
    struct curl_slist *headers;
    uint64_t offset;   /* of the next byte                      */
    uint64_t sent;     /* of what is to be sent                 */
    uint64_t furthest; /* that attempts before this one got to  */
    uint64_t due_ns;   /* not before; 0: at once                */
    unsigned attempts;
    unsigned redirects; /* that we followed ourselves             */
    char *url;          /* where they led; NULL: the job's own    */
    bool active;
    bool done;
    bool body_begun;
    char why[CURL_ERROR_SIZE];
};

int http_new(const char *ca_file, const char *ca_folder,
             const char *const *insecure, struct http **ret,
             struct sm_error *err)
{
    AUTO(http_freep) struct http *http = calloc(1, sizeof *http);

    if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fail(err, SM_ENOMEM, "out of memory");
    http->insecure = insecure;
    http->patience =
        (struct http_patience){.stall_s = 30, .attempts = 6, .backoff_ms = 250};
    http->multi = curl_multi_init();
    if (ca_file)
        http->ca_file = strdup(ca_file);
    if (ca_folder)
        http->ca_folder = strdup(ca_folder);
    if (!http->multi || (ca_file && !http->ca_file) ||
        (ca_folder && !http->ca_folder))
        return fail(err, SM_ENOMEM, "out of memory");
    *ret = own_take(http);
    return 0;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    if (http->multi)
        curl_multi_cleanup(http->multi);
    free(http->ca_file);
    free(http->ca_folder);
    free(http);
}

void http_set_patience(struct http *http, const struct http_patience *patience)
{
    http->patience = *patience;
}

bool http_is_lenient(const struct http *http, const char *url)
{
    return trust_is_blind(http->insecure, url);
}

/* ---- what curl calls ---- */

/* "Name: value\r\n" into (to) if it is called (name); what is too long is
 * cut. */
static void take_header(const char *line, size_t count, const char *name,
                        char *to, size_t size)
{
    size_t length = strlen(name);

    if (count <= length || strncasecmp(line, name, length) != 0 ||
        line[length] != ':')
        return;
    line += length + 1;
    count -= length + 1;
    while (count && isspace((unsigned char)line[0])) {
        line++;
        count--;
    }
    while (count && isspace((unsigned char)line[count - 1]))
        count--;
    snprintf(to, size, "%.*s", (int)count, line);
}

static size_t on_header(char *line, size_t one, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct http_response *response = &transfer->job->response;
    char seconds[16] = "";

    (void)one;
    /* A new status line: what was before belongs to a redirect. */
    if (count > 5 && memcmp(line, "HTTP/", 5) == 0)
        *response = (struct http_response){0};
    take_header(line, count, "WWW-Authenticate", response->challenge,
                sizeof response->challenge);
    take_header(line, count, "Content-Type", response->content_type,
                sizeof response->content_type);
    take_header(line, count, "Link", response->link, sizeof response->link);
    take_header(line, count, "Location", response->location,
                sizeof response->location);
    take_header(line, count, "RateLimit-Limit", response->rate_limit,
                sizeof response->rate_limit);
    take_header(line, count, "RateLimit-Remaining", response->rate_remaining,
                sizeof response->rate_remaining);
    take_header(line, count, "Retry-After", seconds, sizeof seconds);
    if (isdigit((unsigned char)seconds[0]))
        response->retry_after_s =
            (unsigned)min_u64(strtoull(seconds, NULL, 10), UINT_MAX);
    return count;
}

static size_t on_body(char *bytes, size_t one, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct http_job *job = transfer->job;
    long status = 0;

    (void)one;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299)
        return count; /* what a server says to an error is not for us */
    if (!transfer->body_begun && status != 206)
        transfer->offset = 0;
    transfer->body_begun = true;
    if (!job->body)
        return count;
    job->rc =
        job->body(job->context, transfer->offset, bytes, count, &job->error);
    if (job->rc)
        return 0;
    transfer->offset += count;
    return count;
}

/* ---- sending ---- */

static size_t on_send(char *to, size_t one, size_t room, void *context)
{
    struct transfer *transfer = context;
    const struct http_send *send = transfer->job->send;
    size_t count = (size_t)min_u64(room, send->bytes - transfer->sent);

    (void)one;
    transfer->job->rc = file_read_at(send->fd, to, count, transfer->sent,
                                     &transfer->job->error);
    if (transfer->job->rc)
        return CURL_READFUNC_ABORT;
    transfer->sent += count;
    return count;
}

/* An authorization may be refused when much was sent. */
static int on_rewind(void *context, curl_off_t offset, int origin)
{
    struct transfer *transfer = context;

    if (origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    transfer->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static unsigned set_sending(struct transfer *transfer)
{
    const struct http_send *send = transfer->job->send;
    CURL *curl = transfer->curl;
    unsigned bad = 0;

    if (send->method == HTTP_HEAD)
        return (unsigned)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (send->method == HTTP_POST) {
        bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_POST, 1L);
        bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
        return bad;
    }
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
                                      (curl_off_t)send->bytes);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_rewind);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_SEEKDATA, transfer);
    return bad;
}

/* ---- starting ---- */

static bool add_line(struct transfer *transfer, const char *name,
                     const char *value)
{
    AUTO_FREE char *line = NULL;
    struct curl_slist *grown;

    if (asprintf(&line, "%s: %s", name, value) < 0) {
        line = NULL;
        return false;
    }
    grown = curl_slist_append(transfer->headers, line);
    if (!grown)
        return false;
    transfer->headers = grown;
    return true;
}

/* Whom to believe, and where to go through. */
static unsigned set_trust(const struct http *http, CURL *curl, const char *url)
{
    unsigned bad = 0;

    if (http->ca_file)
        bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca_file);
    if (http->ca_folder)
        bad |=
            (unsigned)curl_easy_setopt(curl, CURLOPT_CAPATH, http->ca_folder);
    if (trust_is_here(url))
        bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (http_is_lenient(http, url)) {
        bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return bad;
}

/* It hands something over, which is for that host alone. */
static bool is_given(const struct http_job *job)
{
    return job->form || (job->send && job->send->method != HTTP_HEAD);
}

static bool set_options(struct http *http, struct transfer *transfer)
{
    const struct http_job *job = transfer->job;
    const char *url = transfer->url ? transfer->url : job->url;
    bool lenient = http_is_lenient(http, url);
    const char *schemes = lenient ? "https,http" : "https";
    CURL *curl = transfer->curl;
    char range[32];
    unsigned bad = set_trust(http, curl, url);

    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_URL, url);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_PRIVATE, transfer);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->why);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, schemes);
    bad |=
        (unsigned)curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, schemes);
    /* A host that is believed on its word must not hand that on to others:
     * its redirects are followed in finish(). */
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION,
                                      lenient || is_given(job) ? 0L : 1L);
    if (job->send)
        bad |= set_sending(transfer);
    if (job->form)
        bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, job->form);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_MAXREDIRS,
                                      (long)REDIRECTS_MAX);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT,
                                      (long)CONNECT_S);
    bad |=
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)LOW_SPEED_BYTES);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                                      (long)http->patience.stall_s);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_USERAGENT, "supermachine");
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    /* Not CURLOPT_RESUME_FROM: a server that knows no ranges may begin at the
     * start again. */
    snprintf(range, sizeof range, "%llu-",
             (unsigned long long)transfer->offset);
    if (transfer->offset)
        bad |= (unsigned)curl_easy_setopt(curl, CURLOPT_RANGE, range);
    if (job->accept && !add_line(transfer, "Accept", job->accept))
        return false;
    if (job->send && job->send->type &&
        !add_line(transfer, "Content-Type", job->send->type))
        return false;
    if (job->authorization && !transfer->url &&
        !add_line(transfer, "Authorization", job->authorization))
        return false;
    bad |=
        (unsigned)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer->headers);
    return !bad;
}

static void drop(struct http *http, struct transfer *transfer)
{
    if (transfer->active)
        curl_multi_remove_handle(http->multi, transfer->curl);
    transfer->active = false;
    if (transfer->curl)
        curl_easy_cleanup(transfer->curl);
    transfer->curl = NULL;
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
}

/* Not 0: there is nothing to wait for. */
static int start(struct http *http, struct transfer *transfer)
{
    struct http_job *job = transfer->job;

    transfer->offset = 0;
    transfer->sent = 0;
    transfer->body_begun = false;
    transfer->why[0] = '\0';
    job->response = (struct http_response){0};
    job->rc = 0;
    if (job->begin)
        job->rc = job->begin(job->context, &transfer->offset, &job->error);
    if (job->rc == SM_EEXIST) {
        job->rc = 0;
        return SM_EEXIST;
    }
    if (job->rc)
        return job->rc;
    transfer->curl = curl_easy_init();
    if (!transfer->curl || !set_options(http, transfer) ||
        curl_multi_add_handle(http->multi, transfer->curl) != CURLM_OK) {
        job->rc = fail(&job->error, SM_ENOMEM, "%s: out of memory", job->url);
        return job->rc;
    }
    transfer->active = true;
    transfer->attempts++;
    return 0;
}

/* ---- ends ---- */

static bool may_pass(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static bool is_passing_status(long status)
{
    return status == 408 || status == 429 || (status >= 500 && status <= 599);
}

static int status_failed(struct http_job *job)
{
    const struct http_response *response = &job->response;
    int code = SM_EIO;
    char again[48] = "";

    if (response->status == 401 || response->status == 403)
        code = SM_EACCES;
    else if (response->status == 404)
        code = SM_ENOENT;
    else if (response->status == 429)
        code = SM_ELIMIT;
    if (response->retry_after_s)
        snprintf(again, sizeof again, ", to be asked again in %u s",
                 response->retry_after_s);
    return fail(&job->error, code, "%s: status %ld%s%s%s%s%s", job->url,
                response->status, response->rate_limit[0] ? ", limit " : "",
                response->rate_limit,
                response->rate_remaining[0] ? ", remaining " : "",
                response->rate_remaining, again);
}

static int curl_failed(struct transfer *transfer, CURLcode code)
{
    struct http_job *job = transfer->job;
    int sm = SM_EIO;

    if (code == CURLE_OUT_OF_MEMORY)
        sm = SM_ENOMEM;
    else if (code == CURLE_OPERATION_TIMEDOUT)
        sm = SM_ETIMEOUT;
    return fail(&job->error, sm, "%s: %s", job->url,
                transfer->why[0] ? transfer->why : curl_easy_strerror(code));
}

/* When to try again; false: not at all. */
static bool plan_retry(const struct http *http, struct transfer *transfer)
{
    const struct http_patience *patience = &http->patience;
    const struct http_response *response = &transfer->job->response;
    uint64_t wait_ms;

    /* What came once and comes again is no progress. */
    if (transfer->offset >= transfer->furthest + PROGRESS_BYTES) {
        transfer->furthest = transfer->offset;
        transfer->attempts = 1;
    }
    if (transfer->attempts >= patience->attempts ||
        response->retry_after_s > RETRY_AFTER_MAX_S)
        return false;
    /* From the beginning: where a redirect led may be good only once. */
    free(own_take(transfer->url));
    transfer->redirects = 0;
    wait_ms = (uint64_t)patience->backoff_ms << (transfer->attempts - 1);
    if (response->retry_after_s)
        wait_ms = (uint64_t)response->retry_after_s * 1000;
    transfer->due_ns = clock_monotonic_ns() + wait_ms * NS_PER_MS;
    return true;
}

/* The next place of a redirect that curl was told not to follow. It gets no
 * authorization. False: this is none, or one too many. */
static bool follow(struct transfer *transfer)
{
    long status = transfer->job->response.status;
    char *to = NULL;
    char *copy;

    if (status < 301 || status > 308 || is_given(transfer->job) ||
        transfer->redirects == REDIRECTS_MAX)
        return false;
    curl_easy_getinfo(transfer->curl, CURLINFO_REDIRECT_URL, &to);
    copy = to ? strdup(to) : NULL;
    if (!copy)
        return false;
    free(transfer->url);
    transfer->url = copy;
    transfer->redirects++;
    transfer->attempts--;
    transfer->due_ns = 0;
    return true;
}

static void finish(struct http *http, struct transfer *transfer, CURLcode code)
{
    struct http_job *job = transfer->job;
    bool again = false;

    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE,
                      &job->response.status);
    job->response.tls_failed = code == CURLE_SSL_CONNECT_ERROR;
    if (job->rc) {
        again = false; /* our own end had enough */
    } else if (code != CURLE_OK) {
        job->rc = curl_failed(transfer, code);
        again = may_pass(code) && plan_retry(http, transfer);
    } else if (follow(transfer)) {
        again = true;
    } else if (job->response.status < 200 || job->response.status > 299) {
        job->rc = status_failed(job);
        again = is_passing_status(job->response.status) &&
                plan_retry(http, transfer);
    } else if (job->end) {
        job->rc = job->end(job->context, &job->error);
    }
    drop(http, transfer);
    transfer->done = !again;
}

/* ---- the loop ---- */

/* Start what is due and has room. Returns how long nothing else is due, in
 * milliseconds; 0 in *left: all are done. */
static int start_due(struct http *http, struct transfer *list, size_t count,
                     size_t *left)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t wait_ms = 1000;
    size_t active = 0;

    *left = 0;
    for (size_t i = 0; i < count; i++)
        active += list[i].active;
    for (size_t i = 0; i < count; i++) {
        struct transfer *transfer = &list[i];

        if (!transfer->done && !transfer->active && transfer->due_ns > now)
            wait_ms =
                min_u64(wait_ms, (transfer->due_ns - now) / NS_PER_MS + 1);
        else if (!transfer->done && !transfer->active &&
                 active < HTTP_PARALLEL) {
            transfer->done = start(http, transfer) != 0;
            active += transfer->active;
        }
        *left += !transfer->done;
    }
    return (int)wait_ms;
}

/* False: nothing has ended. */
static bool take_ends(struct http *http)
{
    CURLMsg *message;
    bool any = false;
    int more;

    while ((message = curl_multi_info_read(http->multi, &more)) != NULL) {
        struct transfer *transfer = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        finish(http, transfer, message->data.result);
        any = true;
    }
    return any;
}

static const struct http_job *first_failure(const struct http_job *jobs,
                                            const struct transfer *list,
                                            size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].done && jobs[i].rc && jobs[i].rc != SM_EBUSY)
            return &jobs[i];
    return NULL;
}

static int run_all(struct http *http, struct transfer *list,
                   struct http_job *jobs, size_t count, struct sm_error *err)
{
    const struct http_job *failed;
    size_t left;
    int running;

    for (;;) {
        int wait_ms = start_due(http, list, count, &left);

        failed = first_failure(jobs, list, count);
        if (failed) {
            if (err)
                *err = failed->error;
            return failed->rc;
        }
        if (!left)
            return 0;
        if (curl_multi_perform(http->multi, &running) != CURLM_OK)
            return fail(err, SM_ENOMEM, "out of memory");
        if (!take_ends(http) &&
            curl_multi_poll(http->multi, NULL, 0, wait_ms, NULL) != CURLM_OK)
            return fail(err, SM_ENOMEM, "out of memory");
    }
}

int http_run(struct http *http, struct http_job *jobs, size_t count,
             struct sm_error *err)
{
    AUTO_FREE struct transfer *list = calloc(count + 1, sizeof *list);
    int rc;

    if (!list)
        return fail(err, SM_ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        list[i].job = &jobs[i];
        jobs[i].rc = 0;
    }
    rc = run_all(http, list, jobs, count, err);
    for (size_t i = 0; i < count; i++) {
        drop(http, &list[i]);
        free(list[i].url);
    }
    return rc;
}
