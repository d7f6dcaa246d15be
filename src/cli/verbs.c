/* verbs.c: the table of all verbs; see verbs.h. */
#include "verbs.h"

#include "text.h"

#include <string.h>

/* One per line. */
/* clang-format off */
const struct verb *const verb_table[] = {
    &verb_run,
    &verb_exec,
    &verb_cp,
    &verb_attach,
    &verb_ps,
    &verb_logs,
    &verb_stats,
    &verb_top,
    &verb_events,
    &verb_stop,
    &verb_kill,
    &verb_wait,
    &verb_pause,
    &verb_unpause,
    &verb_rename,
    &verb_rm,
    &verb_fork,
    &verb_snapshot,
    &verb_pull,
    &verb_images,
    &verb_rmi,
    &verb_inspect,
    &verb_tag,
    &verb_load,
    &verb_save,
    &verb_prune,
    &verb_store,
    &verb_completion,
    &verb_doctor,
    &verb_help,
    &verb_version,
    NULL,
};
/* clang-format on */

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; verb_table[i]; i++)
        if (strcmp(verb_table[i]->name, name) == 0)
            return verb_table[i];
    return NULL;
}

const struct verb *verb_expect(const char *name)
{
    const struct verb *verb = verb_find(name);
    const char *names[sizeof verb_table / sizeof verb_table[0]];
    const char *near;
    size_t count = 0;

    if (verb)
        return verb;
    for (size_t i = 0; verb_table[i]; i++)
        names[count++] = verb_table[i]->name;
    near = options_nearest(name, names, count);
    if (near)
        complain("unknown verb %s: did you mean %s?", name, near);
    else if (name[0] == '-')
        complain("unknown option %s: see supermachine --help", name);
    else
        complain("unknown verb %s: see supermachine --help", name);
    return NULL;
}
