/* trust.c: whom to believe on his word; see trust.h. */
#include "oci/trust.h"

#include <stdio.h>
#include <string.h>

/* The "HOST[:PORT]" of (url); false if it has none, or more than that. */
static bool host_of(const char *url, char *to, size_t size)
{
    const char *begin = strstr(url, "://");
    size_t length;

    if (!begin)
        return false;
    begin += 3;
    length = strcspn(begin, "/?#");
    if (!length || length >= size || memchr(begin, '@', length))
        return false;
    snprintf(to, size, "%.*s", (int)length, begin);
    return true;
}

static bool is_loopback(const char *host)
{
    size_t length =
        host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");

    return (length == 9 && memcmp(host, "localhost", 9) == 0) ||
           (length == 5 && memcmp(host, "[::1]", 5) == 0) ||
           (strncmp(host, "127.", 4) == 0 &&
            strspn(host, "0123456789.") == length);
}

bool trust_is_here(const char *url)
{
    char host[256];

    return host_of(url, host, sizeof host) && is_loopback(host);
}

bool trust_is_blind(const char *const *insecure, const char *url)
{
    char host[256];

    if (!host_of(url, host, sizeof host))
        return false;
    for (; insecure && *insecure; insecure++)
        if (strcmp(*insecure, host) == 0)
            return true;
    return is_loopback(host);
}
