/* man.c: manual pages out of the table of verbs; see man.h. */
#include "man.h"

#include "help.h"

#include <ctype.h>
#include <string.h>
#include <supermachine.h>

static const struct {
    const char *name;
    const char *what;
} variables[] = {
    {"SUPERMACHINE_HOME", "the folder of images and machines"},
    {"XDG_DATA_HOME", "else, its subfolder supermachine is"},
    {"HOME", "else, its subfolder .local/share/supermachine is"},
    {"SUPERMACHINE_RUNTIME_DIR",
     "the folder of the worker, the guest kernel and the agent, instead of "
     "the one that was installed with the program"},
    {"NO_COLOR", "when it is not empty, nothing is coloured"},
};

/* Text of (length) bytes that is to appear as it stands. A line must not begin
 * with (text): see write_line(). */
static void write_text(const char *text, size_t length, FILE *to)
{
    for (size_t i = 0; i < length; i++) {
        switch (text[i]) {
        case '\\':
            fputs("\\e", to);
            break;
        case '-':
            fputs("\\-", to);
            break;
        case '\'':
            fputs("\\(aq", to);
            break;
        case '`':
            fputs("\\(ga", to);
            break;
        case '^':
            fputs("\\(ha", to);
            break;
        case '~':
            fputs("\\(ti", to);
            break;
        default:
            fputc(text[i], to);
        }
    }
}

/* A line of text, whose beginning is no request even if it is a dot. */
static void write_line(const char *text, size_t length, FILE *to)
{
    if (length && text[0] == '.')
        fputs("\\&", to);
    write_text(text, length, to);
    fputc('\n', to);
}

/* "  WORD   what it is": the word tags what follows. */
static void write_tagged(const char *line, size_t length, FILE *to)
{
    size_t word = 2;

    while (word < length && strncmp(line + word, "  ", 2) != 0)
        word++;
    fputs(".TP\n\\fB", to);
    write_text(line + 2, word - 2, to);
    fputs("\\fR\n", to);
    while (word < length && line[word] == ' ')
        word++;
    if (word < length)
        write_line(line + word, length - word, to);
}

/* What `details` and `exit_status` of a verb hold. */
static void write_paragraphs(const char *text, FILE *to)
{
    bool tagged = false; /* the last line belongs to a tag */
    bool begins = true;  /* a paragraph */

    while (*text) {
        size_t length = strcspn(text, "\n");
        size_t indent = strspn(text, " ");

        if (length == 0) {
            begins = true;
        } else if (indent == 2) {
            write_tagged(text, length, to);
            tagged = true;
        } else {
            if ((begins || tagged) && indent < 2)
                fputs(".PP\n", to);
            tagged = tagged && indent > 2;
            write_line(text + indent, length - indent, to);
        }
        begins = length == 0;
        text += length + (text[length] != '\0');
    }
}

/* The words of "[OPTIONS] IMAGE [COMMAND [ARG...]]", those in capitals being
 * names for something. */
static void write_usage(const char *usage, FILE *to)
{
    while (*usage) {
        size_t length = strcspn(usage, " []|.:=,");
        bool stands_for = length > 0 && isupper((unsigned char)usage[0]);

        if (stands_for)
            fputs("\\fI", to);
        write_text(usage, length ? length : 1, to);
        if (stands_for)
            fputs("\\fR", to);
        usage += length ? length : 1;
    }
}

static void write_option(const struct option *option, FILE *to)
{
    fputs(".TP\n", to);
    if (option->letter) {
        fputs("\\fB\\-", to);
        write_text(&option->letter, 1, to);
        fputs("\\fR, ", to);
    }
    fputs("\\fB\\-\\-", to);
    write_text(option->name, strlen(option->name), to);
    fputs("\\fR", to);
    if (option->value) {
        fputc(' ', to);
        write_usage(option->value, to);
    }
    fputc('\n', to);
    write_line(option->help, strlen(option->help), to);
}

static void write_options(const struct verb *verb, FILE *to)
{
    static const struct option help = {.name = "help",
                                       .help = "print a summary of this"};

    fputs(".SH OPTIONS\n", to);
    for (size_t i = 0; i < verb->option_count; i++)
        if (verb->options[i].help)
            write_option(&verb->options[i], to);
    write_option(&help, to);
}

static void write_environment(FILE *to)
{
    fputs(".SH ENVIRONMENT\n", to);
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        fprintf(to, ".TP\n.B %s\n", variables[i].name);
        write_line(variables[i].what, strlen(variables[i].what), to);
    }
}

static void write_examples(const struct verb *verb, FILE *to)
{
    if (verb->example_count)
        fputs(".SH EXAMPLES\n", to);
    for (size_t i = 0; i < verb->example_count; i++) {
        const struct verb_example *example = &verb->examples[i];

        fputs(".PP\n", to);
        write_text(example->what, strlen(example->what), to);
        fputs(":\n.PP\n.RS 4\n.EX\n", to);
        write_line(example->command, strlen(example->command), to);
        fputs(".EE\n.RE\n", to);
    }
}

/* The title, and what it says at the foot of each page. */
static void write_title(const char *verb, const char *summary, FILE *to)
{
    fputs(".TH SUPERMACHINE", to);
    for (const char *at = verb ? verb : ""; *at; at++) {
        if (at == verb)
            fputs("\\-", to);
        fputc(toupper((unsigned char)*at), to);
    }
    fprintf(to, " 1 \"\" \"supermachine %s\" \"User Commands\"\n",
            sm_version());
    /* No hyphenation, and no stretched lines: they are full of commands. */
    fprintf(to, ".nh\n.ad l\n.SH NAME\nsupermachine%s%s \\- ",
            verb ? "\\-" : "", verb ? verb : "");
    write_text(summary, strlen(summary), to);
    fputc('\n', to);
}

/* A verb of a verb, as a section of its page. */
static void write_second(const struct verb *verb, FILE *to)
{
    fprintf(to, ".SS %s ", verb->name);
    write_usage(verb->usage, to);
    fputc('\n', to);
    write_text(verb->summary, strlen(verb->summary), to);
    fputs(".\n", to);
    if (verb->details)
        write_paragraphs(verb->details, to);
    for (size_t i = 0; i < verb->option_count; i++)
        if (verb->options[i].help)
            write_option(&verb->options[i], to);
}

void man_verb(const struct verb *verb, FILE *to)
{
    write_title(verb->name, verb->summary, to);
    fprintf(to, ".SH SYNOPSIS\n.B supermachine %s\n", verb->name);
    if (verb->usage[0]) {
        write_usage(verb->usage, to);
        fputc('\n', to);
    }
    fputs(".SH DESCRIPTION\n", to);
    write_text(verb->summary, strlen(verb->summary), to);
    fputs(".\n", to);
    if (verb->details) {
        fputs(".PP\n", to);
        write_paragraphs(verb->details, to);
    }
    if (verb->seconds)
        fputs(".SH COMMANDS\n", to);
    for (size_t i = 0; verb->seconds && verb->seconds[i]; i++)
        write_second(verb->seconds[i], to);
    write_options(verb, to);
    fputs(".SH EXIT STATUS\n", to);
    write_paragraphs(verb->exit_status
                         ? verb->exit_status
                         : "0 if all was done; 1 if it was not, or not "
                           "for all that was named; 125 if the command line "
                           "was wrong or supermachine itself failed. A message "
                           "on standard error says why.",
                     to);
    write_environment(to);
    write_examples(verb, to);
    fputs(".SH SEE ALSO\n.BR supermachine (1)\n", to);
}

static void write_group(const struct verb *const *verbs, enum verb_group group,
                        FILE *to)
{
    fprintf(to, ".SS %s\n", verb_group_name(group));
    for (size_t i = 0; verbs[i]; i++) {
        if (verbs[i]->group != group)
            continue;
        fprintf(to, ".TP\n.BR supermachine\\-%s (1)\n", verbs[i]->name);
        write_line(verbs[i]->summary, strlen(verbs[i]->summary), to);
    }
}

void man_program(const struct verb *const *verbs, FILE *to)
{
    write_title(NULL, HELP_PURPOSE, to);
    fputs(
        ".SH SYNOPSIS\n.B supermachine\n"
        "\\fIVERB\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n"
        ".SH DESCRIPTION\n"
        "Every machine is a virtual machine of its own, with a kernel of its\n"
        "own, that runs the program of a container image.\n"
        "Verbs and options are named as those of\n"
        ".BR docker (1)\n"
        "where it has them.\n"
        ".PP\n"
        "Options come behind the verb.\n"
        "A flag of one letter may be joined with others, as in\n"
        ".BR \\-it ;\n"
        "a value follows as in\n"
        ".BR \"\\-m 1g\" ,\n"
        ".BR \\-m1g ,\n"
        ".B \\-\\-memory 1g\n"
        "or\n"
        ".BR \\-\\-memory=1g .\n"
        ".SH VERBS\n",
        to);
    write_group(verbs, VERB_MACHINES, to);
    write_group(verbs, VERB_IMAGES, to);
    write_group(verbs, VERB_OTHER, to);
    fputs(".SH OPTIONS\n", to);
    write_option(&(struct option){.name = "help",
                                  .letter = 'h',
                                  .help = "print the verbs"},
                 to);
    write_option(&(struct option){.name = "version",
                                  .letter = 'v',
                                  .help = "print the version"},
                 to);
    fputs(".SH EXIT STATUS\nThat of the verb; 125 when the command line is "
          "wrong.\n",
          to);
    write_environment(to);
}
