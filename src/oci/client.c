/* client.c: speaking to one repository; see client.h. */
#include "oci/client.h"

#include "base/near.h"
#include "oci/auth.h"
#include "oci/credentials.h"
#include "oci/json.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

enum {
    TOKEN_ANSWER_MAX = 256 << 10,
    TAG_PAGES_MAX = 16 /* that are looked at for near ones */
};

struct client {
    struct oci_place place;
    const char *registry;
    const char *repository;
    const char *host; /* where its API is */
    struct http *http;
    bool plain;
    bool has_looked; /* for credentials */
    struct credentials credentials;
    char *authorization; /* what requests carry, or NULL */
};

void client_free(struct client *client)
{
    if (!client)
        return;
    http_free(client->http);
    credentials_done(&client->credentials);
    free(client->authorization);
    free(client);
}

/* ---- documents ---- */

static int begin_document(void *context, uint64_t *offset, struct sm_error *err)
{
    (void)err;
    *offset = 0;
    buf_clear(context);
    return 0;
}

static int take_document(void *context, uint64_t offset, const void *bytes,
                         size_t count, struct sm_error *err)
{
    struct buf *to = context;

    if (offset == 0)
        buf_clear(to);
    if (buf_append(to, bytes, count))
        return 0;
    return buf_refuse(to, err, "answer");
}

/* A job that reads into (to). */
static struct http_job document_job(const char *url, struct buf *to)
{
    return (struct http_job){
        .url = url,
        .begin = begin_document,
        .body = take_document,
        .context = to,
    };
}

static const char *scheme(const struct client *client)
{
    return client->plain ? "http" : "https";
}

/* ---- authorization ---- */

/* (text) as it may stand in a query; NULL if memory is out. */
static char *escape(const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, 0);
    char *copy = escaped ? strdup(escaped) : NULL;

    curl_free(escaped);
    return copy;
}

/* service=...&scope=... */
static char *token_fields(const struct client *client,
                          const struct auth_challenge *challenge)
{
    AUTO_FREE char *service = escape(challenge->service);
    AUTO_FREE char *scope = NULL;
    char wanted[512];
    char *fields;

    snprintf(wanted, sizeof wanted, "repository:%s:pull", client->repository);
    scope = escape(challenge->scope[0] ? challenge->scope : wanted);
    if (!service || !scope ||
        asprintf(&fields, "service=%s&scope=%s", service, scope) < 0)
        return NULL;
    return fields;
}

/* Where to ask, and what to send there: NULL if all is in *url. Both are the
 * caller's. With a token for tokens it is a form, so that no server on the way
 * writes it into a log (Docker registry, "OAuth2 token authentication"). */
static int token_request(const struct client *client,
                         const struct auth_challenge *challenge, char **url,
                         char **form, struct sm_error *err)
{
    const char *token = client->credentials.refresh_token;
    AUTO_FREE char *fields = token_fields(client, challenge);
    AUTO_FREE char *escaped = token ? escape(token) : NULL;
    int rc = -1;

    *url = NULL;
    *form = NULL;
    if (!fields || (token && !escaped))
        return fail(err, SM_ENOMEM, "out of memory");
    if (token) {
        *url = strdup(challenge->realm);
        rc = asprintf(form,
                      "grant_type=refresh_token&client_id=supermachine&%s"
                      "&refresh_token=%s",
                      fields, escaped);
        if (rc < 0)
            *form = NULL;
    } else {
        rc = asprintf(url, "%s%s%s", challenge->realm,
                      strchr(challenge->realm, '?') ? "&" : "?", fields);
        if (rc < 0)
            *url = NULL;
    }
    return rc < 0 || !*url ? fail(err, SM_ENOMEM, "out of memory") : 0;
}

static int ask_for_token(struct client *client,
                         const struct auth_challenge *challenge,
                         struct sm_error *err)
{
    AUTO_FREE char *url = NULL;
    AUTO_FREE char *form = NULL;
    AUTO(buf_done) struct buf answer = {0};
    struct http_job job;
    int rc = token_request(client, challenge, &url, &form, err);

    if (rc)
        return rc;
    buf_init(&answer, TOKEN_ANSWER_MAX);
    job = document_job(url, &answer);
    job.authorization = client->credentials.basic;
    job.form = form;
    rc = http_run(client->http, &job, 1, err);
    free(own_take(client->authorization));
    if (!rc)
        rc = auth_parse_token(answer.data, answer.size, &client->authorization,
                              err);
    return rc;
}

static int not_permitted(const struct client *client, struct sm_error *err)
{
    if (client->credentials.bearer)
        return fail(err, SM_EACCES,
                    "%s: the token for it is not valid any more, or gives no "
                    "right to %s",
                    client->registry, client->repository);
    if (client->credentials.basic || client->credentials.refresh_token)
        return fail(err, SM_EACCES,
                    "%s: wrong user or password, or no right to %s",
                    client->registry, client->repository);
    return fail(err, SM_EACCES,
                "%s: needs a user and a password for %s, or there is no such "
                "image: see docker login",
                client->registry, client->repository);
}

/* Once: asking may mean to start a program, or a question to the user. */
static int find_credentials(struct client *client, struct sm_error *err)
{
    if (client->has_looked || !client->place.docker_config)
        return 0;
    client->has_looked = true;
    return credentials_load(client->place.docker_config,
                            client->place.helper_env, client->registry,
                            &client->credentials, err);
}

/* From now on requests carry (header). */
static int carry(struct client *client, const char *header,
                 struct sm_error *err)
{
    free(client->authorization);
    client->authorization = strdup(header);
    return client->authorization ? 0 : fail(err, SM_ENOMEM, "out of memory");
}

/* The registry has said what it wants. */
static int authorize(struct client *client, const char *header,
                     struct sm_error *err)
{
    struct auth_challenge challenge;
    struct sm_error why = {0};
    int rc;

    if (!auth_parse_challenge(header, &challenge))
        return fail(err, SM_EPROTO, "%s: asks for the authorization \"%.64s\"",
                    client->registry, header);
    rc = find_credentials(client, err);
    if (rc)
        return rc;
    if (client->credentials.bearer)
        return carry(client, client->credentials.bearer, err);
    if (challenge.scheme == AUTH_BEARER) {
        rc = ask_for_token(client, &challenge, &why);
        if (rc == SM_EACCES)
            return not_permitted(client, err);
        if (rc && err)
            *err = why;
        return rc;
    }
    if (!client->credentials.basic)
        return not_permitted(client, err);
    return carry(client, client->credentials.basic, err);
}

/* ---- requests ---- */

static int run_once(struct client *client, struct http_job *jobs, size_t count,
                    struct sm_error *err)
{
    for (size_t i = 0; i < count; i++) {
        jobs[i].authorization = client->authorization;
    }
    return http_run(client->http, jobs, count, err);
}

static const char *challenge_of(const struct http_job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (jobs[i].response.status == 401)
            return jobs[i].response.challenge;
    return NULL;
}

int client_run(struct client *client, struct http_job *jobs, size_t count,
               struct sm_error *err)
{
    const char *challenge;
    char copy[HTTP_HEADER_MAX];
    int rc = run_once(client, jobs, count, err);

    if (rc != SM_EACCES)
        return rc;
    challenge = challenge_of(jobs, count);
    if (!challenge)
        return not_permitted(client, err);
    snprintf(copy, sizeof copy, "%s", challenge);
    rc = authorize(client, copy, err);
    if (rc)
        return rc;
    rc = run_once(client, jobs, count, err);
    return rc == SM_EACCES ? not_permitted(client, err) : rc;
}

int client_get(struct client *client, const struct client_query *query,
               struct buf *to, struct sm_error *err)
{
    AUTO_FREE char *url = client_make_url(client, query->kind, query->name);
    struct http_job job;
    int rc;

    if (!url)
        return fail(err, SM_ENOMEM, "out of memory");
    job = document_job(url, to);
    job.accept = query->accept;
    rc = client_run(client, &job, 1, err);
    if (!rc && query->type)
        memcpy(query->type, job.response.content_type,
               sizeof job.response.content_type);
    if (!rc && query->link)
        memcpy(query->link, job.response.link, sizeof job.response.link);
    return rc;
}

char *client_url(const struct client *client,
                 const struct oci_descriptor *descriptor, const char *digest)
{
    bool is_manifest =
        descriptor->media == MEDIA_INDEX || descriptor->media == MEDIA_MANIFEST;

    return client_make_url(client, is_manifest ? "manifests" : "blobs", digest);
}

char *client_make_url(const struct client *client, const char *kind,
                      const char *name)
{
    char *url;

    if (asprintf(&url, "%s://%s/v2/%s/%s/%s", scheme(client), client->host,
                 client->repository, kind, name) < 0)
        return NULL;
    return url;
}

char *client_root(const struct client *client)
{
    char *url;

    if (asprintf(&url, "%s://%s", scheme(client), client->host) < 0)
        return NULL;
    return url;
}

/* ---- the beginning ---- */

/* GET /v2/ tells whether there is TLS; 404 and others do not matter here. */
static int ping(struct client *client, struct sm_error *err)
{
    AUTO(buf_done) struct buf answer = {0};
    AUTO_FREE char *url = NULL;
    struct http_job job;
    int rc;

    if (asprintf(&url, "%s://%s/v2/", scheme(client), client->host) < 0) {
        url = NULL;
        return fail(err, SM_ENOMEM, "out of memory");
    }
    buf_init(&answer, JSON_DOCUMENT_MAX);
    job = document_job(url, &answer);
    rc = http_run(client->http, &job, 1, err);
    if (rc && job.response.tls_failed && http_is_lenient(client->http, url) &&
        !client->plain) {
        client->plain = true;
        return ping(client, err);
    }
    if (job.response.status == 401)
        return authorize(client, job.response.challenge, err);
    return rc == SM_ENOENT ? 0 : rc;
}

int client_new(const struct oci_place *place, const char *registry,
               const char *repository, struct client **ret,
               struct sm_error *err)
{
    AUTO(client_freep) struct client *client = calloc(1, sizeof *client);
    int rc;

    if (!client)
        return fail(err, SM_ENOMEM, "out of memory");
    client->place = *place;
    client->registry = registry;
    client->repository = repository;
    client->host =
        strcmp(registry, "docker.io") == 0 ? "registry-1.docker.io" : registry;
    rc = http_new(place->ca_file, place->ca_folder, place->insecure,
                  &client->http, err);
    if (!rc)
        rc = ping(client, err);
    if (!rc)
        *ret = own_take(client);
    return rc;
}

/* ---- near tags ---- */

/*
 * The next page of a list of tags, as a client_query has it: "list?last=...".
 * Of the Link header (RFC 8288), "</v2/.../tags/list?last=...>; rel=next",
 * only the query counts, so that no answer leads elsewhere. False: none.
 */
static bool next_page(const char *link, char to[HTTP_LINK_MAX])
{
    const char *query = strchr(link, '?');
    const char *end = query ? strchr(query, '>') : NULL;

    if (!end || !strstr(end, "next"))
        return false;
    snprintf(to, HTTP_LINK_MAX, "list%.*s", (int)(end - query), query);
    return true;
}

/* One page into (near). False: it says nothing more. */
static bool add_page(struct client *client, const char *page, struct near *near,
                     char next[HTTP_LINK_MAX])
{
    AUTO(json_unref) json_t *json = NULL;
    AUTO(buf_done) struct buf answer = {0};
    char link[HTTP_LINK_MAX];
    const json_t *tags;

    buf_init(&answer, JSON_DOCUMENT_MAX);
    if (client_get(
            client,
            &(struct client_query){.kind = "tags", .name = page, .link = link},
            &answer, NULL) != 0 ||
        json_parse(answer.data, answer.size, &json, NULL) != 0)
        return false;
    tags = json_object_get(json, "tags");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));

        if (tag)
            near_add(near, tag);
    }
    return json_array_size(tags) && next_page(link, next);
}

int client_no_such_tag(struct client *client, const char *tag,
                       struct sm_error *err)
{
    char pages[2][HTTP_LINK_MAX] = {"list?n=1000"};
    char text[NEAR_TEXT_MAX];
    struct near near;

    near_init(&near, tag);
    for (int i = 0; i < TAG_PAGES_MAX; i++)
        if (!add_page(client, pages[i % 2], &near, pages[(i + 1) % 2]))
            break;
    near_text(&near, text);
    if (!text[0])
        return fail(err, SM_ENOENT, "%s has no image %s:%s", client->registry,
                    client->repository, tag);
    return fail(err, SM_ENOENT, "%s: %s has no tag %s; near it: %s",
                client->registry, client->repository, tag, text);
}
