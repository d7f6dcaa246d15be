# shellcheck shell=bash
# lib.sh: what the tests of the whole program share; sourced.
#
# They run where /dev/kvm is sound, as root, from the top of the tree, with
# build/stage in place. Everything that they write is below $scratch.

# shellcheck source=tests/lib/report.sh
. tests/lib/report.sh

stage=$PWD/build/stage
export PATH=$stage/bin:$PATH
scratch=$(mktemp -d /tmp/supermachine-test.XXXXXX)
export SUPERMACHINE_HOME=$scratch/home
image=$scratch/image
trap 'rm -rf "$scratch"' EXIT

# Make the demo image once.
make_image() {
    [ -d "$image" ] || tools/make-demo-image "$image" >/dev/null
}

# smaps_of PID MIB FIELD: "INSIDE BESIDE": KiB of a field of a worker's smaps, of
# its guest's MIB out of a template and of all the rest. By address: what the
# guest has given back is mapped anew, and looks like anybody's.
smaps_of() {
    local first second offset path at=0 guest=0 inside=0 beside=0
    while read -r first second offset _ _ path; do
        case $first in
        *-*)
            at=$((16#${first%-*}))
            if [ "$guest" = 0 ] && [[ $path = */templates/* ]]; then
                guest=$((at - 16#$offset))
            fi ;;
        "$3:")
            if [ "$at" -ge "$guest" ] && [ "$at" -lt $((guest + ($2 << 20))) ]
            then
                inside=$((inside + second))
            else
                beside=$((beside + second))
            fi ;;
        esac
    done <"/proc/$1/smaps"
    echo "$inside $beside"
}

# worker_of MACHINE: the process that has it, whoever else has started one since.
worker_of() {
    pgrep -x supermachine-vm -P \
        "$(supermachine inspect --format '{{.State.Pid}}' "$1")"
}

# run_in [OPTION...] -- COMMAND...: a command in the demo image, which has some
# hundred times as long as it takes, or `limit` seconds.
run_in() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    timeout "${limit:-300}" supermachine run "${options[@]}" "oci:$image" "$@"
}

# expect NAME STATUS PATTERN COMMAND...: runs COMMAND with no input; passes if
# it exits with STATUS and PATTERN (a regular expression, "" for none) matches
# what it printed on either stream.
expect() {
    local name=$1 status=$2 pattern=$3 out got
    shift 3
    out=$("$@" 2>&1 </dev/null)
    got=$?
    if [ "$got" -ne "$status" ]; then
        printf '    status %s, expected %s; printed: %s\n' \
            "$got" "$status" "$out"
        not_ok "$name"
    elif [ -n "$pattern" ] && ! grep -qE -- "$pattern" <<<"$out"; then
        printf '    printed: %s\n    expected: %s\n' "$out" "$pattern"
        not_ok "$name"
    else
        ok "$name"
    fi
}

# Without it nobody would see what is left behind.
command -v pgrep >/dev/null || {
    echo "not ok pgrep is there (package procps)"
    exit 1
}

# Processes of ours that are still there.
our_processes() {
    pgrep -x 'supermachine.*' || true
}

# Wait until none of our processes is left, nor any that one of them has started
# meanwhile, at most 60 s each; an event, not a poll: tail waits for the end of
# the process.
await_gone() {
    local pid pids
    while pids=$(our_processes) && [ -n "$pids" ]; do
        for pid in $pids; do
            timeout 60 tail --pid="$pid" -f /dev/null || return 1
        done
    done
}

# What a run may leave: images. Everything else is listed here. What a killed
# command could not take with it, the next one does: ps.
leftovers() {
    our_processes
    supermachine ps -aq
    find /tmp /dev/shm /var/tmp -newer "$scratch/.began" -type s 2>/dev/null
    find /dev/shm -mindepth 1 -newer "$scratch/.began" 2>/dev/null
    [ ! -d "$SUPERMACHINE_HOME" ] ||
        find "$SUPERMACHINE_HOME" -name '*tmp*' -o -name '.unnamed*' \
            -o -name '*.new' -o -type s
}

touch "$scratch/.began"

# check_clean NAME: nothing but images is left.
check_clean() {
    local left
    if ! await_gone; then
        printf '    processes: %s\n' "$(our_processes)"
        not_ok "$1"
        return
    fi
    left=$(leftovers)
    if [ -n "$left" ]; then
        printf '    left: %s\n' "$left"
        not_ok "$1"
    else
        ok "$1"
    fi
}

# Last line of each part: that it came so far. The lines above are what counts.
finish_part() {
    printf '    %s passed, %s failed, %s skipped\n' \
        "$passed" "$failed" "$skipped"
    return 0
}
