/* client.h: one repository of one registry, spoken to over HTTP.
 *
 * How it works
 *   The first question finds out how the registry wants to be spoken to: TLS
 *   or, where that is permitted, plain HTTP, and with which authorization
 *   (auth.h). Later ones use what was found; an authorization that has run out
 *   is asked for anew, once.
 */
#ifndef SM_OCI_CLIENT_H
#define SM_OCI_CLIENT_H

#include "base/buf.h"
#include "oci/http.h"
#include "oci/source.h"

struct client;

/* Asks the registry how it wants to be spoken to. Strings stay the caller's
 * and must live as long as the client. */
int client_new(const struct oci_place *place, const char *registry,
               const char *repository, struct client **ret,
               struct sm_error *err);
/* NULL is fine. */
void client_free(struct client *client);

OWN_DEFINE(struct client, client_free)

/* "https://HOST/v2/REPOSITORY/blobs/DIGEST", or manifests/ for those. NULL if
 * memory is out; the caller frees it. */
char *client_url(const struct client *client,
                 const struct oci_descriptor *descriptor, const char *digest);

/* The same for anything: HOST/v2/REPOSITORY/KIND/NAME. */
char *client_make_url(const struct client *client, const char *kind,
                      const char *name);
/* "https://HOST", of the registry's API; NULL if memory is out. */
char *client_root(const struct client *client);

/* http_run() with the right authorization. */
int client_run(struct client *client, struct http_job *jobs, size_t count,
               struct sm_error *err);

/* HOST/v2/REPOSITORY/KIND/NAME */
struct client_query {
    const char *kind;
    const char *name;
    const char *accept;
    char *type; /* 128 bytes for the Content-Type, or NULL   */
    char *link; /* HTTP_LINK_MAX for the Link header, or NULL */
};

/* A small document into (to), whose cap is the limit. */
int client_get(struct client *client, const struct client_query *query,
               struct buf *to, struct sm_error *err);

/* SM_ENOENT that names the nearest tags that are there; of very many, of the
 * first some thousand. */
int client_no_such_tag(struct client *client, const char *tag,
                       struct sm_error *err);

#endif
