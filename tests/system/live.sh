#!/usr/bin/env bash
# live.sh: machines that run are kept, forked and gone on from, at any moment of
# whatever they do; and what goes on is right, and is another machine.
#
#   CAPTURES=100 RESTORES=1000 tests/system/live.sh     the long form
. tests/system/lib.sh
captures=${CAPTURES:-4}
restores=${RESTORES:-5}
SEED=${SEED:-$(date +%s)}
RANDOM=$SEED
echo "    seed $SEED"

# busybox, and a program that is busy in every way (guest/churn.c).
folder=$scratch/folder
tests/system/make-program-folder "$folder"
cp build/main/tests/system/guest/churn "$folder/bin/"

sm() {
    timeout 120 supermachine "$@" </dev/null
}

# begin NAME [OPTION...] -- COMMAND...: a machine in the background.
begin() {
    local name=$1
    shift
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    sm run -d --name "$name" "${options[@]}" "dir:$folder" "$@" >/dev/null
}

# await_line MACHINE PATTERN: what its command prints comes to match.
await_line() {
    timeout 60 supermachine logs -f "$1" 2>&1 | grep -qm1 -E -- "$2"
}

# rest: a moment of 0 to 0.4 s, another one each time.
rest() {
    sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
}

# ---- kept and gone on from ----

# A new file each time: who reads it finds a number, whenever that is.
# shellcheck disable=SC2016  # the guest expands it
count='i=0; while :; do i=$((i + 1)); echo $i >/next; mv /next /count
    echo count $i; read -t 0.1 </dev/zero; usleep 50000; done'
begin first -l app=count -l role=parent -- sh -c "$count"
await_line first 'count 5$'
expect live/create 0 '' sm snapshot create one first
expect live/goes_on 0 '^[0-9]+$' sm exec first cat /count
expect live/name_taken 125 'snapshot one: there is one' \
    sm snapshot create one first
expect live/listed 0 'one' sm snapshot ls
then=$(sm exec first cat /count)
expect live/run_detached 0 '' sm run -d --name second --snapshot one
check live/command_goes_on await_line second 'count [0-9]+$'
now=$(sm exec second cat /count)
first_line=$(sm logs second | head -n 1 | tr -dc 0-9)
check live/from_where_it_was \
    [ "$first_line" -ge 5 -a "$first_line" -le $((then + 1)) ]
check live/disk_of_the_same_moment [ "$now" -ge "$first_line" ]
expect live/another_command 0 '^fine$' sm run --snapshot one echo fine
sm exec first sh -c 'echo of the first >/later'
expect live/later_writes_are_not_seen 1 'No such file' \
    sm exec second cat /later
sm exec second sh -c 'echo of the second >/other'
expect live/nor_the_other_way 1 'No such file' sm exec first cat /other
expect live/of_a_clone 0 '' sm snapshot create two second
expect live/clone_of_a_clone 0 'of the second' \
    sm run --snapshot two cat /other
expect live/full 0 '' sm snapshot create --full whole second
expect live/from_full 0 'of the second' sm run --snapshot whole cat /other
expect live/replace 0 '' sm snapshot create --replace one second
expect live/replaced 0 'of the second' sm run --snapshot one cat /other
expect live/unknown 125 'on[^e]*.*one' sm run --snapshot onn echo fine
expect live/unknown_machine 125 'firs' sm snapshot create x firs
sm rm -f second >/dev/null

# ---- forked ----

children=$(sm fork -n 3 --label role=child first)
check live/fork_three [ "$(wc -w <<<"$children")" = 3 ]
check live/children_have_the_label_given [ "$(sort <<<"$children")" = \
    "$(sm ps -q --no-trunc --filter label=role=child | sort)" ]
check live/children_have_its_other_labels \
    [ "$(sm ps -q --filter label=app=count | wc -l)" = 4 ]
check live/and_not_the_one_replaced \
    [ "$(sm ps --filter label=role=parent --format '{{.Names}}')" = first ]
count_pipes() {
    local keeper
    keeper=$(sm inspect --format '{{.State.Pid}}' "$1")
    [ -d "/proc/$keeper/fd" ] || echo "$1 has gone"
    find "/proc/$keeper/fd" -lname 'pipe:*' | wc -l
}
# shellcheck disable=SC2086  # three words
set -- $children
check live/children_hold_nothing_of_each_other \
    [ "$(count_pipes "$1")" = "$(count_pipes "$3")" ]
sm exec first sh -c 'echo after >/after'
for child in $children; do
    expect live/child_answers 0 '^[0-9]+$' sm exec "$child" cat /count
    expect live/child_sees_nothing_later 1 'No such file' \
        sm exec "$child" cat /after
done
# shellcheck disable=SC2086
sm rm -f $children >/dev/null

# ---- no twins ----

# shellcheck disable=SC2016
who='cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id
    hostname; head -c 16 /dev/urandom | od -An -tx1 | tr -d " "
    cat /dev/supermachine/generation; cat /etc/hostname; date +%s; dmesg'
twin() {
    sm run --snapshot one sh -c "$who" >"$scratch/twin.$1" 2>&1
}
twin 1 &
twin 2 &
wait
twin 3
before=$(date +%s)
twin 4
after=$(date +%s)
for line in 1:uuid 2:boot_id 3:hostname 4:urandom 5:notice 6:etc_hostname; do
    values=$(for i in 1 2 3 4; do sed -n "${line%%:*}p" "$scratch/twin.$i"; done)
    check "live/clones_${line#*:}" \
        [ "$(sort -u <<<"$values" | grep -c '[0-9a-f]\{12\}')" = 4 ]
done
now=$(sed -n 7p "$scratch/twin.4")
check live/clones_wall_clock [ "$now" -ge "$before" -a "$now" -le "$after" ]
check live/clones_kernel_is_calm test -z "$(grep -hiE \
    'lockup|stall|unstable|hung|BUG|WARNING|call trace|I/O error' \
    "$scratch"/twin.*)"

# ---- the command's streams ----

# shellcheck disable=SC2016
begin cat -i -- sh -c 'while read -r line; do echo "got $line"; done; echo end'
expect live/create_with_stdin 0 '' sm snapshot create echo cat
sm rm -f cat >/dev/null
expect live/stdin_goes_on 0 '^got hello$' \
    bash -c 'echo hello | timeout 60 supermachine run -i --snapshot echo'
expect live/and_its_end 0 '^end$' \
    bash -c 'echo hello | timeout 60 supermachine run -i --snapshot echo'

# ---- at any moment of a busy machine ----

begin busy --cpus 4 --memory 256m -- churn / 4
await_line busy '^4 3$'
# goes_on MACHINE [OPTION...]: of what its command prints from now on, each of
# the four says something twice, and none that anything is wrong.
goes_on() {
    timeout 120 supermachine logs -f "${@:2}" "$1" 2>&1 | awk '
        /wrong/ { print "    " $0; exit }
        /^[1-4] [0-9]+$/ && ++said[$1] == 2 && ++twice == 4 { exit }
        END { exit twice != 4 }'
    [ "${PIPESTATUS[1]}" = 0 ]
}
# tell MACHINE: what may show why it does not go on: what its command said last,
# and what the threads of its worker do, and did between two looks.
tell() {
    local look
    sm logs --tail 5 "$1" 2>&1 | sed "s/^/    $1: /"
    for look in first second; do
        ps -L -o tid,stat,time,wchan:24,comm -p "$(worker_of "$1")" 2>&1 |
            sed "s/^/    $1, $look: /"
        rest
    done
}
kept=0
right=0
for ((i = 1; i <= captures; i++)); do
    rest
    if sm snapshot create --replace "busy$((i % 3))" busy >/dev/null; then
        kept=$((kept + 1))
    else
        tell busy
    fi
    sm run -d --name clone --snapshot "busy$((i % 3))" >/dev/null
    if goes_on clone; then
        right=$((right + 1))
    else
        tell clone
    fi
    sm rm -f clone >/dev/null
    [ $((i % 10)) != 0 ] || echo "    $i captures: $kept kept, $right right"
done
check "live/${captures}_captures_of_a_busy_machine" [ "$kept" = "$captures" ]
check live/all_clones_were_right [ "$right" = "$captures" ]
check live/busy_goes_on goes_on busy --since 0s
# More layers than a disk may have: they are merged, and nothing is lost.
for i in 1 2 3 4 5 6 7 8 9; do
    sm snapshot create --replace layers busy >/dev/null || break
done
check live/layers_are_merged [ "$i" = 9 -a ! -e \
    "$SUPERMACHINE_HOME/snapshots/layers/disk.8" ]
sm run -d --name clone --snapshot layers >/dev/null
check live/merged_layers_are_right goes_on clone
sm rm -f clone >/dev/null

answered=0
for ((i = 1; i <= restores; i++)); do
    [ "$(sm run --snapshot busy1 echo "$i")" = "$i" ] &&
        answered=$((answered + 1))
    [ $((i % 100)) != 0 ] || echo "    $i restores: $answered right"
done
check "live/${restores}_restores_in_a_row" [ "$answered" = "$restores" ]
sm rm -f busy >/dev/null

# ---- layers of a disk ----

# That they are merged costs a machine nothing of the time that it takes: of the
# whole capture, its programs stand still for a small part; if not in one such
# capture (this machine may have had other things to do), then in the next.
begin layered -- sleep 1000
worker=$(worker_of layered)
merges=0
quick=0
count=0
for ((i = 1; i <= 16; i++)); do
    sm exec layered sh -c "
        { head -c 1m /dev/urandom; head -c 11m /dev/zero; } >/$i && sync"
    if [ "$i" = 9 ]; then
        prlimit --pid "$worker" --fsize=4096:
        expect live/merge_that_fails_is_said 125 'merge.*too large' \
            sm snapshot create none layered
        prlimit --pid "$worker" --fsize=unlimited:
        expect live/and_the_machine_goes_on 0 '^fine$' \
            sm exec layered echo fine
    fi
    cost=$(sm snapshot create --replace --cost layered layered 2>&1) || break
    before=$count
    count=$(find "$SUPERMACHINE_HOME/snapshots/layered" -name 'disk.*' | wc -l)
    [ "$count" -lt "$before" ] || continue
    merges=$((merges + 1))
    still=$(sed -n 's/.*"paused_us":\([0-9]*\).*/\1/p' <<<"$cost")
    whole=$(sed -n 's/.*"duration_us":\([0-9]*\).*/\1/p' <<<"$cost")
    echo "    merged: still for $still of $whole us"
    [ $((still * 4)) -gt "$whole" ] || quick=$((quick + 1))
done
check live/merged_twice [ "$merges" = 2 ]
check live/programs_run_while_layers_are_merged [ "$quick" -gt 0 ]
check live/merged_layers_are_the_same [ "$(sm exec layered sh -c 'cat /? /??' |
    md5sum)" = "$(sm run --snapshot layered sh -c 'cat /? /??' | md5sum)" ]
sm rm -f layered >/dev/null

# ---- while it is written ----

# What writes a snapshot, a copy of the worker, is stopped in the middle: what is
# answered then is answered before the snapshot is whole.

# stop_writer: $client makes a snapshot, and $writer, which writes it, stands
# still. One that was done before it could be stopped was too fast: once more.
stop_writer() {
    local try stat
    for ((try = 0; try < 10; try++)); do
        timeout 120 supermachine snapshot create --full --replace long long \
            >"$scratch/client" 2>&1 </dev/null &
        client=$!
        writer=
        # No process is started in here: the writer would be faster.
        while [ -z "$writer" ] && kill -0 "$client" 2>/dev/null; do
            read -r writer _ <"/proc/$worker/task/$worker/children"
        done
        while [ -n "$writer" ] && kill -STOP "$writer" 2>/dev/null &&
            { read -r stat <"/proc/$writer/stat"; } 2>/dev/null; do
            case ${stat##*) } in
            T*) return 0 ;;
            Z*) break ;;
            esac
        done
        wait "$client"
    done
    return 1
}

# answers PATTERN VERB...: within 20 s, and what it prints matches. A command that
# is killed leaves its streams to the machine's keeper: they are a file.
answers() {
    timeout -s KILL 20 supermachine "${@:2}" >"$scratch/answer" 2>&1 \
        </dev/null && grep -qE -- "$1" "$scratch/answer"
}

# shellcheck disable=SC2016
begin long --memory 512m -- sh -c 'yes | head -c 64m >/dev/shm/fill; echo filled
    until [ -e /end ]; do usleep 50000; done; echo ends; exit 7'
await_line long filled
worker=$(worker_of long)
check live/writer_is_stopped stop_writer
check live/exec_while_it_is_written answers '^fine$' exec long echo fine
check live/other_verbs_too answers 'sh -c' top long
timeout 120 supermachine snapshot create next long >"$scratch/next" 2>&1 \
    </dev/null &
next=$!
check live/and_with_another_one_that_waits answers '^fine$' exec long echo fine
check live/it_is_not_whole_yet kill -0 "$client"
check live/nor_the_other_one kill -0 "$next"
kill -CONT "$writer"
check live/it_is_whole_then wait "$client"
check live/and_then_the_other_one wait "$next"
for name in long next; do
    expect live/what_was_kept_as_$name 0 '^y$' \
        sm run --snapshot $name tail -c 2 /dev/shm/fill
done

# Who asked for it goes away: it is made all the same.
sm snapshot rm long next >/dev/null
check live/writer_is_stopped_again stop_writer
{ kill -KILL -- -"$client" && wait "$client"; } 2>/dev/null
check live/exec_when_nobody_waits answers '^fine$' exec long echo fine
kill -CONT "$writer"
expect live/next_one_comes_behind_it 0 '' sm snapshot create next long
check live/both_are_there \
    [ "$(sm snapshot ls -q | grep -cx 'long\|next')" = 2 ]

# The machine's command ends: the snapshot comes before the machine's end.
check live/writer_is_stopped_at_an_end stop_writer
check live/its_command_is_told answers '^told$' exec long \
    sh -c 'echo >/end && echo told'
check live/its_command_ends await_line long '^ends$'
timeout 120 supermachine snapshot create late long >"$scratch/next" 2>&1 \
    </dev/null &
next=$!
kill -CONT "$writer"
check live/it_is_whole_at_the_end wait "$client"
wait "$next"
check live/no_other_one_is_begun_then [ "$?" = 125 ]
expect live/and_the_end_is_told 0 '^7$' sm wait long
sm rm long >/dev/null

sm snapshot rm long next >/dev/null

# ---- killed and broken in the middle ----

for who in client keeper worker; do
    begin victim -- churn / 1
    await_line victim '^1 3$'
    keeper=$(sm inspect --format '{{.State.Pid}}' victim)
    worker=$(worker_of victim)
    { supermachine snapshot create torn victim </dev/null & } 2>/dev/null
    client=$!
    sleep "0.0$((RANDOM % 10))"
    case $who in
    client) kill -KILL $client ;;
    keeper) kill -KILL "$keeper" ;;
    worker) kill -KILL "$worker" ;;
    esac 2>/dev/null
    wait $client 2>/dev/null
    # What was left of them may be finishing it still.
    sm rm -f victim >/dev/null 2>&1
    sm snapshot rm torn >/dev/null 2>&1
    begin victim -- churn / 1
    await_line victim '^1 3$'
    expect "live/create_after_killed_$who" 0 '' sm snapshot create torn victim
    expect "live/restore_after_killed_$who" 0 '^fine$' \
        sm run --snapshot torn echo fine
    sm snapshot rm torn >/dev/null
    sm rm -f victim >/dev/null
done

# ---- what is not whole, or not for us ----

snapshots=$SUPERMACHINE_HOME/snapshots
damage() {
    local name=$1 pattern=$2
    shift 2
    rm -rf "$snapshots/bad"
    cp -a "$snapshots/one" "$snapshots/bad"
    (cd "$snapshots/bad" && "$@")
    expect "live/damaged_$name" 125 "$pattern" sm run --snapshot bad echo fine
}
damage state 'damaged|checksum' \
    bash -c 'printf x | dd of=state bs=1 seek=400 conv=notrunc status=none'
damage state_cut 'bytes|damaged' truncate -s 100 state
damage memory_cut 'memory|bytes|damaged' \
    bash -c 'cp --remove-destination memory m; truncate -s 4096 m; mv m memory'
damage disk_cut 'disk|layer|bytes|damaged' truncate -s 100 disk.0
damage no_manifest 'manifest|damaged' rm manifest.json
damage manifest 'manifest' bash -c 'echo "{}" >manifest.json'
damage link 'state' bash -c 'ln -sf /etc/passwd state'
rm -rf "$snapshots/bad"
cp -r "$stage/libexec/supermachine" "$scratch/runtime"
printf '\0' >>"$scratch/runtime/initramfs.cpio"
expect live/another_agent 125 'agent' env \
    SUPERMACHINE_RUNTIME_DIR="$scratch/runtime" \
    timeout 60 supermachine run --snapshot one echo fine

# ---- the end ----

sm rm -f first >/dev/null
sm snapshot ls -q | xargs supermachine snapshot rm >/dev/null
expect live/none_left 0 '' sm snapshot ls -q
# What is known of this installation's kernel and agent may stay.
check live/folder_is_empty \
    [ -z "$(find "$snapshots" -mindepth 1 ! -name .programs)" ]
check_clean live/nothing_left
finish_part
