#!/usr/bin/env bash
# What cluster.sh promises, tried from outside. `bash tests/cluster.sh [TEST…]`
#
# Each test runs a copy of cluster.sh in a folder with a space in its path, from another
# working directory, without a terminal, and with binaries that were built once.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
target=$(realpath -m -- "${CARGO_TARGET_DIR:-$root/target}")
readonly DEADLINE_SECS=20

prepare() {
    (cd -- "$root" && CARGO_TARGET_DIR=$target cargo build --release --quiet \
        --bin kv --bin gen --bin runinfo --bin summarize --bin lincheck)
    box=$(mktemp -d -t 'cluster test.XXXXXX')
    trap clean EXIT
    cp -- "$root/cluster.sh" "$box/"
    mkdir -- "$box/bin"
    cargo_is 'exit 0'
    export CARGO_TARGET_DIR=$target PATH=$box/bin:$PATH
    cd /
}

# Only what the tests started: a cluster.sh that fails its test may leave something.
clean() {
    local cluster part
    for cluster in "${clusters[@]}"; do
        for part in "$cluster" $(parts_of "$cluster"); do
            kill -KILL "$part" 2>/dev/null || true
        done
    done
    rm -rf -- "$box"
}

cargo_is() {
    printf '#!/bin/sh\n%s\n' "$1" >"$box/bin/cargo"
    chmod +x -- "$box/bin/cargo"
}

# ---------------------------------------------------------------------- helpers

clusters=() test_name=''

expect() {
    local what=$1
    shift
    "$@" && return
    printf 'FAILED %s: %s\n' "$test_name" "$what" >&2
    sed 's/^/  | /' "$box/out" "$box/err" >&2
    exit 1
}

# Sets `status`; the output is in the files out and err.
cluster() {
    status=0
    "$box/cluster.sh" "$@" >"$box/out" 2>"$box/err" || status=$?
}

small() { cluster --servers 2 --clients 2 --records 20000 --streams 64 --warmup 0 "$@"; }

# Sets `pid`. A shell ignores SIGINT in what it starts in the background, unless that is a
# job of its own.
start_cluster() {
    set -m
    "$box/cluster.sh" --servers 2 --clients 2 --records 20000 --streams 64 --warmup 0 "$@" \
        >"$box/out" 2>"$box/err" </dev/null &
    pid=$!
    set +m
    clusters+=("$pid")
}

wait_cluster() {
    status=0
    wait "$1" 2>/dev/null || status=$?
}

within_deadline() {
    local deadline=$((SECONDS + DEADLINE_SECS))
    until "$@"; do
        if ((SECONDS > deadline)); then return 1; fi
        sleep 0.05
    done
}

# Servers and generators that a cluster.sh started: they have its process id in their flags.
parts_of() {
    local file
    for file in /proc/[0-9]*/cmdline; do
        if tr '\0' ' ' <"$file" | grep -q -e "--die-with-parent $1 "; then
            file=${file%/cmdline}
            printf '%s\n' "${file#/proc/}"
        fi
    done 2>/dev/null
}

part_of() { # PID NAME: the process of server-N or client-N
    local part
    for part in $(parts_of "$1"); do
        if tr '\0' '\n' <"/proc/$part/cmdline" | grep -q "/$2\.jsonl$"; then
            printf '%s\n' "$part"
        fi
    done
}

is_alone() { [[ -z $(parts_of "$1") ]]; }
is_gone() { [[ ! -e /proc/$1 ]]; }
measures() { cat -- "$box"/bench-results/*/client-2.jsonl 2>/dev/null | grep -q '"phase":"run"'; }
runs() { find "$box/bench-results" -mindepth 1 -maxdepth 1 -type d; }
says() { grep -q -e "$1" -- "$box/err"; }
has_lines() { (($(wc -l <"$1") == $2)); }
no_folder() { [[ ! -e $box/bench-results ]]; }
no_summary() { [[ -z $(find "$box/bench-results" -name 'summary.*') ]]; }
json_has() { grep -q "\"$2\"" "$1"; }

# ------------------------------------------------------------------------ tests

test_help_names_every_flag() {
    local flags flag
    cluster --help
    expect 'exit 0' test "$status" = 0
    mapfile -t flags < <(sed -n 's/^        \(--[a-z-]*\)).*/\1/p' "$root/cluster.sh")
    expect 'there are flags' test "${#flags[@]}" -gt 10
    for flag in "${flags[@]}"; do
        expect "it names $flag" grep -q -e "^  $flag " "$box/out"
    done
}

test_a_wrong_flag_is_told_in_one_line_and_exits_2() {
    local flags words
    for flags in '--bogus 3' '--servers 0' '--servers' '--clients x' '--secs 0' '--secs -1' \
        '--order sorted' '--workload ycsb-z' '--label a/b' '--theta nan' '--records 08' \
        '--servers=-1' '--cores 1e3' 'strict' '--seed -1' '--gen-args --secs=x'; do
        read -ra words <<<"$flags"
        cluster "${words[@]}"
        expect "$flags exits 2, not $status" test "$status" = 2
        expect "$flags is told in one line" has_lines "$box/err" 1
        expect "$flags prints nothing else" has_lines "$box/out" 0
    done
    expect 'no folder is made' no_folder
}

test_without_cargo_it_says_what_to_install() {
    local tool bare=$box/bare
    mkdir -- "$bare"
    for tool in bash dirname readlink realpath cat tail sed rm; do
        ln -s -- "$(command -v "$tool")" "$bare/"
    done
    PATH=$bare HOME=$box cluster
    expect "exit 2, not $status" test "$status" = 2
    expect 'it is told' says 'install Rust'
}

test_a_failed_build_is_shown() {
    cargo_is 'echo "error: something does not compile" >&2; exit 101'
    small
    expect "exit 1, not $status" test "$status" = 1
    expect 'the output of cargo is shown' says 'something does not compile'
    expect 'no folder is made' no_folder
}

test_a_build_that_is_ended_leaves_nothing() {
    cargo_is "echo \$\$ >'$box/cargo.pid'; sleep 60 & echo \$! >'$box/rustc.pid'; wait"
    start_cluster
    expect 'the build begins' within_deadline test -s "$box/rustc.pid"
    kill -INT -- "-$pid"
    wait_cluster "$pid"
    expect "exit 130, not $status" test "$status" = 130
    expect 'cargo is gone' is_gone "$(cat "$box/cargo.pid")"
    expect 'what cargo started is gone' within_deadline is_gone "$(cat "$box/rustc.pid")"
}

test_two_runs_side_by_side_do_not_clash() {
    local first second run count
    start_cluster --secs 2 --label pair
    first=$pid
    start_cluster --secs 2 --label pair
    second=$pid
    wait_cluster "$first"
    expect "the first exits 0, not $status" test "$status" = 0
    wait_cluster "$second"
    expect "the second exits 0, not $status" test "$status" = 0
    count=$(runs | wc -l)
    expect "2 folders, not $count" test "$count" = 2
    for run in "$box"/bench-results/*-pair*; do
        expect "$run has its figures" json_has "$run/summary.json" total_ops_per_s
        expect "$run has its facts" json_has "$run/run.json" kernel
    done
    expect 'latest is a link' test -L "$box/bench-results/latest"
    expect 'latest is a run' test -s "$box/bench-results/latest/summary.json"
    expect 'nothing of the first is left' is_alone "$first"
    expect 'nothing of the second is left' is_alone "$second"
}

test_users_flags_win_and_seeds_differ() {
    local run=$box/bench-results/latest
    small --secs 1 --order=async --gen-args '--seed 7 --batch 9 --records 3000' --kv-args '--cores=2'
    expect "exit 0, not $status" test "$status" = 0
    expect 'the first has the seed' grep -q '^  "seed": 7,' "$run/client-1.json"
    expect 'the second has the next' grep -q '^  "seed": 8,' "$run/client-2.json"
    expect 'the batch is taken' grep -q '^  "batch": 9,' "$run/client-1.json"
    expect 'as many are loaded' says '^loaded 3000 records'
    expect 'the order is taken' grep -q '^  "order": "async"' "$run/client-1.json"
    expect 'the cores are taken' grep -q '^kv ready .* cores=2$' "$run/server-1.log"
}

test_a_run_is_repeated_by_the_seed_of_its_run_json() {
    local run=$box/bench-results/latest seed
    small --secs 1
    expect "exit 0, not $status" test "$status" = 0
    seed=$(sed -n 's/^  "seed": \([0-9]*\),$/\1/p' "$run/run.json")
    expect 'run.json has a seed' test -n "$seed"
    expect 'the first drew from it' grep -q "^  \"seed\": $seed," "$run/client-1.json"
    expect 'the second from the next' grep -q "^  \"seed\": $((seed + 1))," "$run/client-2.json"
    small --secs 1 --seed "$seed" --label again
    expect "exit 0, not $status" test "$status" = 0
    expect 'it is taken' grep -q "^  \"seed\": $seed," "$run/client-1.json"
}

test_a_rate_that_is_not_reached_is_told_and_exits_4() {
    local run=$box/bench-results/latest
    small --secs 1 --gen-args '--rate 1e9'
    expect "exit 4, not $status" test "$status" = 4
    expect 'it is told' says 'client-2: the rate that was asked for was not reached: '
    expect 'the report tells it' grep -q 'open loop of 2000000000 op/s, not reached' "$box/out"
    expect 'the summary has it' grep -q '^  "rate_reached": false,' "$run/summary.json"
    small --secs 1 --gen-args '--rate 500'
    expect "exit 0, not $status" test "$status" = 0
    expect 'the summary has what was asked' grep -q '^  "rate_ops_per_s": 1000.0,' "$run/summary.json"
}

test_what_cannot_be_written_to_stderr_ends_nothing() {
    status=0
    "$box/cluster.sh" --servers 1 --clients 1 --records 2000 --streams 8 --warmup 0 --secs 1 \
        >"$box/out" 2>/dev/full || status=$?
    expect "exit 0, not $status" test "$status" = 0
    expect 'the report is there' grep -q '^answered [0-9]* op/s$' "$box/out"
}

test_a_report_that_cannot_be_written_exits_1() {
    status=0
    "$box/cluster.sh" --servers 1 --clients 1 --records 2000 --streams 8 --warmup 0 --secs 1 \
        >/dev/full 2>"$box/err" || status=$?
    expect "exit 1, not $status" test "$status" = 1
    expect 'it is told' says 'cannot write to stdout: No space left'
}

test_verify_prints_and_keeps_the_verdict() {
    local run=$box/bench-results/latest
    small --secs 1 --workload ycsb-a --verify --gen-args '--history-sample 1/2'
    expect "exit 0, not $status" test "$status" = 0
    expect 'the verdict is printed' grep -q '^linearizable: [0-9]* operations, [0-9]* keys$' "$box/out"
    expect 'the summary has it' json_has "$run/summary.json" verdict
    expect 'the histories are kept' "$root/tools/lincheck" "$run" >/dev/null
}

test_verify_takes_the_age_of_near_caches() {
    small --secs 1 --workload ycsb-a --verify --gen-args '--cache 1000 --cache-max-age 300ms'
    expect "exit 0, not $status" test "$status" = 0
    expect 'the verdict names it' grep -q '^staleness 300ms: ' "$box/out"
    expect 'so does the report' grep -q 'from near caches, up to 300.000 ms old' "$box/out"
}

# Ctrl-C goes to the whole process group, the others to the one process.
ended_by() { # SIGNAL STATUS TARGET
    start_cluster --secs 60
    expect 'it measures' within_deadline measures
    kill -s "$1" -- "$3$pid"
    wait_cluster "$pid"
    expect "exit $2, not $status" test "$status" = "$2"
    expect 'nothing is left' is_alone "$pid"
    expect 'there is no summary' no_summary
    expect 'the folder is kept, and that is told' says "not finished: $(runs)"
}

test_ctrl_c_leaves_nothing() { ended_by INT 130 -; }
test_sigterm_leaves_nothing() { ended_by TERM 143 ''; }
test_sighup_leaves_nothing() { ended_by HUP 129 ''; }

test_sigkill_leaves_nothing() {
    start_cluster --secs 60
    expect 'it measures' within_deadline measures
    kill -KILL "$pid"
    wait_cluster "$pid"
    expect 'nothing is left' within_deadline is_alone "$pid"
    expect 'there is no summary' no_summary
}

test_others_are_left_alone() {
    "$target/release/kv" --port 0 >"$box/other" 2>&1 &
    local other=$!
    clusters+=("$other")
    small --secs 1
    expect "exit 0, not $status" test "$status" = 0
    expect 'the other server runs' kill -0 "$other"
    kill -TERM "$other"
    wait "$other"
}

test_a_server_that_cannot_start_is_told() {
    small --kv-args '--bind 192.0.2.1'
    expect "exit 2, not $status" test "$status" = 2
    expect 'it is named' says 'server-1 ended (exit status 2)'
    expect 'its log is shown' says '192.0.2.1 is not an address of this machine'
}

test_a_generator_that_cannot_start_is_told() {
    small --gen-args '--bogus'
    expect "exit 2, not $status" test "$status" = 2
    expect 'its log is shown' says "unexpected argument '--bogus'"
}

test_a_server_that_dies_ends_the_run() {
    start_cluster --secs 60
    expect 'it measures' within_deadline measures
    kill -KILL "$(part_of "$pid" server-2)"
    wait_cluster "$pid"
    expect "exit 1, not $status" test "$status" = 1
    expect 'it is named' says 'server-2 ended (exit status 137)'
    expect 'its log is shown' says 'get/s'
    expect 'nothing is left' is_alone "$pid"
    expect 'there is no summary' no_summary
}

test_a_generator_that_dies_ends_the_run() {
    start_cluster --secs 60
    expect 'it measures' within_deadline measures
    kill -KILL "$(part_of "$pid" client-1)"
    wait_cluster "$pid"
    expect "exit 1, not $status" test "$status" = 1
    expect 'it is named' says 'client-1 ended (exit status 137)'
    expect 'its log is shown' says 'gen: run'
    expect 'nothing is left' is_alone "$pid"
}

test_a_server_that_hangs_makes_outcomes_indeterminate() {
    local server
    start_cluster --secs 4 --workload ycsb-a --gen-args '--answer-timeout 0.5'
    expect 'it measures' within_deadline measures
    server=$(part_of "$pid" server-1)
    kill -STOP "$server"
    sleep 2
    kill -CONT "$server"
    wait_cluster "$pid"
    expect "exit 3, not $status" test "$status" = 3
    expect 'it is told how many' says 'client-1: [1-9][0-9]* mutations are indeterminate'
    expect 'there is a summary' json_has "$box/bench-results/latest/summary.json" indeterminate
    expect 'nothing is left' is_alone "$pid"
}

# ------------------------------------------------------------------------- main

main() {
    local began tests
    prepare
    mapfile -t tests < <(declare -F | sed -n 's/^declare -f test_//p')
    if (($# > 0)); then tests=("$@"); fi
    for test_name in "${tests[@]}"; do
        began=$SECONDS
        rm -rf -- "$box/bench-results"
        cargo_is 'exit 0'
        "test_$test_name"
        printf 'ok %s (%s s)\n' "$test_name" $((SECONDS - began))
    done
    printf '%s tests of cluster.sh passed\n' "${#tests[@]}"
}

main "$@"
