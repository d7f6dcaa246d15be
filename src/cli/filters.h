/* filters.h: which of many things are wanted: --filter KEY=VALUE. */
#ifndef SM_CLI_FILTERS_H
#define SM_CLI_FILTERS_H

#include "options.h"

/* Whether (thing) has (wanted) where the key, of (length) bytes, looks. */
typedef bool filter_matches_fn(const void *thing, const char *key,
                               size_t length, const char *wanted);

/* Each begins with one of (keys), NULL at the end. False: said on behalf of
 * (verb), with all of them. */
bool filters_check(const char *verb, const struct option_list *filters,
                   const char *const *keys);
/* As Docker has it: a thing has one name, one state and so on, so of filters
 * with the same key one must hold, of several keys all. Of labels it has many:
 * every "label=" must hold. */
bool filters_hold(const struct option_list *filters, const void *thing,
                  filter_matches_fn *matches);

#endif
