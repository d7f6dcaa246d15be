/* completion.c: `supermachine completion`: the scripts that make shells
 * complete; they are the files of completion/. */
#include "completion.h"

#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *shell;
    const char *script;
} scripts[] = {
    {"bash", completion_bash},
    {"fish", completion_fish},
    {"zsh", completion_zsh},
};

enum { SCRIPT_COUNT = sizeof scripts / sizeof scripts[0] };

static int print_script(const char *shell)
{
    for (size_t i = 0; i < SCRIPT_COUNT; i++) {
        if (strcmp(shell, scripts[i].shell) == 0) {
            fputs(scripts[i].script, stdout);
            return 0;
        }
    }
    complain("completion: %s: must be bash, fish or zsh", shell);
    return EXIT_OURS;
}

static int run_completion(void *values, char **words)
{
    (void)values;
    return print_script(words[0]);
}

static const struct verb_example examples[] = {
    {"For this bash, until it ends", ". <(supermachine completion bash)"},
    {"For each fish from now on",
     "supermachine completion fish "
     ">~/.config/fish/completions/supermachine.fish"},
};

const struct verb verb_completion = {
    .name = "completion",
    .usage = "bash|fish|zsh",
    .summary = "Print the script that makes a shell complete",
    .details = "An installation brings the scripts along, in the places where "
               "shells look\nfor them; so this is for shells that look "
               "elsewhere.",
    .examples = examples,
    .example_count = sizeof examples / sizeof examples[0],
    .least = 1,
    .most = 1,
    .ask = "for which shell: bash, fish or zsh?",
    .run = run_completion,
};
