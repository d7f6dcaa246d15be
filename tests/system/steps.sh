#!/usr/bin/env bash
# steps.sh: work on images that is killed, or finds the disk full, at any of
# its steps (tests/lib/steps.c). What is there then is as it should be, the
# next pull completes, and a prune leaves nothing of what was begun.
# Needs no hypervisor. EVERY=1 goes through all steps, not only some.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/report.sh

for tool in docker-registry skopeo python3; do
    command -v "$tool" >/dev/null && continue
    skip steps "$tool is not installed: tools/bootstrap check"
    exit 0
done

every=${EVERY:-9}
image=$PWD/build/main/src/image/supermachine-image
steps=$PWD/build/main/tests/lib/steps.so
. tests/lib/images.sh
start_registry
push_layered 3 40000

# work STEPS VERB ARGS...: in the image program, with its steps counted.
work() {
    local what=$1 verb=$2
    shift 2
    timeout 60 env -i STEPS="$what" LD_PRELOAD="$steps" "$image" "$verb" \
        --home "$SUPERMACHINE_HOME" --platform linux/amd64 "$@"
}

pull() {
    timeout 60 env -i "$image" prepare --home "$SUPERMACHINE_HOME" \
        --platform linux/amd64 --disk-size 67108864 --refresh "$app"
}

verify() {
    "$supermachine" store verify
}

# The image is there, whole, and nothing else is: index, manifest, config and
# layers; a root file system and its note; a name.
is_as_pulled() {
    local there
    there=$(cd "$SUPERMACHINE_HOME" && find blobs rootfs tags leases -type f |
        sed -E 's/[0-9a-f]{64}/X/' | sort | uniq -c | tr -s ' \n' ' ')
    [ "$there" = " 6 blobs/sha256/X 1 rootfs/X.ext4 1 rootfs/X.json 1 tags/X " ] || {
        echo "left: $there"
        return 1
    }
}

# Whatever was begun: all is well, and stays so.
settles() {
    verify && pull && verify && "$supermachine" prune && is_as_pulled
}

begin() {
    rm -rf "$SUPERMACHINE_HOME"
    cp -a "$scratch/begin" "$SUPERMACHINE_HOME"
}

# at_each_step NAME HOW VERB ARGS...: from what is in begin/.
at_each_step() {
    local name=$1 how=$2 total at status wrong=0 reached=0
    shift 2
    begin
    total=$(work count "$@" 2>&1 >/dev/null | sed -n 's/^steps //p')
    for ((at = 1 + RANDOM % every; at <= total; at += every)); do
        begin
        work "$how $at" "$@" >"$scratch/said" 2>&1
        status=$?
        case $how-$status in
        kill-137) reached=$((reached + 1)) ;;
        full-*) ! grep -q 'o space left' "$scratch/said" ||
            reached=$((reached + 1)) ;;
        esac
        # What it would not miss it may do without.
        if ! [[ $status =~ ^(0|1|137)$ ]] ||
            ! settles >"$scratch/settled" 2>&1; then
            echo "    at step $at of $total: status $status"
            cat "$scratch/said" "$scratch/settled"
            wrong=$((wrong + 1))
        fi
    done
    check "$name" test $wrong -eq 0
    check "${name}_was_reached" test $((reached * every)) -gt $((total / 2))
} 2>/dev/null # the shell says what was killed

RANDOM=1
mkdir "$scratch/begin"
prepare=(prepare --disk-size 67108864 "$app")
at_each_step pull_killed kill "${prepare[@]}"
at_each_step pull_disk_full full "${prepare[@]}"
check pull_once pull
check pull_leaves_what_it_should is_as_pulled
rm -rf "$scratch/begin"
cp -a "$SUPERMACHINE_HOME" "$scratch/begin"
at_each_step prune_killed kill prune --all
at_each_step remove_killed kill remove "$app"
"$supermachine" save -o "$scratch/image.tar" "$app"
rm -rf "$scratch/begin"
mkdir "$scratch/begin"
at_each_step load_killed kill load --file 3 3<"$scratch/image.tar"
report_total
