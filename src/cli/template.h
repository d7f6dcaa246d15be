/* template.h: the simple ones of Docker's --format templates.
 *
 * How it works
 *   A template is text with words in double braces: {{.Name}} is the field of
 *   that name, {{json .Name}} the same as JSON, {{json .}} everything as one
 *   JSON object. "\t" and "\n" in the text are a tab and a new line. Of Go's
 *   language there is no more.
 *
 *   template_next() takes a template apart, part by part; who knows what the
 *   fields are puts it together again.
 */
#ifndef SM_CLI_TEMPLATE_H
#define SM_CLI_TEMPLATE_H

#include <stddef.h>

enum template_kind {
    TEMPLATE_END,   /* there is no more                                */
    TEMPLATE_TEXT,  /* as it stands                                    */
    TEMPLATE_TAB,   /* text that is one tab                            */
    TEMPLATE_FIELD, /* {{.Name}}: `start` is behind the first dot      */
    TEMPLATE_JSON,  /* {{json .Name}}: likewise; empty: everything     */
    TEMPLATE_WRONG  /* neither: the rest, from its braces on           */
};

/* A piece of a template, which is not copied. */
struct template_part {
    enum template_kind kind;
    const char *start;
    size_t length;
};

/* The part at *at, which moves behind it. A field's name is made of letters,
 * digits, "_" and, between these, dots. */
struct template_part template_next(const char **at);

#endif
