/* names.c: names for machines that were given none; see names.h. */
#include "names.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static const char *const first[] = {
    "amber",  "brave",  "brisk",  "calm",   "candid", "clear",  "clever",
    "copper", "crisp",  "deft",   "eager",  "early",  "fair",   "fleet",
    "fresh",  "gentle", "glad",   "golden", "hardy",  "honest", "humble",
    "jolly",  "keen",   "kind",   "late",   "lively", "lucid",  "lunar",
    "mellow", "merry",  "mild",   "neat",   "nimble", "noble",  "patient",
    "plain",  "polite", "prompt", "proud",  "quick",  "quiet",  "rapid",
    "ready",  "round",  "silent", "silver", "sober",  "solid",  "spry",
    "steady", "still",  "stout",  "sunny",  "swift",  "tidy",   "tough",
    "true",   "vivid",  "warm",   "whole",  "wise",   "witty",  "young",
    "zesty",
};

static const char *const second[] = {
    "acorn",   "anchor", "anvil",  "badger",  "barley", "beacon",  "beaver",
    "birch",   "bison",  "bridge", "brook",   "cedar",  "cinder",  "clover",
    "comet",   "condor", "coral",  "crane",   "dune",   "egret",   "ember",
    "falcon",  "fern",   "finch",  "fjord",   "flint",  "gannet",  "glacier",
    "granite", "harbor", "hazel",  "heron",   "ibis",   "juniper", "kestrel",
    "lantern", "larch",  "lark",   "lynx",    "maple",  "marten",  "meadow",
    "merlin",  "otter",  "pebble", "pine",    "plover", "puffin",  "quartz",
    "raven",   "reef",   "ridge",  "robin",   "rowan",  "sable",   "sparrow",
    "spruce",  "stork",  "swift",  "thistle", "tide",   "walnut",  "willow",
    "wren",
};

bool names_make(char *to, size_t capacity)
{
    uint8_t chance[2];
    int length;

    if (getentropy(chance, sizeof chance) != 0)
        return false;
    length = snprintf(to, capacity, "%s_%s",
                      first[chance[0] % (sizeof first / sizeof first[0])],
                      second[chance[1] % (sizeof second / sizeof second[0])]);
    return length > 0 && (size_t)length < capacity;
}
