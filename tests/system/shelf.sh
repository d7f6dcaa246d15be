#!/usr/bin/env bash
# shelf.sh: snapshots that are kept: listed, looked at, removed, exported and
# imported, pushed and pulled; hostile archives of some. Needs no hypervisor.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/report.sh

for tool in docker-registry python3 zstd; do
    command -v "$tool" >/dev/null && continue
    skip shelf "$tool is not installed: tools/bootstrap check"
    exit 0
done

. tests/lib/images.sh
shelf=$SUPERMACHINE_HOME/snapshots

sm() {
    timeout 120 "$supermachine" "$@"
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

# json EXPRESSION: of what is read, as `it`.
json() {
    python3 -c "import json, sys; it = json.load(sys.stdin); print($1)"
}

make() {
    python3 tests/system/make-snapshot "$SUPERMACHINE_HOME" "$@"
}

# same ONE OTHER: their files have the same content, as far as it counts.
same() {
    local file
    for file in state differential rootfs disk.0 disk.1; do
        cmp "$shelf/$1/$file" "$shelf/$2/$file" || return 1
    done
    cmp -n $((64 << 20)) "$shelf/$1/memory" "$shelf/$2/memory"
}

# all_whole: nothing is left half-made.
all_whole() {
    [ -z "$(find "$shelf" -mindepth 1 -maxdepth 1 -name '.*' -type d)" ]
}

# ---- what is there ----

expect ls_of_nothing 0 '^NAME +IMAGE +COMMAND' snapshot ls
make ready
make other machine.vcpus=4
ln -f "$shelf/ready/rootfs" "$shelf/other/rootfs"
expect ls_table 0 '^ready +nginx:1.25 +nginx -g daemon off; .*67.1MB +2' \
    snapshot ls
expect ls_is_list 0 '^other +nginx' snapshot list
check ls_names test "$(sm snapshot ls -q)" = $'other\nready'
check ls_json test "$(sm snapshot ls --json | json 'it[0]["Cpus"]')" = 4
check inspect_vcpus test 2 = \
    "$(sm snapshot inspect -f '{{.manifest.machine.vcpus}}' ready)"
check inspect_type test 4 = \
    "$(sm inspect --type snapshot other |
        json 'it[0]["manifest"]["machine"]["vcpus"]')"
expect inspect_none 1 'no snapshot rady; near it: ready' snapshot inspect rady

# What ls says of sizes, the disk says too.
blocks() {
    find "$shelf/ready" -type f -links "$1" -printf '%b\n' |
        awk '{ sum += $1 } END { print sum * 512 }'
}
check ls_own_size test "$(blocks 1)" = \
    "$(sm snapshot ls --json | json 'it[1]["Size"]')"
check ls_shared_size test "$(blocks 2)" = \
    "$(sm snapshot ls --json | json 'it[1]["SharedSize"]')"

# A machine is not made of a snapshot that fits nowhere.
touch "$scratch/vmlinux" "$scratch/initramfs.cpio"
mkdir "$scratch/runtime"
ln -s "$PWD"/build/main/src/image/supermachine-image \
    "$PWD"/build/main/src/worker/supermachine-vmm "$scratch/runtime"
echo kernel >"$scratch/runtime/vmlinux"
echo agent >"$scratch/runtime/initramfs.cpio"
runtime=$SUPERMACHINE_RUNTIME_DIR
export SUPERMACHINE_RUNTIME_DIR=$scratch/runtime
expect run_other_kernel 125 'ready: it was made with another guest kernel' \
    run --snapshot ready
make foreign origin.architecture='"riscv128"'
expect run_other_architecture 125 'is of a machine for riscv128' \
    run --snapshot foreign
kernel=sha256:$(sha256sum <"$scratch/runtime/vmlinux" | cut -d' ' -f1)
make agent origin.kernel="\"$kernel\""
expect run_other_agent 125 'agent: it was made with another agent' \
    run --snapshot agent
agent=sha256:$(sha256sum <"$scratch/runtime/initramfs.cpio" | cut -d' ' -f1)
make fits origin.kernel="\"$kernel\"" origin.agent="\"$agent\""
expect run_other_memory 125 'its snapshot has 67108864' \
    run --snapshot fits -m 128m
expect run_other_cpus 125 '3 vcpus: its snapshot has 2' \
    run --snapshot fits --cpus 3
check digests_are_kept grep -q "^$agent$" "$shelf/.programs"
echo damaged >"$shelf/.programs"
make afresh origin.kernel="\"$kernel\"" origin.agent="\"$agent\""
expect digests_are_found_again 125 'its snapshot has 67108864' \
    run --snapshot afresh -m 128m
check programs_are_noted grep -q '"programs": "kernel ' \
    "$shelf/fits/manifest.json"
expect run_with_kernel 125 'does not boot' run --snapshot fits --cold
make silent origin.kernel="\"$kernel\"" origin.agent="\"$agent\"" \
    program.channel=0
expect run_nothing_goes_on 125 'made without a command' run --snapshot silent
expect run_none 125 'no snapshot redy; near it: ready' run --snapshot redy
export SUPERMACHINE_RUNTIME_DIR=$runtime

expect rm_none 125 'no snapshot nope' snapshot rm nope
expect rm_path 125 'a name is' snapshot rm ../home
expect rm_two 0 foreign snapshot rm foreign agent
check rm_is_gone test ! -e "$shelf/foreign"
make broken
echo '{' >"$shelf/broken/manifest.json"
check ls_without_broken test -z "$(sm snapshot ls -q | grep broken)"
expect inspect_broken 1 'broken: manifest.json: invalid JSON' \
    snapshot inspect broken
expect rm_broken 0 broken snapshot rm broken

# ---- export and import ----

archive=$scratch/ready.tar
expect export_file 0 '^$' snapshot export -o "$archive" ready
check export_is_private test "$(stat -c %a "$archive")" = 600
check export_is_small test "$(stat -c %s "$archive")" -lt 2000000
sm snapshot export ready >"$scratch/again.tar"
check export_is_the_same cmp "$archive" "$scratch/again.tar"
expect export_none 125 'no snapshot rady; near it: ready' \
    snapshot export -o "$scratch/none.tar" rady
check export_leaves_nothing test ! -e "$scratch/none.tar"
expect import_taken 125 'there is a snapshot ready' \
    snapshot import -i "$archive"
expect import_as 0 '^copy$' snapshot import -i "$archive" copy
check import_is_the_same same ready copy
check import_has_holes test \
    "$(du -k "$shelf/copy" | cut -f1)" -lt 2000
check import_is_private test "$(stat -c %a "$shelf/copy")" = 700
check import_is_of_elsewhere grep -q '"programs": ""' \
    "$shelf/copy/manifest.json"
check import_keeps_digests grep -q "\"kernel\": \"sha256:bbbb" \
    "$shelf/copy/manifest.json"
sm snapshot rm ready >/dev/null
check import_pipe test ready = "$(zstd -qc "$archive" | sm snapshot import)"
check import_has_its_name same ready copy
expect import_bad_name 125 'a name is' snapshot import -i "$archive" ../evil
expect load_is_for_images 125 '' load -i "$archive"
tar -C "$scratch" -cf "$scratch/none.tar" runtime
expect import_tar 125 'import: ' snapshot import -i "$scratch/none.tar"
expect import_nothing 125 'import: ' snapshot import -i /dev/null
check nothing_half_made all_whole

# ---- push and pull ----

start_registry
expect push 0 '^$' snapshot push ready "$registry/team/ready:1"
check push_is_an_artifact test application/vnd.supermachine.snapshot.v1 = \
    "$(curl -s -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
        "http://$registry/v2/team/ready/manifests/1" |
        json 'it["artifactType"]')"
expect push_again 0 '^$' snapshot push ready "$registry/team/ready:2"
expect push_none 125 'no snapshot rady; near it: ready' \
    snapshot push rady "$registry/team/ready:1"
expect push_digest 125 'a digest cannot be given' snapshot push ready \
    "$registry/team/ready@sha256:$(printf 'a%.0s' {1..64})"
expect push_nowhere 125 'is no name of a registry' \
    snapshot push ready oci:/tmp
expect pull_taken 125 'there is a snapshot ready' \
    snapshot pull "$registry/team/ready:1"
expect pull_as 0 '^pulled$' snapshot pull "$registry/team/ready:1" pulled
check pull_is_the_same same ready pulled
expect pull_no_tag 125 'has no tag 3; near it: [12], [12]' \
    snapshot pull "$registry/team/ready:3"
sm snapshot rm ready >/dev/null
expect pull_has_its_name 0 '^ready$' \
    snapshot pull "$registry/team/ready:2"
check pull_is_called_so same ready pulled
push_layered 2 100000
expect pull_an_image 125 'is no snapshot' snapshot pull "$app" image
# A blob of the registry's that is not what it says.
blob=$(find "$scratch/registry" -name data -size -30 -path '*blobs*' \
    -exec grep -l '"agent": "sha256:cccc' {} + | head -1)
sed -i 's/"vcpus": 2/"vcpus": 3/' "$blob"
expect pull_damaged 125 'digest' snapshot pull "$registry/team/ready:1" evil
check pull_leaves_nothing all_whole

# ---- what is wrong ----

mkdir "$scratch/bad"
count=0
while read -r name pattern; do
    expect "bad_$name" 125 "$pattern" snapshot import \
        -i "$scratch/bad/$name.tar" evil
    [ ! -e "$shelf/evil" ] || not_ok "bad_$name is there"
    count=$((count + 1))
done < <(python3 tests/system/bad-snapshots "$archive" "$scratch/bad")
check bad_many test $count -gt 30
check bad_leaves_nothing all_whole
expect good_as_well 0 evil snapshot import -i "$scratch/bad/good.tar" evil
check good_is_the_same same ready evil
head -c $(($(stat -c %s "$archive") / 2)) "$archive" >"$scratch/half.tar"
expect bad_half 125 'import: ' snapshot import -i "$scratch/half.tar" half
check bad_half_leaves_nothing all_whole

# ---- what is left over ----

# Of an image that is gone, and of a template; a snapshot has both.
sm prune >/dev/null
rootfs=$SUPERMACHINE_HOME/rootfs/$(printf 'a%.0s' {1..64}).ext4
template=$SUPERMACHINE_HOME/templates/00112233445566778899
mkdir -p "${rootfs%/*}" "${template%/*}"
ln "$shelf/ready/rootfs" "$rootfs"
ln "$shelf/ready/memory" "$template"
touch -d '9 days ago' "$template"
expect prune_of_what_snapshots_have 0 '^Freed: 0B$' prune
check prune_takes_it_all_the_same test ! -e "$rootfs" -a ! -e "$template"
mkdir -m 700 "$shelf/.new-0123456789abcdef" "$shelf/.old-0123456789abcdef" \
    "$shelf/.tmp-0123456789abcdef" "$shelf/.tmp-fedcba9876543210"
echo much >"$shelf/.new-0123456789abcdef/memory"
touch -d '2 hours ago' "$shelf/.tmp-0123456789abcdef"
mkdir -p "$SUPERMACHINE_HOME/templates"
echo old >"$SUPERMACHINE_HOME/templates/0123456789abcdef"
echo new >"$SUPERMACHINE_HOME/templates/fedcba9876543210"
touch -d '9 days ago' "$SUPERMACHINE_HOME/templates/0123456789abcdef"
expect prune 0 'Freed' prune
check prune_leaves_none test ! -e "$shelf/.new-0123456789abcdef"
check prune_leaves_no_old test ! -e "$shelf/.tmp-0123456789abcdef"
check prune_keeps_fresh test -e "$shelf/.tmp-fedcba9876543210"
check prune_keeps_snapshots test -e "$shelf/ready"
check prune_templates test ! -e \
    "$SUPERMACHINE_HOME/templates/0123456789abcdef"
check prune_keeps_template test -e \
    "$SUPERMACHINE_HOME/templates/fedcba9876543210"
expect prune_all 0 'Freed' prune --all
check prune_all_templates test ! -e \
    "$SUPERMACHINE_HOME/templates/fedcba9876543210"
rmdir "$shelf/.tmp-fedcba9876543210"

# ---- many at once, and killed ----

makers=()
for _ in 1 2 3 4 5 6; do
    sm snapshot import -i "$archive" one >/dev/null 2>&1 &
    makers+=($!)
done
made=0
for maker in "${makers[@]}"; do
    wait "$maker" && made=$((made + 1))
done
check many_one_comes_first test $made -eq 1
check many_make_one same ready one
for delay in 0.01 0.03 0.05 0.08 0.12 0.2; do
    { timeout -s KILL "$delay" "$supermachine" snapshot import \
        -i "$archive" killed; } >/dev/null 2>&1
    sm snapshot rm killed >/dev/null 2>&1
done
# Those who did the work end when nobody listens any more.
for worker in $(pgrep -f "supermachine(-image)? .*$scratch"); do
    timeout 60 tail --pid="$worker" -f /dev/null
done
sm snapshot rm killed >/dev/null 2>&1
expect after_kills 0 killed snapshot import -i "$archive" killed
check after_kills_whole all_whole

report_total
