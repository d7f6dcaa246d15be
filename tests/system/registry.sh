#!/usr/bin/env bash
# registry.sh: pulling from a real registry, and through one that does harm.
# Needs no hypervisor: it ends where images are ready.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/report.sh

for tool in docker-registry skopeo python3 openssl script inotifywait; do
    command -v "$tool" >/dev/null && continue
    skip registry "$tool is not installed: tools/bootstrap check"
    exit 0
done

scratch=$(mktemp -d /tmp/supermachine-test.XXXXXX)
running=()
# shellcheck disable=SC2317 # called by the trap
clean_up() {
    kill "${running[@]}"
    wait
    rm -rf "$scratch"
}
trap clean_up EXIT
supermachine=$PWD/build/main/src/cli/supermachine
export SUPERMACHINE_RUNTIME_DIR=$PWD/build/main/src/image
export SUPERMACHINE_HOME=$scratch/home
export DOCKER_CONFIG=$scratch/docker
unset http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
unset SSL_CERT_FILE SSL_CERT_DIR

free_port() {
    python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# start_registry PORT [LINES OF AUTH]: in the background, ready when it answers.
start_registry() {
    local port=$1 auth=${2:-}
    cat >"$scratch/registry-$port.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $scratch/registry}}
http: {addr: 127.0.0.1:$port}
$auth
END
    docker-registry serve "$scratch/registry-$port.yml" \
        >"$scratch/registry-$port.log" 2>&1 &
    running+=($!)
    curl -s -o /dev/null --retry 50 --retry-connrefused --retry-delay 1 \
        "http://127.0.0.1:$port/v2/"
}

# start_bad ORIGIN MODE_FILE LOG: the harmful one in front; sets $bad.
mkfifo "$scratch/port"
start_bad() {
    local origin=$1 mode=$2 log=$3 port
    tests/system/bad-registry "$origin" "$mode" "$log" >"$scratch/port" &
    running+=($!)
    read -r port <"$scratch/port"
    bad=127.0.0.1:$port
}

fresh() {
    rm -rf "$SUPERMACHINE_HOME"
    : >"$scratch/log"
    : >"$scratch/other-log"
}

# pulls NAME ARGS...: exits 0 and prints the digest that $digest holds.
pulls() {
    local name=$1 out
    shift
    out=$(timeout 600 "$supermachine" pull "$@" 2>&1)
    if [ "$out" = "$digest" ]; then
        ok "$name"
    else
        printf '    expected %s, printed: %s\n' "$digest" "$out"
        not_ok "$name"
    fi
}

# fails NAME PATTERN ARGS...: status 125, one line that matches.
fails() {
    local name=$1 pattern=$2 out status
    shift 2
    out=$(timeout 600 "$supermachine" pull "$@" 2>&1)
    status=$?
    if [ $status -eq 125 ] && [ "$(wc -l <<<"$out")" -eq 1 ] &&
        grep -qE -- "$pattern" <<<"$out"; then
        ok "$name"
    else
        printf '    status %s, printed: %s\n    expected: %s\n' \
            "$status" "$out" "$pattern"
        not_ok "$name"
    fi
}

# Every blob of the store is what its name says, and nothing else is there.
verify_store() {
    local file
    while IFS= read -r file; do
        [ "$(sha256sum <"$file" | cut -d' ' -f1)" = "${file##*/}" ] || {
            echo "damaged: $file"
            return 1
        }
    done < <(find "$SUPERMACHINE_HOME/blobs/sha256" -type f ! -name '*.part')
    [ -z "$(find "$SUPERMACHINE_HOME/blobs" "$SUPERMACHINE_HOME/tags" \
        -name '*.tmp' -o -name '*.part')" ]
}

platform_digest() {
    python3 - "$scratch/image" "$1" <<'END'
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
def blob(item):
    name = item["digest"].split(":")[1]
    return json.loads((folder / "blobs" / "sha256" / name).read_text())
top = json.loads((folder / "index.json").read_text())["manifests"][0]
for item in blob(top)["manifests"]:
    if item["platform"]["architecture"] == sys.argv[2]:
        print(item["digest"])
END
}

tests/system/make-layered-image "$scratch/image" 5 2000000
good=127.0.0.1:$(free_port)
start_registry "${good#*:}"
skopeo copy -q --all --preserve-digests --dest-tls-verify=false "oci:$scratch/image" \
    "docker://$good/team/app:1.0"
digest=$(platform_digest amd64)
mkdir "$DOCKER_CONFIG"
echo pass >"$scratch/mode"
start_bad "$good" "$scratch/mode" "$scratch/log"

pulls pull --platform linux/amd64 "$good/team/app:1.0"
check pull_verifies verify_store
# A line per layer on a terminal, gone at the end; nothing on a plain stream
# (as pulls() sees); lines of JSON.
seen=$(SUPERMACHINE_HOME=$scratch/home2 TERM=xterm script -qec \
    "'$supermachine' pull --platform linux/amd64 '$good/team/app:1.0'" \
    /dev/null </dev/null)
check progress_has_a_line_per_layer test \
    "$(grep -cE '  ([0-9a-f]{12}|layer [1-5] ) ' <<<"$seen")" -ge 5
check progress_is_gone_at_the_end grep -q $'\033\\[[0-9]*A\033\\[J'"$digest" \
    <<<"$seen"
events=$(SUPERMACHINE_HOME=$scratch/home3 "$supermachine" pull --json \
    --platform linux/amd64 "$good/team/app:1.0")
check progress_as_json python3 - "$events" <<'END'
import json, sys
lines = [json.loads(line) for line in sys.argv[1].splitlines()]
for step in ("pull", "unpack"):
    done = {e["number"]: e["layer"] for e in lines
            if e.get("step") == step and e["done"] == e["total"]}
    assert sorted(done) == [1, 2, 3, 4, 5], done
    assert len(set(done.values())) == 5, done
assert lines[-1]["event"] == "result", lines[-1]
END
# The same of `run`, beside the command's output; here no machine starts.
run_events=$(SUPERMACHINE_HOME=$scratch/home4 "$supermachine" run --json \
    --platform linux/amd64 "$good/team/app:1.0" true 2>&1 >/dev/null)
check run_progress_as_json test \
    "$(grep -v '"event":"progress"' <<<"$events")" = \
    "$(grep '"event":"result"' <<<"$run_events")"
check run_progress_has_each_layer test \
    "$(grep -o '"layer":"[^"]*"' <<<"$events" | sort -u)" = \
    "$(grep -o '"layer":"[^"]*"' <<<"$run_events" | sort -u)"
digest=$(platform_digest arm64)
pulls pull_other_platform --platform linux/arm64 "$good/team/app:1.0"
fails pull_no_such_platform 'no image for platform linux/s390x' \
    --platform linux/s390x "$good/team/app:1.0"
digest=$(platform_digest amd64)
pulls pull_by_digest --platform linux/amd64 "$good/team/app@$digest"
pulls pull_by_tag_and_digest --platform linux/amd64 \
    "$good/team/app:9.9@$digest"
fails pull_missing_tag 'no tag 1.1; near it: 1.0' "$good/team/app:1.1"
echo 'pages 12' >"$scratch/mode"
fails near_tag_on_a_later_page 'no tag 7.7; near it: 7.0, 7.1' \
    "$bad/team/app:7.7"
fresh
echo 'pages 100000' >"$scratch/mode"
fails near_tags_of_very_many 'no tag x; near it: ' "$bad/team/app:x"
check near_tags_are_bounded test \
    "$(grep -c 'tags/list' "$scratch/log")" -eq 16
fails pull_missing_image 'has no image team/none:latest' "$good/team/none"
fails pull_no_registry 'connect' "127.0.0.1:1/x"

# What was pulled is there without its registry.
check run_asks_nobody env -i "$SUPERMACHINE_RUNTIME_DIR/supermachine-image" \
    prepare --home "$SUPERMACHINE_HOME" --platform linux/amd64 \
    "$good/team/app:1.0"

# One that stops sending is left after half a minute; meanwhile, the others.
start_bad "$good" "$scratch/stall" "$scratch/stall-log"
echo 'stall 1' >"$scratch/stall"
SUPERMACHINE_HOME=$scratch/stalled timeout 600 "$supermachine" pull \
    --platform linux/amd64 "$bad/team/app:1.0" >"$scratch/stalled-said" 2>&1 &
stalled=$!
stalled_wants=$digest
start_bad "$good" "$scratch/mode" "$scratch/log"

fresh
echo 'fail 3' >"$scratch/mode"
pulls retry_after_503 --platform linux/amd64 "$bad/team/app:1.0"
fresh
echo 'limit 0' >"$scratch/mode"
fails too_many_requests '429, limit 100;w=21600, remaining 0;w=21600$' \
    "$bad/team/app:1.0"
: >"$scratch/log"
echo 'limit 20000' >"$scratch/mode"
fails too_many_for_hours 'remaining 0;w=21600, to be asked again in 20000 s$' \
    "$bad/team/app:1.0"
check too_many_for_hours_is_asked_once test "$(wc -l <"$scratch/log")" -eq 1
fresh
echo flip >"$scratch/mode"
fails flipped_layer 'layer [1-5] of 5: digest mismatch' --platform linux/amd64 "$bad/team/app:1.0"
for mode in short long; do
    fresh
    echo "$mode" >"$scratch/mode"
    fails "blob_too_$mode" \
        'layer [1-5] of 5: (has 20070[0-9]+|more than the 2007040) bytes' \
        --platform linux/amd64 \
        "$bad/team/app:1.0"
    check "blob_too_${mode}_is_not_kept" test -z \
        "$(find "$SUPERMACHINE_HOME/blobs" -size +64k ! -name '*.part')"
done
echo lie >"$scratch/mode"
fails manifest_lies 'manifest: digest mismatch: expected sha256:.* got' \
    "$bad/team/app@$digest"
echo endless >"$scratch/mode"
fails manifest_without_an_end 'answer: more than 4194304 bytes' \
    "$bad/team/app:1.0"
fresh
echo pass >"$scratch/mode"
pulls pull_after_flip --platform linux/amd64 "$bad/team/app:1.0"

fresh
echo 'cut 700000' >"$scratch/mode"
pulls resume_after_cut --platform linux/amd64 "$bad/team/app:1.0"
check resume_asks_for_the_rest grep -q 'bytes=1400000-' "$scratch/log"
check resume_verifies verify_store

# Until all five layers, which come side by side, have so many bytes on the
# disk. What the server has sent is not there yet; the folder is looked at
# whenever one of its files grows.
await_parts() {
    local folder=$SUPERMACHINE_HOME/blobs/sha256 count=0
    while [ "$count" -lt 5 ] && read -r _; do
        count=$(find "$folder" -name '*.part' -size "$1c" | wc -l)
    done < <(exec timeout 60 inotifywait -m -e modify "$folder" 2>&1)
    kill $!
    [ "$count" -eq 5 ]
}

# Killed while layers are on their way: the next one goes on.
fresh
mkdir -p "$SUPERMACHINE_HOME/blobs/sha256"
echo 'hold 500000' >"$scratch/mode"
"$supermachine" pull -q --platform linux/amd64 "$bad/team/app:1.0" &
pid=$!
check pull_is_held await_parts 500000
kill -9 $pid
wait $pid 2>/dev/null
for worker in $(pgrep -f "prepare --home $SUPERMACHINE_HOME"); do
    timeout 60 tail --pid="$worker" -f /dev/null
done
check killed_pull_keeps_parts test -n \
    "$(find "$SUPERMACHINE_HOME/blobs" -name '*.part' -size 500000c)"
check killed_pull_has_no_tag test -z \
    "$(find "$SUPERMACHINE_HOME/tags" -type f)"
echo pass >"$scratch/mode"
pulls pull_after_kill --platform linux/amd64 "$bad/team/app:1.0"
check pull_after_kill_resumes grep -q 'bytes=500000-' "$scratch/log"
check pull_after_kill_verifies verify_store

# Two at once: both right, each layer fetched once.
fresh
"$supermachine" pull --platform linux/amd64 "$bad/team/app:1.0" \
    >"$scratch/other" 2>&1 &
pid=$!
pulls two_pulls_first --platform linux/amd64 "$bad/team/app:1.0"
wait $pid
check two_pulls_second grep -qx "$digest" "$scratch/other"
check two_pulls_fetch_once test -z \
    "$(grep -o 'GET [^ ]*/blobs/[^ ]*' "$scratch/log" | sort | uniq -d)"

# A prune while layers are on their way takes nothing of them.
fresh
mkdir -p "$SUPERMACHINE_HOME/blobs/sha256"
mkfifo "$scratch/go"
echo "wait 500000 $scratch/go" >"$scratch/mode"
"$supermachine" pull --platform linux/amd64 "$bad/team/app:1.0" \
    >"$scratch/other" 2>&1 &
pid=$!
check pull_waits await_parts 500000
# All five read from the FIFO: none may find it closed by the others.
timeout 60 tail -n +1 -f --pid=$pid "$scratch/log" 2>/dev/null |
    awk '/^held$/ && ++held == 5 { exit }'
check prune_during_pull "$supermachine" prune --all
check prune_leaves_what_comes test 5 -eq \
    "$(find "$SUPERMACHINE_HOME/blobs" -name '*.part' | wc -l)"
echo pass >"$scratch/mode"
printf 12345 >"$scratch/go"
wait $pid
check pull_after_prune grep -qx "$digest" "$scratch/other"
# Where that took half a minute each goes on from where it was.
check pull_after_prune_begins_once test -z \
    "$(grep -o 'GET [^ ]*/blobs/[^ ]* -' "$scratch/log" | sort | uniq -d)"
check pull_after_prune_verifies verify_store

# A user and a password, and where they must not go.
hash=$(python3 -W ignore -c 'import crypt
print(crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))')
echo "user:$hash" >"$scratch/htpasswd"
port=$(free_port)
start_registry "$port" "auth: {htpasswd: {realm: test, path: $scratch/htpasswd}}"
good=127.0.0.1:$port
login() {
    printf '{"auths":{"%s":{"auth":"%s"}}}' "$1" \
        "$(printf '%s' "$2" | base64)" >"$DOCKER_CONFIG/config.json"
}
fresh
fails no_password 'needs a user and a password' "$good/team/app:1.0"
login "$good" user:wrong
fails wrong_password 'wrong user or password' "$good/team/app:1.0"
login "$good" user:secret
pulls right_password --platform linux/amd64 "$good/team/app:1.0"
fresh
start_bad "$good" "$scratch/mode" "$scratch/log"
front=$bad
login "$front" user:secret
pass_mode=$scratch/pass
echo pass >"$pass_mode"
open=127.0.0.1:$(free_port)
start_registry "${open#*:}"
start_bad "$open" "$pass_mode" "$scratch/other-log"
echo "redirect http://$bad" >"$scratch/mode"
pulls redirect --platform linux/amd64 "$front/team/app:1.0"
check redirect_was_followed grep -q '^GET .*/blobs/' "$scratch/other-log"
check redirect_leaks_nothing test -z "$(grep given "$scratch/other-log")"
check redirect_began_with_credentials grep -q 'blobs.* given' "$scratch/log"

fresh
echo "redirect http://$front" >"$scratch/mode"
fails redirect_in_circles 'status 307' --platform linux/amd64 \
    "$front/team/app:1.0"
check redirect_in_circles_is_bounded test \
    "$(grep -c '/blobs/' "$scratch/log")" -lt 80

# Credentials that a program keeps: a password, and a token for tokens.
put_helper() {
    # shellcheck disable=SC2016 # for the helper to expand
    printf '#!/bin/sh\necho "$1 $(cat)" >>%s/asked\n%s\n' "$scratch" "$1" \
        >"$scratch/bin/docker-credential-made-up"
    chmod +x "$scratch/bin/docker-credential-made-up"
    : >"$scratch/asked"
}
mkdir "$scratch/bin"
PATH=$scratch/bin:$PATH
echo '{"credsStore":"made-up"}' >"$DOCKER_CONFIG/config.json"
fresh
put_helper "echo '{\"Username\":\"user\",\"Secret\":\"secret\"}'"
pulls helper_password --platform linux/amd64 "$good/team/app:1.0"
check helper_is_asked_once test "$(cat "$scratch/asked")" = "get $good"
fresh
put_helper "echo locked; exit 1"
fails helper_refuses 'docker-credential-made-up: locked' "$good/team/app:1.0"
fresh
put_helper "echo '{\"Username\":\"<token>\",\"Secret\":\"a+b/c\"}'"
start_bad "$open" "$scratch/mode" "$scratch/log"
echo 'token a+b/c' >"$scratch/mode"
pulls identity_token --platform linux/amd64 "$bad/team/app:1.0"
check identity_token_is_posted grep -q \
    '^POST /token grant_type=refresh_token .*scope=repository:team/app:pull' \
    "$scratch/log"
fresh
echo 'token another' >"$scratch/mode"
fails wrong_identity_token 'wrong user or password' "$bad/team/app:1.0"
fresh
echo "token a+b/c away http://$open" >"$scratch/mode"
fails identity_token_stays_there 'status 307' "$bad/team/app:1.0"

# A token that the file has for the registry itself is shown as it is.
has_token() {
    printf '{"auths":{"%s":{"registrytoken":"%s"}}}' "$bad" "$1" \
        >"$DOCKER_CONFIG/config.json"
}
fresh
echo 'token a+b/c' >"$scratch/mode"
has_token pass
pulls registry_token --platform linux/amd64 "$bad/team/app:1.0"
check registry_token_asks_for_no_other test -z "$(grep token "$scratch/log")"
fresh
has_token old
fails wrong_registry_token 'token .* not valid any more' "$bad/team/app:1.0"

# Images that are odd, and what is none.
for kind in sha512 'nested 3' 'nested 9' artifact; do
    # shellcheck disable=SC2086 # two words
    tests/system/make-odd-layout "$scratch/image" "$scratch/odd-${kind/ /-}" \
        $kind
done
rm "$DOCKER_CONFIG/config.json"
fresh
echo "layout $scratch/odd-nested-3" >"$scratch/mode"
pulls nested_index --platform linux/amd64 "$bad/odd:1"
echo "layout $scratch/odd-nested-9" >"$scratch/mode"
fails nested_too_deep 'nested deeper than' "$bad/odd:2"
echo "layout $scratch/odd-artifact" >"$scratch/mode"
fails artifact 'artifact.*application/vnd.example.bill' "$bad/odd:3"
fails artifact_of_layout 'artifact.*application/vnd.example.bill' \
    "oci:$scratch/odd-artifact"
echo "layout $scratch/odd-sha512" >"$scratch/mode"
digest256=$digest
digest=$("$supermachine" pull --platform linux/amd64 "oci:$scratch/odd-sha512")
check sha512_of_layout grep -qE '^sha512:[0-9a-f]{128}$' <<<"$digest"
pulls sha512 --platform linux/amd64 "$bad/odd:4"
pulls sha512_by_digest --platform linux/amd64 "$bad/odd@$digest"
digest=$digest256

# Proxies, certificates, and hosts that have to prove who they are.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout "$scratch/key.pem" -out "$scratch/ca.pem" -days 2 -subj /CN=made-up \
    -addext 'subjectAltName=DNS:registry.test,DNS:other.test' 2>/dev/null
cat "$scratch/ca.pem" "$scratch/key.pem" >"$scratch/both.pem"
mkdir "$scratch/certificates"
cp "$scratch/ca.pem" "$scratch/certificates/"
openssl rehash "$scratch/certificates" 2>/dev/null
start_bad "$good" "$scratch/mode" "$scratch/log"
first=$bad
start_bad "$open" "$pass_mode" "$scratch/other-log"
tests/system/tls-proxy "$scratch/both.pem" "$scratch/proxy-log" \
    "registry.test=${first#*:}" "other.test=${bad#*:}" >"$scratch/port" &
running+=($!)
read -r port <"$scratch/port"
login registry.test user:secret
echo pass >"$scratch/mode"
fresh
export https_proxy=http://127.0.0.1:$port
fails certificate_is_checked 'certificate' registry.test/team/app:1.0
# Only the registry that was named need not prove who it is.
pulls insecure_registry --insecure registry.test --platform linux/amd64 \
    registry.test/team/app:1.0
fresh
fails insecure_is_for_that_registry 'certificate' --insecure other.test \
    registry.test/team/app:1.0
echo "redirect https://other.test" >"$scratch/mode"
fails insecure_is_not_for_where_it_leads 'certificate' \
    --insecure registry.test --platform linux/amd64 registry.test/team/app:1.0
echo pass >"$scratch/mode"
fresh
export SSL_CERT_FILE=$scratch/ca.pem
pulls proxy_and_certificate_file --platform linux/amd64 \
    registry.test/team/app:1.0
check proxy_was_used grep -qx 'CONNECT registry.test:443' "$scratch/proxy-log"
fresh
no_proxy=registry.test fails no_proxy_is_heeded 'resolve' \
    registry.test/team/app:1.0
fresh
http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 \
    pulls no_proxy_for_this_host --platform linux/amd64 "$open/team/app:1.0"
fresh
SSL_CERT_FILE='' SSL_CERT_DIR=$scratch/certificates pulls certificate_folder \
    --platform linux/amd64 registry.test/team/app:1.0
fresh
echo "redirect https://other.test" >"$scratch/mode"
pulls tls_redirect --platform linux/amd64 registry.test/team/app:1.0
check tls_redirect_was_followed grep -q '^GET .*/blobs/' "$scratch/other-log"
check tls_redirect_leaks_nothing test -z "$(grep given "$scratch/other-log")"
check tls_redirect_began_with_credentials grep -q 'blobs.* given' "$scratch/log"
fresh
echo "redirect http://other.test" >"$scratch/mode"
fails tls_redirect_to_plain_http 'rotocol' registry.test/team/app:1.0
unset https_proxy SSL_CERT_FILE

wait $stalled
check stalled_registry_is_left grep -qx "$stalled_wants" "$scratch/stalled-said"
check stalled_registry_did_stall test \
    "$(grep -c '^GET .*/blobs/' "$scratch/stall-log")" -gt 6

# Room for two layers and a bit.
if [ "$EUID" -eq 0 ] && unshare -m true 2>/dev/null; then
    rm -f "$DOCKER_CONFIG/config.json"
    # shellcheck disable=SC2016 # expanded by the inner shell
    out=$(unshare -m sh -c 'mount -t tmpfs -o size=5m none "$1" &&
        SUPERMACHINE_HOME=$1 "$2" pull --platform linux/amd64 "$3" 2>&1
        echo "status $?"
        mount -o remount,size=64m "$1"
        SUPERMACHINE_HOME=$1 "$2" pull --platform linux/amd64 "$3" 2>&1' \
        sh "$(mktemp -d -p "$scratch")" "$supermachine" "$open/team/app:1.0")
    check disk_full_is_said grep -q 'no room for the image' <<<"$out"
    check disk_full_fails grep -qx 'status 125' <<<"$out"
    check disk_full_then_completes grep -qx "$digest" <<<"$out"
else
    skip disk_full "needs root for a small file system"
fi
report_total
