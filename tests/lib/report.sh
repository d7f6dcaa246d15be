# shellcheck shell=bash
# report.sh: counting tests; sourced by the scripts that run some.
#
# Every test ends in one line: "ok NAME", "not ok NAME" or "skip NAME # why".
# report_total prints the sum in the form that CI reads.

passed=0
failed=0
skipped=0
skips=()
failures=()

ok() {
    passed=$((passed + 1))
    printf 'ok %s\n' "$1"
}

not_ok() {
    failed=$((failed + 1))
    failures+=("$1")
    printf 'not ok %s\n' "$1"
}

skip() {
    skipped=$((skipped + 1))
    skips+=("$1: $2")
    printf 'skip %s # %s\n' "$1" "$2"
}

# check NAME COMMAND...: passes if the command exits 0; else shows its output.
check() {
    local name=$1 log
    shift
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        ok "$name"
    else
        sed 's/^/    /' "$log"
        not_ok "$name"
    fi
    rm -f "$log"
}

# Count the lines of another reporter, or of TAP, read from stdin.
# (prefix) goes in front of each name.
absorb() {
    local prefix=$1 line name
    while IFS= read -r line; do
        name=${line#*ok }
        name=${name#[0-9]* - }
        case $line in
        'ok '*'# SKIP'* | 'ok '*'# skip'*)
            skip "$prefix${name%% #*}" "${line##*# }" ;;
        'ok '*) ok "$prefix$name" ;;
        'not ok '*) not_ok "$prefix$name" ;;
        'skip '*)
            name=${line#skip }
            skip "$prefix${name%% # *}" "${name#* # }" ;;
        *) printf '    %s\n' "$line" ;;
        esac
    done
}

# The last words; status 1 if a test failed or none passed.
report_total() {
    local line
    for line in "${skips[@]}"; do
        printf 'skipped: %s\n' "$line"
    done
    for line in "${failures[@]}"; do
        printf 'failed: %s\n' "$line"
    done
    printf '%d passed, %d failed, %d skipped\n' \
        "$passed" "$failed" "$skipped"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
