# shellcheck shell=bash
# images.sh: where scripts pull from, and to; sourced by them.
#
# Sets `scratch`, a folder that is gone at the end, and the environment of
# `supermachine`. What runs in the background and is named in `running` ends
# with the script.

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
unset http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY

# start_registry: on loopback, ready when this returns; sets `registry` to its
# HOST:PORT.
start_registry() {
    local port
    port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    registry=127.0.0.1:$port
    cat >"$scratch/registry.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $scratch/registry}}
http: {addr: $registry}
END
    docker-registry serve "$scratch/registry.yml" \
        >"$scratch/registry.log" 2>&1 &
    running+=($!)
    curl -s -o /dev/null --retry 50 --retry-connrefused --retry-delay 1 \
        "http://$registry/v2/"
}

# push_layered LAYERS BYTES: such an image (make-layered-image) is in the
# registry as `app`, and in the layout $scratch/image.
push_layered() {
    app=$registry/team/app:1.0
    tests/system/make-layered-image "$scratch/image" "$1" "$2"
    skopeo copy -q --all --preserve-digests --dest-tls-verify=false \
        "oci:$scratch/image" "docker://$app"
}
