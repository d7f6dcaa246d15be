#!/usr/bin/env bash
# kept_programs.sh: programs of Debian go on from a snapshot and in a fork, in
# the middle of what they do: python3 with a large dictionary, redis with data
# and a client that counts, postgresql with an open transaction and another
# session that commits without end. One machine has all three; what is asked of
# it is asked of the machine itself, of one restored and of one forked. The
# image is that of programs.sh.
. tests/system/lib.sh

if ! layout=$(tools/make-debian-image --print-path); then
    skip kept_programs "there is no image of Debian: tools/make-debian-image"
    finish_part
    exit 0
fi
# Snapshots are links to what is there, and the bed cannot link what it only
# sees: see debian-home.
mkdir -p "$SUPERMACHINE_HOME"
tar -C "$SUPERMACHINE_HOME" -xf build/debian-home.tar

sm() {
    timeout 900 supermachine "$@" </dev/null
}

# What the machine does, until it is ended. Its python program looks up one entry
# after the other when nobody else has something to do, and answers on two pipes:
# entries, their sum (0^2 + ... + 99999^2, which it should be), wrong ones so
# far, pieces of the dictionary looked at so far.
cat >"$scratch/work.sh" <<'END'
set -eu
export PATH=/usr/lib/postgresql/15/bin:$PATH
cd /run
mkfifo ask answer session done
exec 3<>ask 4<>answer 5<>session 6<>done

redis-server --daemonize yes --save "" --unixsocket /run/redis.sock >/dev/null
until redis-cli -s redis.sock ping 2>/dev/null | grep -q PONG; do :; done
redis-cli -s redis.sock eval 'for n = 1, 10000 do
    redis.call("set", "key:" .. n, "value:" .. n) end' 0 >/dev/null
redis-cli -r -1 -i 0.2 incr count >/dev/null &

mkdir -m 0700 /var/lib/postgresql/data
chown postgres: /var/lib/postgresql/data
as() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
cd /var/lib/postgresql
as initdb --no-locale --no-sync --auth=trust -D data >/dev/null
as pg_ctl -D data -l data/log -w -t 200 -o "-k /tmp" start >/dev/null
psql -q -h /tmp -U postgres <<'SQL'
create extension amcheck;
create table kept (id int primary key);
insert into kept select generate_series(1, 1000);
create table ticks (id int primary key, at timestamptz default now());
SQL
psql -q -h /tmp -U postgres <&5 >/dev/null &
echo 'begin; insert into kept values (1001);' >&5
echo '\! echo open >/run/done' >&5
read -r _ <&6
yes 'insert into ticks select coalesce(max(id), 0) + 1 from ticks;
    select pg_sleep(0.05);' |
    psql -q -h 127.0.0.1 -U postgres >/dev/null &
until psql -Atq -h /tmp -U postgres -c 'select count(*) > 0 from ticks' |
    grep -qx t; do :; done
until redis-cli -s /run/redis.sock exists count | grep -qx 1; do :; done

nice -n 19 python3 -u - <<'PYTHON'
import threading
SIZE, PIECE = 100000, 500
table = {"key %d" % n: n * n for n in range(SIZE)}
wrong = rounds = 0
def answer():
    with open("/run/ask") as ask, open("/run/answer", "w") as to:
        for line in ask:
            print(len(table), sum(table.values()), wrong, rounds, file=to,
                  flush=True)
threading.Thread(target=answer, daemon=True).start()
print("ready\n", end="")
while True:
    first = rounds * PIECE % SIZE
    wrong += sum(table["key %d" % n] != n * n
                 for n in range(first, first + PIECE))
    rounds += 1
PYTHON
END

# What is asked of a machine; for ticks and counts, twice: they go on. At last
# the open transaction is committed, in this machine alone.
cat >"$scratch/look.sh" <<'END'
sql() { psql -Atq -h /tmp -U postgres -c "$1"; }
say() { redis-cli -s /run/redis.sock --raw "$@"; }
ask() { echo >/run/ask; read -r "$@" </run/answer; }
count=$(say get count)
ticks=$(sql 'select count(*) from ticks')
ask entries sum wrong rounds
echo "python $entries $sum $wrong"
echo redis "$(say eval 'local right = 0
    for n = 1, 10000 do
        if redis.call("get", "key:" .. n) == "value:" .. n then
            right = right + 1
        end
    end
    return right' 0)" "$(say dbsize)"
echo committed "$(sql 'select count(*), max(id) from kept')"
echo gapless "$(sql 'select count(*) = max(id), count(*) > 0 from ticks')"
echo 'commit;' >/run/session
echo '\! echo committed >/run/done' >/run/session
read -r _ </run/done
echo afterwards "$(sql 'select count(*), max(id) from kept')"
echo checked "$(sql "select bt_index_check(c.oid, true) from pg_class c
    where relname in ('kept_pkey', 'ticks_pkey')" | wc -l)"
until [ "$(sql 'select count(*) from ticks')" -gt "$ticks" ]; do :; done
echo postgresql goes on
until [ "$(say get count)" -gt "$count" ]; do :; done
echo redis goes on
rounds_then=$rounds
ask entries sum wrong rounds
while [ "$rounds" -eq "$rounds_then" ]; do ask entries sum wrong rounds; done
echo python goes on "$sum" "$wrong"
END

# Of a clone: it recovers from its own disk, as after a power failure.
cat >"$scratch/crash.sh" <<'END'
export PATH=/usr/lib/postgresql/15/bin:$PATH
as() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
cd /var/lib/postgresql
as pg_ctl -D data -m immediate stop >/dev/null
as pg_ctl -D data -l data/log -w -t 200 -o "-k /tmp" start >/dev/null
psql -Atq -h /tmp -U postgres -c "select (select count(*) from kept),
    count(*) = max(id), count(*) > 0 from ticks"
END

# look_at NAME MACHINE: each line is a test. The others stand still, so that it
# gets done.
look_at() {
    local name=$1 machine=$2 what line
    sm unpause "$machine" >/dev/null
    sm exec "$machine" bash -c "$(cat "$scratch/look.sh")" \
        >"$scratch/seen" 2>&1
    sm pause "$machine" >/dev/null
    while read -r what line; do
        if grep -qxF "$line" "$scratch/seen"; then
            ok "kept_programs/${name}_$what"
        else
            sed 's/^/    /' "$scratch/seen"
            not_ok "kept_programs/${name}_$what ($line)"
        fi
    done <<'END'
dictionary python 100000 333328333350000 0
redis_data redis 10000 10001
only_committed committed 1000|1000
gapless gapless t|t
open_transaction_commits afterwards 1001|1001
indexes_are_sound checked 2
postgresql_goes_on postgresql goes on
redis_goes_on redis goes on
python_goes_on python goes on 333328333350000 0
END
}

sm run -d --name origin --memory 512m "oci:$layout" \
    bash -c "$(cat "$scratch/work.sh")" >/dev/null
# Not a pipe: the log goes on, but nothing comes that would end its reader.
if ! grep -qm1 '^ready$' < <(timeout 900 supermachine logs -f origin 2>&1); then
    sm logs origin 2>&1 | tail -n 5 | sed 's/^/    /'
    not_ok "kept_programs (the programs do not run)"
    sm rm -f origin >/dev/null
    finish_part
    exit 0
fi
expect kept_programs/create 0 '' sm snapshot create programs origin
expect kept_programs/restore 0 '' sm run -d --name back --snapshot programs
child=$(sm fork origin)
check kept_programs/fork [ -n "$child" ]
# shellcheck disable=SC2086  # one name
sm pause origin back $child >/dev/null
look_at restored back
look_at forked "$child"
look_at origin origin
sm unpause back >/dev/null
expect kept_programs/recovers 0 '^1001\|t\|t$' \
    sm exec back bash -c "$(cat "$scratch/crash.sh")"
# shellcheck disable=SC2086  # one name
sm rm -f origin back $child >/dev/null
check_clean kept_programs/nothing_left
finish_part
