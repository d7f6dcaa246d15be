#!/usr/bin/env bash
# template.sh: machines come out of their template: made once, remade when it
# must be, never in the way; and those that come out of one are no twins.
#
#   MACHINES=50 tests/system/template.sh     so many at once
. tests/system/lib.sh
make_image
machines=${MACHINES:-8}
templates=$SUPERMACHINE_HOME/templates

# The template itself; .hot and .lock lie beside it.
template() {
    find "$templates" -type f ! -name '*.*' 2>/dev/null
}

# costs NAME STEP [OPTION...]: a start that has STEP among its steps.
costs() {
    local name=$1 step=$2 out
    shift 2
    out=$(run_in --cost "$@" -- echo fine 2>&1 </dev/null)
    if grep -qx fine <<<"$out" && grep -q "\"name\":\"$step\"" <<<"$out"; then
        ok "$name"
    else
        printf '    %s\n' "$out"
        not_ok "$name"
    fi
}

costs template/first_start_makes_it 'template made'
check template/one_file [ "$(template | wc -l)" = 1 ]
first=$(template)
check template/has_holes [ "$(stat -c '%b' "$first")" -lt 131072 ]
costs template/next_start_restores 'machine restored'
check template/same_as_before [ "$(template)" = "$first" ]
costs template/cold_boots 'agent connected' --cold
costs template/another_size_is_another 'template made' --memory 96m
check template/two_files [ "$(template | wc -l)" = 2 ]
costs template/several_vcpus 'template made' --cpus 3
expect template/vcpus_restored 0 '^3$' run_in --cpus 3 -- nproc

# No twins: what must differ, does; time is ours; the kernel has no complaint.
# shellcheck disable=SC2016  # the guest expands it
who='cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id
    hostname; head -c 16 /dev/urandom | od -An -tx1 | tr -d " "
    cat /etc/hostname; date +%s; dmesg'
twin() {
    run_in -- sh -c "$who" </dev/null >"$scratch/twin.$1" 2>&1
}
twin 1 &
twin 2 &
wait
twin 3
before=$(date +%s)
twin 4
after=$(date +%s)
for line in 1:uuid 2:boot_id 3:hostname 4:urandom 5:etc_hostname; do
    values=$(for i in 1 2 3 4; do sed -n "${line%%:*}p" "$scratch/twin.$i"; done)
    check "clones/${line#*:}" \
        [ "$(sort -u <<<"$values" | grep -c '[0-9a-f]\{12\}')" = 4 ]
done
now=$(sed -n 6p "$scratch/twin.4")
check clones/wall_clock [ "$now" -ge "$before" -a "$now" -le "$after" ]
check clones/kernel_is_calm test -z "$(grep -hiE \
    'lockup|stall|unstable|hung|BUG|WARNING|call trace|I/O error' \
    "$scratch"/twin.*)"
check clones/kernel_speaks grep -q 'EXT4-fs' "$scratch/twin.4"

# Damaged in any way, it is made anew, and nobody is kept from running.
damage() {
    local name=$1 before
    before=$(stat -c %i "$first")
    costs "template/$name" 'template refused'
    costs "template/${name}_is_remade" 'template made'
    check "template/${name}_is_another" [ "$(stat -c %i "$first")" != "$before" ]
}
printf x | dd of="$first" bs=1 seek=$((536870912 + 300)) conv=notrunc \
    status=none
damage flipped_byte
truncate -s 536870920 "$first"
damage cut_state
truncate -s 1000 "$first"
damage cut_memory
: >"$first"
damage empty
echo nonsense >"$first.hot"
costs template/nonsense_for_hot 'machine restored'

# Another agent: another template.
cp -r "$stage/libexec/supermachine" "$scratch/runtime"
SUPERMACHINE_RUNTIME_DIR=$scratch/runtime
export SUPERMACHINE_RUNTIME_DIR
costs template/another_agent 'template made'
unset SUPERMACHINE_RUNTIME_DIR

# Nowhere to keep it: the machine boots.
rm -rf "$templates"
: >"$templates"
costs template/no_folder 'agent connected'
rm "$templates"

# Killed at any moment while it is made: nothing is left, the next one runs.
for moment in 0.2 0.5 0.9 1.4 2 3; do
    rm -rf "$templates"
    { timeout -s KILL "$moment" supermachine run "oci:$image" sleep 100 \
        </dev/null >/dev/null; } 2>/dev/null
    check_clean "template/killed_after_$moment"
done
expect template/runs_after_kills 0 '^fine$' run_in -- echo fine

# Several that find none: one makes it, all run.
rm -rf "$templates"
one() {
    timeout 300 supermachine run --memory 128m "oci:$image" echo "fine $1" \
        </dev/null 2>&1
}
export -f one
export image
lines=$(seq 4 | xargs -P 4 -I{} bash -c 'one {}' | sort)
check template/side_by_side \
    [ "$lines" = "$(printf 'fine %s\n' 1 2 3 4)" ]
check template/made_once [ "$(template | wc -l)" = 1 ]

# Many at once out of one: each answers, and costs what it writes.
# KiB of the guest's pages that are its own when it answers.
kept_one() {
    local id keeper
    id=$(timeout 300 supermachine run -d --memory 128m "oci:$image" sleep 1000 \
        </dev/null) || return
    keeper=$(supermachine inspect --format '{{.State.Pid}}' "$id")
    smaps_of "$(pgrep -x supermachine-vm -P "$keeper")" 128 Anonymous |
        cut -d' ' -f1
}
export -f kept_one smaps_of
own=$(seq "$machines" | xargs -P 4 -I{} bash -c kept_one | sort -n)
check "template/${machines}_at_once" [ "$(wc -l <<<"$own")" = "$machines" ]
half=$(sed -n "$(((machines + 1) / 2))p" <<<"$own")
most=$(tail -n 1 <<<"$own")
if [ "${half:-0}" -gt 0 ] && [ "$half" -le 4096 ]; then
    ok "template/own_memory (median $half, at most $most KiB, 4096 allowed)"
else
    printf '    %s KiB\n' "$own"
    not_ok template/own_memory
fi
answered=0
for id in $(supermachine ps -q); do
    [ "$(timeout 60 supermachine exec "$id" echo here)" = here ] &&
        answered=$((answered + 1))
done
check template/all_answer [ "$answered" = "$machines" ]
supermachine ps -q | xargs supermachine rm -f >/dev/null
check_clean template/nothing_left
finish_part
