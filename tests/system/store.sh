#!/usr/bin/env bash
# store.sh: what is kept: listed, named, removed, pruned, checked, loaded and
# saved; with several processes at once, and killed at any moment.
# Needs no hypervisor.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/report.sh

for tool in docker-registry skopeo python3 flock; do
    command -v "$tool" >/dev/null && continue
    skip store "$tool is not installed: tools/bootstrap check"
    exit 0
done

. tests/lib/images.sh
start_registry
push_layered 4 1000000

sm() {
    timeout 120 "$supermachine" "$@"
}

pull() {
    sm pull -q --platform linux/amd64 "$app"
}

# expect NAME STATUS PATTERN ARGS...: what the program says and exits with.
expect() {
    local name=$1 status=$2 pattern=$3 out got
    shift 3
    out=$(sm "$@" 2>&1 </dev/null)
    got=$?
    if [ $got -eq "$status" ] && grep -qE -- "$pattern" <<<"$out"; then
        ok "$name"
    else
        printf '    status %s, printed: %s\n    expected: %s, %s\n' \
            "$got" "$out" "$status" "$pattern"
        not_ok "$name"
    fi
}

blobs() {
    find "$SUPERMACHINE_HOME/blobs" -type f | wc -l
}

rootfs() {
    find "$SUPERMACHINE_HOME/rootfs" -name '*.ext4' | wc -l
}

# prepares REFERENCE [OPTION...]: the image is ready; nobody is asked for it.
prepares() {
    local reference=$1
    shift
    env -i "$SUPERMACHINE_RUNTIME_DIR/supermachine-image" prepare \
        --home "$SUPERMACHINE_HOME" --platform linux/amd64 "$@" "$reference"
}

# json EXPRESSION: of what is read, as `it`.
json() {
    python3 -c "import json, sys; it = json.load(sys.stdin); print($1)"
}

# ---- what is there ----

expect images_of_nothing 0 '^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE' images
pull >/dev/null
expect images_table 0 "^$registry/team/app +1.0 +[0-9a-f]{12} .*4[.][0-9]+MB" \
    images
id=$(sm images -q --no-trunc)
check images_json test "$id" = "$(sm images --json | json 'it[0]["ID"]')"
on_disk=$(find "$SUPERMACHINE_HOME/rootfs" -name '*.ext4' -printf '%b\n')
check images_rootfs_as_on_disk test "$((on_disk * 512))" = \
    "$(sm images --json | json 'it[0]["RootfsSize"]')"
# All that is there but the index is the image's.
index=$(grep -rl '"manifests"' "$SUPERMACHINE_HOME/blobs")
all=$(find "$SUPERMACHINE_HOME/blobs" -type f -exec cat {} + | wc -c)
check images_blobs_as_on_disk test "$((all - $(wc -c <"$index")))" = \
    "$(sm images --json | json 'it[0]["Size"]')"
check inspect_is_json test "$id" = \
    "$(sm inspect "$app" | json 'it[0]["Id"]')"
check inspect_layers test 4 = \
    "$(sm inspect "${id:0:15}" | json 'len(it[0]["RootFS"]["Layers"])')"
expect inspect_unknown 1 "near it: $registry/team/app:1.0" \
    inspect "$registry/team/app:2"

# ---- names and IDs ----

sm tag "$app" other:2
check tag_is_there test 2 = "$(sm images -q | wc -l)"
check prepare_by_id prepares "${id#sha256:}"
check prepare_by_short_id prepares "$(cut -c8-12 <<<"$id")"
check prepare_by_new_name prepares other:2
expect prepare_unknown_id 1 'no image with the ID' \
    inspect sha256:000000
expect rmi_by_id_of_two_names 125 'has 2 names' rmi "$id"
expect rmi_one_name 0 '^Untagged: other:2$' rmi other:2
check rmi_one_name_keeps_blobs test 7 = "$(blobs)"
check events_of_images test "pull $app tag other:2 untag other:2" = \
    "$(sm events --since 1h --until 0s -f type=image \
        --format '{{.Action}} {{.Actor.Attributes.name}}' | paste -sd' ')"
check events_of_one_image test 'pull tag' = \
    "$(sm events --since 1h --until 0s -f "image=$app" --format '{{.Action}}' |
        paste -sd' ')"
expect rmi_unknown 125 'no image nothing:latest' rmi nothing

# ---- what is in use ----

exec 9<"$(find "$SUPERMACHINE_HOME/rootfs" -name '*.ext4')"
flock -s 9
expect rmi_in_use 125 'a machine runs on it' rmi "$app"
expect rmi_in_use_forced 0 '^Untagged: ' rmi --force "$app"
check rmi_in_use_keeps_rootfs test 1 = "$(rootfs)"
expect prune_keeps_what_is_in_use 0 'stays: a machine runs on it' prune --all
check prune_kept_rootfs test 1 = "$(rootfs)"
exec 9<&-
expect prune_says_what_was_freed 0 '^Freed: [1-9]' prune
check prune_removed_rootfs test 0 = "$(rootfs)"
check prune_removed_blobs test 0 = "$(blobs)"

# ---- what files lead to is kept, but not against --all ----

prepares "oci:$scratch/image" >/dev/null
expect prune_keeps_rootfs_of_files 0 '^Freed: 0B$' prune
check prune_kept_rootfs_of_files test 1 = "$(rootfs)"
expect prune_all 0 '^Freed: [1-9]' prune --all
check prune_all_removed_rootfs test 0 = "$(rootfs)"

# ---- damage ----

pull >/dev/null
expect verify_clean 0 'as it should be' store verify
layer=$(find "$SUPERMACHINE_HOME/blobs" -size +500k | head -1)
chmod 600 "$layer"
printf x | dd of="$layer" bs=1 seek=1000 conv=notrunc 2>/dev/null
expect verify_flipped_layer 1 "Damaged: sha256:${layer##*/}: digest mismatch" \
    store verify
expect verify_says_which_image 1 "Damaged: .*/team/app:1.0: lacks" store verify
expect verify_repairs 1 'damaged, and removed' store verify --repair
expect verify_clean_after_repair 0 'as it should be' store verify
check pull_after_repair pull
check repaired_layer_is_back test -f "$layer"
tag=$(find "$SUPERMACHINE_HOME/tags" -type f)
cp "$tag" "${tag%????}0000"
expect verify_wrong_name 1 'is not the file of' store verify
expect prune_of_damaged 125 'store verify --repair' prune
sm store verify --repair >/dev/null
note=$(find "$SUPERMACHINE_HOME/rootfs" -name '*.json')
echo '{}' >"$note"
expect verify_note 1 'Damaged: .*\.ext4' store verify --repair
check verify_note_removed test 0 = "$(rootfs)"
: >"$tag"
expect rmi_of_damaged_name_needs_repair 125 'damaged|no image' rmi "$app"
sm store verify --repair >/dev/null
expect verify_all_repaired 0 'as it should be' store verify

# ---- archives ----

pull >/dev/null
sm save "$app" -o "$scratch/oci.tar"
sm save --format docker-archive "$app" | cat >"$scratch/docker.tar"
for format in oci docker; do
    check "save_$format-archive_is_read_by_skopeo" skopeo copy -q \
        "$format-archive:$scratch/$format.tar" \
        "oci:$scratch/back-$format:latest"
    sm rmi "$app" >/dev/null
    check "load_$format-archive" sm load -i "$scratch/$format.tar"
    check "load_${format}_has_the_same_id" test "$id" = \
        "$(sm images -q --no-trunc)"
    check "load_${format}_runs" prepares "$app"
done
skopeo copy -q "oci:$scratch/image" "oci-archive:$scratch/bare.tar"
expect load_without_a_name 125 'say one with --name' load -i "$scratch/bare.tar"
check load_with_a_name sm load --name bare -i "$scratch/bare.tar"
gzip -c "$scratch/docker.tar" >"$scratch/docker.tar.gz"
sm rmi "$app" >/dev/null
check load_compressed_from_a_pipe sm load \
    < <(tail -c +1 "$scratch/docker.tar.gz")
skopeo copy -q "oci:$scratch/image" \
    "docker-archive:$scratch/skopeo.tar:made/by:skopeo"
check load_of_skopeo sm load -i "$scratch/skopeo.tar"
check load_of_skopeo_is_named sm inspect made/by:skopeo
head -c 2000000 "$scratch/oci.tar" >"$scratch/cut.tar"
expect load_cut_short 125 'load: ' load -i "$scratch/cut.tar"
expect save_unknown 125 'no image' save -o "$scratch/none.tar" none
check save_unknown_leaves_nothing test -z \
    "$(find "$scratch" -maxdepth 1 -name 'none.tar*')"
expect verify_after_archives 0 'as it should be' store verify

# ---- killed at any moment, and several at once ----

# The whole of a family of processes: ours, and the image program that it
# started, which would else go on for a moment.
killed() {
    local delay=$1
    shift
    { setsid timeout -s KILL "$delay" "$supermachine" "$@"; } >/dev/null 2>&1
}

sm rmi -f "$id" >/dev/null 2>&1
sm prune --all >/dev/null
rm -rf "$SUPERMACHINE_HOME"
wrong=0
for step in $(seq 1 24); do
    delay=$(printf '0.%03d' $((step * 17 % 310 + 5)))
    killed "$delay" pull -q --platform linux/amd64 "$app" &
    begun=($!)
    killed "0.$((step * 7 % 90 + 10))" prune --all &
    begun+=($!)
    if [ $((step % 3)) -eq 0 ]; then
        killed 0.1 rmi -f "$app" &
        begun+=($!)
    fi
    wait "${begun[@]}"
    # A prune that nobody kills, next to a pull that nobody kills.
    sm prune >"$scratch/prune" 2>&1 &
    pruning=$!
    pull >"$scratch/pull" 2>&1 || {
        wrong=$((wrong + 1))
        cat "$scratch/pull"
    }
    wait $pruning || {
        wrong=$((wrong + 1))
        cat "$scratch/prune"
    }
    sm store verify >"$scratch/verify" || {
        wrong=$((wrong + 1))
        cat "$scratch/verify"
    }
    [ $((step % 2)) -ne 0 ] || sm rmi -f "$app" >/dev/null 2>&1
done
check killed_at_any_moment test $wrong -eq 0
pull >/dev/null
check killed_then_runs prepares "$app"
sm prune >/dev/null
check killed_leaves_nothing test 7 = "$(blobs)"
check killed_leaves_no_leases test -z \
    "$(find "$SUPERMACHINE_HOME/leases" -type f)"
check killed_leaves_no_parts test -z "$(find "$SUPERMACHINE_HOME" \
    -name '*.part' -o -name '*.tmp' -o -name '*.lock')"
report_total
