#!/usr/bin/env bash
# machines.sh: machines that live on by themselves, and the verbs for them.
. tests/system/lib.sh
make_image
image_name=oci:$image

# detach NAME OPTION... -- COMMAND...
detach() {
    local name=$1 options=()
    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    timeout 120 supermachine run -d --name "$name" "${options[@]}" \
        "$image_name" "$@"
}

status_of() {
    supermachine ps -a --format '{{.Names}} {{.State}} {{.ExitCode}}' |
        sed -n "s/^$1 //p"
}

# shellcheck disable=SC2016  # the guest expands these
id=$(detach web --cidfile "$scratch/cid" --init -l tier=front -l zone=1 \
    --stop-signal USR1 -- sh -c '
    trap "echo asked; exit 3" USR1
    printf o; sleep 0.2; echo ut; echo err >&2
    echo up >/tmp/up
    sleep 1000000 & wait')
check machines/detached_prints_its_id grep -qE '^[0-9a-f]{64}$' <<<"$id"
check machines/cidfile_has_it [ "$id" = "$(cat "$scratch/cid")" ]
expect machines/cidfile_is_not_overwritten 125 'cidfile.*exists' \
    detach other --cidfile "$scratch/cid" -- true
# Who reads both of its streams is not kept waiting by a machine that lives on.
both=$(timeout 60 supermachine run -d --rm --name quick "$image_name" \
    sleep 1000 2>&1)
check machines/detached_lets_go_of_its_streams grep -qE '^[0-9a-f]{64}$' \
    <<<"$both"
supermachine rm -f quick >/dev/null
check machines/ps_shows_it [ "$(status_of web)" = 'running ' ]
for filter in name=we status=running label=tier label=tier=front \
    "id=${id:0:4}" "ancestor=$image_name"; do
    expect "machines/ps_filter_${filter%%=*}" 0 '^web$' \
        supermachine ps -f "$filter" -f name=web --format '{{.Names}}'
done
check machines/ps_filter_leaves_out [ -z "$(supermachine ps -aq \
    -f label=tier=back)$(supermachine ps -q -f status=exited)" ]
expect machines/ps_filters_of_a_key_are_a_choice 0 '^web$' supermachine ps \
    -f name=db -f name=web -f label=tier=front -f label=zone \
    --format '{{.Names}}'
check machines/ps_filters_of_labels_all_hold [ -z "$(supermachine ps -aq \
    -f label=tier=front -f label=zone=2)" ]
expect machines/ps_bad_filter 125 'must be id=.* or ancestor=' \
    supermachine ps -f colour=red
expect machines/exec_status 7 '^in$' \
    supermachine exec web sh -c 'echo in; exit 7'
# shellcheck disable=SC2016
expect machines/exec_detached 0 '^$' supermachine exec -d web \
    sh -c 'echo begun >/tmp/begun; sleep 1; echo done >/tmp/detached'
# shellcheck disable=SC2016
expect machines/exec_detached_lives_on 0 '^begun done$' supermachine exec web \
    sh -c 'until [ -s /tmp/detached ]; do sleep 0.1; done
        echo $(cat /tmp/begun /tmp/detached)'
expect machines/exec_detached_not_found 127 'not found' \
    supermachine exec -d web no-such
expect machines/exec_by_id 0 '' supermachine exec "${id:0:12}" true
expect machines/exec_not_found 127 'not found' supermachine exec web no-such
expect machines/exec_not_executable 126 'not executable' \
    supermachine exec web /etc/passwd
# shellcheck disable=SC2016
expect machines/exec_config 0 '^x /tmp 1000 '"${id:0:12}"'$' \
    supermachine exec -e A=x -w /tmp -u 1000 web \
    sh -c 'echo $A $PWD $(id -u) $(hostname)'
expect machines/exec_sees_the_same_machine 0 '^up$' supermachine exec web \
    sh -c 'until [ -s /tmp/up ]; do sleep 0.1; done; cat /tmp/up'
copied=$(head -c 3000000 /dev/urandom | tee "$scratch/sent" |
    supermachine exec web cat | sha256sum)
check machines/exec_carries_bytes [ "$copied" = \
    "$(sha256sum <"$scratch/sent")" ]
expect machines/exec_near_name 125 'did you mean web' \
    supermachine exec wep true
expect machines/exec_nothing_like_it 125 'no machine another' \
    supermachine exec another true
expect machines/exec_no_command 125 'which command' supermachine exec web

# 40 at a time, each its own.
for i in $(seq 40); do
    supermachine exec web sh -c "echo $i; exit $i" >"$scratch/$i" &
    pids[i]=$!
done
wrong=0
for i in $(seq 40); do
    wait "${pids[i]}"
    [ $? = "$i" ] && [ "$(cat "$scratch/$i")" = "$i" ] || wrong=$((wrong + 1))
done
check "machines/exec_forty_at_once ($wrong wrong)" [ "$wrong" = 0 ]

# A caller that is killed takes its command with it.
supermachine exec web sh -c 'echo $$ >/tmp/pid; exec sleep 1000' &
caller=$!
supermachine exec web sh -c 'until [ -s /tmp/pid ]; do sleep 0.1; done'
kill -9 "$caller"
wait "$caller" 2>/dev/null
# shellcheck disable=SC2016
expect machines/killed_caller_takes_its_command 0 '' supermachine exec web \
    sh -c 'while kill -0 $(cat /tmp/pid) 2>/dev/null; do sleep 0.1; done'

check machines/logs_keep_streams_apart [ "$(supermachine logs web \
    2>"$scratch/err") $(cat "$scratch/err")" = 'out err' ]
# One that came in pieces, too, has its time once.
expect machines/logs_times 0 '^20[0-9-]{8}T[0-9:.]{18}Z out$' \
    supermachine logs -t web
expect machines/logs_tail 0 '^$' supermachine logs --tail 0 web
# shellcheck disable=SC2016
expect machines/logs_follow_ends_with_its_reader 0 '' bash -c \
    'timeout 60 supermachine logs -f web | grep -qm1 out
    exit "${PIPESTATUS[0]}"'
expect machines/logs_bad_time 125 'since' supermachine logs --since x web

expect machines/pause 0 '^web$' supermachine pause web
check machines/paused_shows [ "$(status_of web)" = 'paused ' ]
expect machines/paused_takes_no_command 125 'unpause' \
    supermachine exec web true
expect machines/pause_twice 1 'paused already' supermachine pause web
expect machines/unpause 0 '^web$' supermachine unpause web
expect machines/goes_on 0 '' supermachine exec web true
expect machines/unpause_twice 1 'not paused' supermachine unpause web

expect machines/name_is_taken 125 'taken' detach web -- true
expect machines/bad_name 125 'letters' detach -x -- true
expect machines/rename 0 '' supermachine rename web site
expect machines/rename_taken_by_itself 1 'taken' supermachine rename site site
expect machines/rm_of_a_running_one 1 'running' supermachine rm site

timeout 60 supermachine wait site >"$scratch/waited" &
waiter=$!
timeout 60 supermachine logs -f site >"$scratch/followed" &
follower=$!
expect machines/stop 0 '^site$' supermachine stop site
wait "$waiter"
check machines/wait_prints_the_status [ "$(cat "$scratch/waited")" = 3 ]
wait "$follower"
check machines/logs_follow_to_the_end [ "$(paste -sd' ' \
    "$scratch/followed")" = 'out asked' ]
check machines/stopped_shows [ "$(status_of site)" = 'exited 3' ]
expect machines/stop_again 0 '^site$' supermachine stop site
expect machines/exec_in_a_stopped_one 125 'not running' \
    supermachine exec site true
expect machines/logs_after_the_end 0 'asked' supermachine logs site
expect machines/rm 0 '^site$' supermachine rm site
check machines/rm_forgets [ -z "$(supermachine ps -aq)" ]
expect machines/rm_of_none 1 'no machine' supermachine rm site
expect machines/rm_force_of_none 0 '' supermachine rm -f site

# One that does not want to end.
detach stubborn -- sh -c 'trap "" TERM; touch /tmp/up
    while :; do sleep 1; done' >/dev/null
supermachine exec stubborn sh -c 'until [ -e /tmp/up ]; do sleep 0.1; done'
expect machines/stop_with_a_short_grace 0 '' supermachine stop -t 1 stubborn
check machines/killed_after_the_grace [ "$(status_of stubborn)" = 'exited 137' ]
supermachine rm stubborn >/dev/null

# Several at once: the second ends while the first does not hear. Asked with the
# right signal it does.
detach deaf -- sh -c 'trap "" TERM; trap "exit 4" USR2; touch /tmp/up
    while :; do sleep 0.2; done' >/dev/null
detach quick -- sleep 1000 >/dev/null
supermachine exec deaf sh -c 'until [ -e /tmp/up ]; do sleep 0.1; done'
timeout 120 supermachine stop -t 100 deaf quick >"$scratch/stopped" &
stopper=$!
expect machines/stop_is_side_by_side 0 '^143$' \
    timeout 30 supermachine wait quick
check machines/stop_waits_for_each [ "$(status_of deaf)" = 'running ' ]
expect machines/stop_with_a_signal 0 '^deaf$' \
    timeout 60 supermachine stop --signal USR2 -t 100 deaf
check machines/stopped_by_it [ "$(status_of deaf)" = 'exited 4' ]
wait "$stopper"
check machines/stop_tells_in_order [ "$(paste -sd' ' "$scratch/stopped")" = \
    'deaf quick' ]
expect machines/stop_bad_signal 125 'not a signal' supermachine stop -s X deaf
expect machines/stop_one_of_none 1 'no machine' supermachine stop deaf none
supermachine rm deaf quick >/dev/null
detach doomed -- sleep 1000 >/dev/null
expect machines/kill_with_a_signal 0 '' supermachine kill -s INT doomed
check machines/ended_by_it [ "$(supermachine wait doomed)" = 130 ]
expect machines/kill_of_a_dead_one 1 'not running' supermachine kill doomed
supermachine rm doomed >/dev/null

# What failed to start leaves nothing.
expect machines/no_such_command 127 'not found' \
    supermachine run -d --name none "$image_name" no-such-command
check machines/none_of_it_stays [ -z "$(supermachine ps -aq)" ]

# The foreground can be reached, too, and leaves nothing.
mkfifo "$scratch/hold"
run_in --name front -- cat <"$scratch/hold" >/dev/null &
front=$!
exec 5>"$scratch/hold"
until supermachine exec front true 2>/dev/null; do
    kill -0 "$front" || break
    read -rt 0.2 <> <(:) || true
done
check machines/foreground_is_listed [ "$(status_of front)" = \
    'running ' ]
expect machines/attach_to_a_foreground_without_terminal 125 \
    'not a terminal: only such a machine' supermachine attach front
expect machines/logs_of_a_foreground_without_terminal 1 'it is kept' \
    supermachine logs front
exec 5>&-
wait "$front"
check machines/named_foreground_stays [ "$(status_of front)" = 'exited 0' ]
supermachine rm front >/dev/null

# Crashes: the next command tells, and nothing is left.
for victim in supermachine supermachine-vm; do
    detach crash -- sleep 1000 >/dev/null
    pkill -9 -x "$victim"
    await_gone
    got=$(status_of crash)
    case $victim in
    supermachine) check machines/killed_keeper_is_seen [ "${got%% *}" = dead ] ;;
    *) check machines/killed_worker_is_seen [ "$got" = 'exited 125' ] ;;
    esac
    supermachine rm crash >/dev/null
done
detach fleeting --rm -- sleep 1000 >/dev/null
pkill -9 -x supermachine
await_gone
check machines/killed_and_unwanted_is_gone [ -z "$(supermachine ps -aq)" ]
check_clean machines/nothing_left
finish_part
