#!/usr/bin/env bash
# programs.sh: programs of Debian run as they are: python3, nginx, redis,
# postgresql. The image is that of tools/make-debian-image; its root file system
# is made outside of the bed (tests/system/debian-home), natively.
. tests/system/lib.sh

if ! layout=$(tools/make-debian-image --print-path); then
    skip programs "there is no image of Debian: tools/make-debian-image"
    finish_part
    exit 0
fi
export SUPERMACHINE_HOME=$PWD/build/debian-home

# debian [OPTION...] -- COMMAND...: a command in that image.
debian() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    timeout 1500 supermachine run --memory 512m "${options[@]}" \
        "oci:$layout" "$@"
}

expect programs/python3 0 '^3\.11 [0-9a-f]{64} \[0, 1, 4, 9\] 6$' \
    debian -- python3 -c 'import hashlib, multiprocessing, ssl, sys, threading
found = []
with multiprocessing.Pool(2) as pool:
    squares = pool.starmap(pow, [(n, 2) for n in range(4)])
tasks = [threading.Thread(target=found.append, args=(n,)) for n in range(4)]
[task.start() for task in tasks]
[task.join() for task in tasks]
print("%d.%d" % sys.version_info[:2], hashlib.sha256(ssl.RAND_bytes(8))
      .hexdigest(), squares, sum(found))'

expect programs/nginx_test 0 'test is successful' debian -- nginx -t

# Workers as www-data, on the machine's loopback.
expect programs/nginx_serves 0 '^200 www-data .*Welcome to nginx' \
    debian -- sh -euc 'nginx
python3 - << "END"
import glob, os, pwd, urllib.request
answer = urllib.request.urlopen("http://127.0.0.1/")
users = set()
for path in glob.glob("/proc/[0-9]*"):
    try:
        if open(path + "/cmdline").read().startswith("nginx: worker"):
            users.add(pwd.getpwuid(os.stat(path).st_uid).pw_name)
    except OSError:
        pass  # it has ended meanwhile
print(answer.status, *users, answer.read().decode().replace("\n", " "))
END
nginx -s quit'

# shellcheck disable=SC2016  # the guest's shell expands it
expect programs/redis 0 '^PONG OK 5 hello 100$' debian -- bash -euc '
redis-server --daemonize yes --save "" --unixsocket /run/redis.sock >/dev/null
say() { redis-cli -s /run/redis.sock --raw "$@" 2>/dev/null; }
until pong=$(say ping) && [ "$pong" = PONG ]; do :; done
set=$(say set greeting hello)
for i in $(seq 100); do echo "incr count"; done |
    redis-cli -h 127.0.0.1 >/dev/null
echo $pong $set $(say strlen greeting) $(say get greeting) $(say get count)
say save >/dev/null; test -s dump.rdb; say shutdown nosave'

# shellcheck disable=SC2016
expect programs/postgresql 0 '^1000\|500500\|PostgreSQL 15' \
    debian --user postgres --workdir /var/lib/postgresql -- bash -euc '
export PATH=/usr/lib/postgresql/15/bin:$PATH
initdb --no-locale --no-sync --auth=trust -D data >log
pg_ctl -D data -l log -w -t 300 -o "-k /tmp" start >/dev/null
psql -q -h /tmp -c "create table t as select n from
    generate_series(1, 1000) n; create index on t (n)"
psql -Atq -h 127.0.0.1 -c "select count(*), sum(n), version() from t"
pg_ctl -D data -m immediate stop >/dev/null'

check_clean programs/nothing_left
finish_part
