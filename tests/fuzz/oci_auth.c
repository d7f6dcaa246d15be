/* oci_auth.c: fuzzes what stands between a client and a registry's trust: the
 * challenge of the registry, answers of servers that give tokens, answers of
 * programs that keep credentials. */
#include "base/buf.h"
#include "oci/auth.h"
#include "oci/credentials.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* Begin of a text that is right up to there. */
static const char *const heads[] = {
    "",
    "Bearer realm=\"https://auth.test/token\",service=\"",
    "{\"token\":\"",
    "{\"Username\":\"<token>\",\"Secret\":\"",
    "{\"ServerURL\":\"r.test\",\"Username\":\"user\",\"Secret\":\"",
};

/* It goes into a request as it is: one line, no odd characters. */
static void check_header(const char *header)
{
    for (const char *c = header; c && *c; c++)
        if (*c < ' ' || *c > '~')
            abort();
}

static void check_challenge(const char *text)
{
    struct auth_challenge challenge;

    if (auth_parse_challenge(text, &challenge) &&
        challenge.scheme != AUTH_BASIC && !challenge.realm[0])
        abort();
}

static void check_answers(const struct buf *text)
{
    struct credentials credentials = {0};
    struct sm_error err = {0};
    char *header = NULL;

    if (auth_parse_token(text->data, text->size, &header, &err) == 0)
        check_header(header);
    free(header);
    err = (struct sm_error){0};
    if (credentials_parse_answer(text->data, text->size, &credentials, &err)) {
        if (!err.message[0] || credentials.basic || credentials.refresh_token)
            abort();
    } else if (!credentials.basic == !credentials.refresh_token) {
        abort();
    }
    check_header(credentials.basic);
    credentials_done(&credentials);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct buf text;
    const char *head;

    if (!count)
        return 0;
    head = heads[bytes[0] % (sizeof heads / sizeof heads[0])];
    buf_init(&text, count + 256);
    buf_append(&text, head, strlen(head));
    buf_append(&text, bytes + 1, count - 1);
    check_answers(&text);
    buf_append(&text, "", 1);
    check_challenge((const char *)text.data);
    buf_done(&text);
    return 0;
}
