#!/usr/bin/env bash
# trees.sh: Debian's /usr out of a machine, in and out again: the same, and how
# fast. For `make soak`: half a gigabyte each way.
#
# The image is DEBIAN, an OCI layout, or that of tools/make-debian-image. TREE is
# another folder of it than /usr.
. tests/system/lib.sh
. tests/lib/tree.sh
tree=${TREE:-/usr}
layout=${DEBIAN:-$(tools/make-debian-image --print-path 2>/dev/null)}
if [ -z "$layout" ]; then
    skip trees "there is no image of Debian"
    finish_part
    exit 0
fi
# Its root file system is made outside of the bed where that was possible.
[ ! -d build/debian-home ] || export SUPERMACHINE_HOME=$PWD/build/debian-home

# timed NAME BYTES COMMAND...
timed() {
    local name=$1 bytes=$2 began ended
    shift 2
    began=$(date +%s%N)
    check "trees/$name" "$@"
    ended=$(date +%s%N)
    printf '    %s: %s bytes, %d s, %d KB/s\n' "$name" "$bytes" \
        $(((ended - began) / 1000000000)) $((bytes * 1000000 / (ended - began)))
}

# What Debian itself says of a folder of its, in the words of show_tree.
show_inside() {
    supermachine exec -u 0 deb sh -c "cd $1"'
        find . -printf "%p %y %m %U:%G %T@ %l\n" | LC_ALL=C sort
        find . -type f -exec sha256sum {} + | LC_ALL=C sort -k2'
}

supermachine run -d -u 0 --memory 1g --name deb "oci:$layout" \
    sleep 1000000 >/dev/null
bytes=$(supermachine exec -u 0 deb sh -c "find $tree -type f -printf '%s %i\n' |
    sort -u -k2 | awk '{ sum += \$1 } END { print sum }'")
timed out "$bytes" supermachine cp -aq "deb:$tree/." "$scratch/out"
timed in "$bytes" supermachine cp -aq "$scratch/out" deb:/again
timed out_again "$bytes" supermachine cp -aq deb:/again "$scratch/again"
show_inside "$tree" >"$scratch/one"
show_inside /again >"$scratch/other"
check trees/has_many [ "$(wc -l <"$scratch/one")" -gt 1000 ]
check trees/in_and_out_is_the_same diff "$scratch/one" "$scratch/other"
show_tree "$scratch/out" >"$scratch/one"
show_tree "$scratch/again" >"$scratch/other"
check trees/here_it_is_the_same diff "$scratch/one" "$scratch/other"
supermachine kill deb >/dev/null
supermachine wait deb >/dev/null
supermachine rm deb >/dev/null
finish_part
