/* kept.c: what `run` wants to know of a snapshot; see kept.h. */
#include "kept.h"

#include "json.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

static struct json_value at(struct json_value object, const char *path)
{
    return json_at(object, path, strlen(path));
}

int kept_look(struct sm_host *host, const char *name, struct kept *ret,
              struct sm_error *err)
{
    struct json_value object;
    char *whole = NULL;
    char *text = NULL;
    int rc;

    if (asprintf(&whole, "snapshot:%s", name) < 0)
        return text_fail(err, SM_ENOMEM, "out of memory");
    rc = sm_store_inspect(host, whole, &text, err);
    free(whole);
    if (rc)
        return rc;
    object = json_read(text);
    *ret = (struct kept){
        .image = json_text(at(object, "image")),
        .command = json_text(at(object, "command")),
        .memory_bytes = json_number(at(object, "memory_bytes")),
        .vcpus = (uint32_t)json_number(at(object, "vcpus")),
        .tty = at(object, "manifest.program.tty").length == strlen("true"),
    };
    free(text);
    if (ret->image && ret->command)
        return 0;
    kept_done(ret);
    return text_fail(err, SM_ENOMEM, "out of memory");
}

void kept_done(struct kept *kept)
{
    free(kept->image);
    free(kept->command);
    *kept = (struct kept){0};
}
