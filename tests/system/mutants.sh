#!/usr/bin/env bash
# mutants.sh: the tests of clones.sh fail when what they test is taken out: each
# of the variants that tests/system/make-mutants has made in build/mutants.
#
#   tests/system/mutants.sh [NAME...]
. tests/system/lib.sh

names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(ls build/mutants)
for name in "${names[@]}"; do
    folder=build/mutants/$name
    age=0
    ! grep -q programs_draw "$folder/fails" || age=20
    SUPERMACHINE_RUNTIME_DIR=$PWD/$folder TWINS_ONLY=1 AGE=$age \
        timeout 600 bash tests/system/clones.sh >"$scratch/$name" 2>&1
    right=yes
    # A run that broke off has shown nothing.
    grep -q ' passed, ' "$scratch/$name" || right=no
    if [ ! -s "$folder/fails" ] && grep -q '^not ok' "$scratch/$name"; then
        right=no
    fi
    while read -r test; do
        grep -qE "^not ok $test( |$)" "$scratch/$name" || right=no
    done <"$folder/fails"
    if [ "$right" = yes ]; then
        ok "mutants/$name ($(grep -c '^not ok' "$scratch/$name") tests fail)"
    else
        sed 's/^/    /' "$scratch/$name"
        not_ok "mutants/$name"
    fi
done
check_clean mutants/nothing_left
finish_part
