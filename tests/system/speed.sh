#!/usr/bin/env bash
# speed.sh: from a registry on loopback to a root file system, beside skopeo
# and umoci: at most half of their time, and never more than 64 MiB of memory,
# which is less than the largest layer has.
# Needs no hypervisor.
#
#     speed.sh [LAYOUT]   of the image "latest" in this OCI layout; without
#                         one, an image is made of files of this machine
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/report.sh

for tool in docker-registry skopeo umoci python3; do
    command -v "$tool" >/dev/null && continue
    skip speed "$tool is not installed: tools/bootstrap check"
    exit 0
done
if [ "$EUID" -ne 0 ]; then
    skip speed "umoci needs root to unpack as we do"
    exit 0
fi

. tests/lib/images.sh
start_registry
layout=${1:-$scratch/layout}
[ $# -gt 0 ] || tests/system/make-usr-image "$layout" 20000000
app=$registry/usr:1
skopeo copy -q --dest-tls-verify=false "oci:$layout:latest" "docker://$app"

# timed COMMAND...: "MILLISECONDS KIB" of the command; KIB is its peak.
timed() {
    python3 - "$@" <<'END'
import resource, subprocess, sys, time
begin = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL,
               stderr=subprocess.DEVNULL)
print(round((time.monotonic() - begin) * 1000),
      resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
END
}

theirs() {
    rm -rf "$scratch/theirs"
    mkdir "$scratch/theirs"
    # shellcheck disable=SC2016 # expanded by the inner shell
    timed sh -ec 'skopeo copy -q --src-tls-verify=false "docker://$1" \
        "oci:$2/layout:1"
        umoci unpack --image "$2/layout:1" "$2/bundle"' sh "$app" \
        "$scratch/theirs"
}

ours() {
    rm -rf "$SUPERMACHINE_HOME"
    timed env -i "$SUPERMACHINE_RUNTIME_DIR/supermachine-image" prepare \
        --home "$SUPERMACHINE_HOME" --platform linux/amd64 "$app"
}

# The better of two, taken in turns: the machine may have other work.
best=(0 0)
peak=0
for _ in 1 2; do
    read -r ms _ < <(theirs)
    [ "${best[0]}" -ne 0 ] && [ "$ms" -gt "${best[0]}" ] || best[0]=$ms
    read -r ms kib < <(ours)
    [ "${best[1]}" -ne 0 ] && [ "$ms" -gt "${best[1]}" ] || best[1]=$ms
    [ "$kib" -lt "$peak" ] || peak=$kib
done
printf '    skopeo and umoci %s ms, supermachine %s ms and %s KiB\n' \
    "${best[0]}" "${best[1]}" "$peak"
check speed_half_of_skopeo_and_umoci test $((2 * best[1])) -le "${best[0]}"
check speed_within_64_mib test "$peak" -gt 0 -a "$peak" -le 65536
report_total
