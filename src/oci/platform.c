/* platform.c: platforms of images; see platform.h. */
#include "oci/platform.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/* The name that images have for what uname(2) calls (machine). */
static const char *architecture_name(const char *machine)
{
    static const char *const names[][2] = {
        {"x86_64", "amd64"},
        {"aarch64", "arm64"},
        {"arm64", "arm64"},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(machine, names[i][0]) == 0)
            return names[i][1];
    return machine;
}

static void host_platform(struct oci_platform *ret)
{
    struct utsname host;

    *ret = (struct oci_platform){.os = "linux"};
    if (uname(&host) == 0)
        snprintf(ret->architecture, sizeof ret->architecture, "%.31s",
                 architecture_name(host.machine));
}

/* Copy up to the next '/' or the end; NULL if it is empty or too long. */
static const char *take_field(const char *from, char to[PLATFORM_FIELD_MAX])
{
    size_t length = strcspn(from, "/");

    if (length == 0 || length >= PLATFORM_FIELD_MAX)
        return NULL;
    memcpy(to, from, length);
    to[length] = '\0';
    return from + length;
}

int platform_parse(const char *text, struct oci_platform *ret,
                   struct sm_error *err)
{
    const char *at = text;

    if (!text[0]) {
        host_platform(ret);
        return 0;
    }
    *ret = (struct oci_platform){0};
    at = take_field(at, ret->os);
    if (at && *at == '/')
        at = take_field(at + 1, ret->architecture);
    if (at && *at == '/')
        at = take_field(at + 1, ret->variant);
    if (!at || *at || !ret->architecture[0])
        return fail(err, SM_EINVAL,
                    "platform \"%.64s\": must be OS/ARCH[/VARIANT], like "
                    "linux/amd64",
                    text);
    return 0;
}

void platform_text(const struct oci_platform *platform,
                   char to[PLATFORM_TEXT_MAX])
{
    snprintf(to, PLATFORM_TEXT_MAX, "%s/%s%s%s", platform->os,
             platform->architecture, platform->variant[0] ? "/" : "",
             platform->variant);
}

/* The variant that an index leaves out because it goes without saying. */
static const char *usual_variant(const char *architecture)
{
    if (strcmp(architecture, "arm64") == 0)
        return "v8";
    if (strcmp(architecture, "amd64") == 0)
        return "v1";
    return strcmp(architecture, "arm") == 0 ? "v7" : "";
}

int platform_fit(const struct oci_platform *wish,
                 const struct oci_platform *offer)
{
    const char *usual = usual_variant(wish->architecture);
    const char *wanted = wish->variant[0] ? wish->variant : usual;
    const char *offered = offer->variant[0] ? offer->variant : usual;

    if (strcmp(wish->os, offer->os) != 0 ||
        strcmp(wish->architecture, offer->architecture) != 0)
        return 0;
    if (strcmp(wish->variant, offer->variant) == 0)
        return 3;
    if (strcmp(wanted, offered) == 0)
        return 2;
    return wish->variant[0] ? 0 : 1;
}
