#!/usr/bin/env bash
# Builds, starts servers and generators on this machine, loads, measures, and leaves a
# folder in bench-results/. Whatever happens, nothing that it started stays behind.
#
# Read it from `main` at the end, or top-down: flags, the run's folder, servers, load,
# generators, the end.
set -euo pipefail

readonly SERVER_READY_SECS_MAX=30 END_SECS_MAX=5 LOG_LINES_SHOWN=10 LOOK_SECS=0.2
readonly CHECKED='lincheck: checked '

root=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# Relative to where we were called, as cargo takes it, though we build elsewhere.
target=$(realpath -m -- "${CARGO_TARGET_DIR:-$root/target}")

usage() {
    cat <<'HELP'
Runs a cluster on this machine: builds, starts servers and generators, loads the records,
measures, and summarizes into a folder of bench-results/.

Usage: ./cluster.sh --servers N --clients N [FLAG…]

  --servers N      kv processes (4)
  --clients N      gen processes (4)
  --secs S         seconds to measure (30)
  --warmup S       seconds before them (2)
  --order MODE     strict, shard or async (strict)
  --workload NAME  ycsb-a, ycsb-b or ycsb-c (ycsb-b)
  --theta T        skew of the Zipf distribution of keys; 0 is uniform (0.99)
  --records N      records that are loaded (1000000)
  --value-size B   bytes of a value (128)
  --streams N      sequential workloads of each generator (1024)
  --cores N        workers of each server (1)
  --threads N      threads of each generator (1)
  --seed N         seed of the first generator; the next has N+1, and so on (random, and
                   kept in run.json)
  --verify         record what each operation did, and check that it is linearizable
  --label L        end of the folder's name: letters, digits, '.', '_', '-' (WORKLOAD-ORDER)
  --kv-args "…"    more flags for every kv; they win over those above
  --gen-args "…"   more flags for every gen; they win over those above
  --help           this text

The workers, and then the generators' threads, are dealt out to the cores in turn. With as
many cores as threads, each has one of its own.

With --verify the run's folder holds the histories, about 12 bytes an operation, and the
verdict. --gen-args "--history-sample 1/N" keeps one key in N. With --gen-args "--cache
ENTRIES --cache-max-age TIME" the answers of near caches may be so old, and no older.

Progress goes to stderr, the report to stdout. Exit status: 0 if every operation was
answered and a rate that was asked for (--gen-args "--rate OPS") was reached; 1 if a part
failed, the report cannot be written, or the run was not linearizable; 2 if a flag is wrong
or a part could not start; 3 if the outcome of some operations is not known; 4 if a rate was
not reached; 128 and the signal's number if it was ended.
HELP
}

# ---------------------------------------------------------------------- telling

# What cannot be written to stderr is lost, and ends nothing.
say() {
    if [[ -t 2 ]]; then printf '\r\e[K' >&2 || true; fi
    printf '%s\n' "$1" >&2 || true
}

# On a terminal the next line takes this one's place.
say_for_now() {
    if [[ -t 2 ]]; then printf '\r\e[K%s' "$1" >&2; else printf '%s\n' "$1" >&2; fi || true
}

# fail STATUS MESSAGE [LOG]: shows the end of the log, and ends the run.
fail() {
    say "cluster.sh: error: $2"
    if [[ -n ${3-} && -s $3 ]]; then
        say "the last lines of $3:"
        show_end_of "$3"
    fi
    exit "$1"
}

show_end_of() { tail -n "$LOG_LINES_SHOWN" -- "$1" | sed 's/^/  /' >&2 || true; }

wrong_flag() { fail 2 "$1 (see ./cluster.sh --help)"; }

# ------------------------------------------------------------------------ flags

servers=4 clients=4 secs=30 warmup=2 order=strict workload=ycsb-b theta=0.99
records=1000000 value_size=128 streams=1024 cores=1 threads=1 seed='' label='' verify=no
kv_user=() gen_user=() gen_pin=''

parse_flags() {
    local flag value
    while (($# > 0)); do
        flag=$1
        shift
        case $flag in
            --help | -h) usage && exit 0 ;;
            --verify)
                verify=yes
                continue
                ;;
            --*=*) value=${flag#*=} flag=${flag%%=*} ;;
            --*)
                (($# > 0)) || wrong_flag "$flag is unknown or lacks its value"
                value=$1
                shift
                ;;
            *) wrong_flag "unexpected argument '$flag'" ;;
        esac
        take_flag "$flag" "$value"
    done
    # Every part must agree on what the user's own flags change.
    cores=$(value_of --cores "$cores" "${kv_user[@]}")
    threads=$(value_of --threads "$threads" "${gen_user[@]}")
    secs=$(value_of --secs "$secs" "${gen_user[@]}")
    records=$(value_of --records "$records" "${gen_user[@]}")
    seed=$(value_of --seed "$seed" "${gen_user[@]}")
    workload=$(value_of --workload "$workload" "${gen_user[@]}")
    order=$(value_of --order "$order" "${gen_user[@]}")
    workload=${workload,,} order=${order,,}
    label=${label:-$workload-$order}
    gen_pin=$(value_of --pin '' "${gen_user[@]}")
    check_flags
    if [[ -z $seed ]]; then draw_seed; fi
}

# A number of 48 bits: with a generator's place added, every reader of JSON keeps it.
draw_seed() { seed=$((RANDOM << 33 | RANDOM << 18 | RANDOM << 3 | RANDOM & 7)); }

take_flag() {
    case $1 in
        --servers) servers=$2 ;;
        --clients) clients=$2 ;;
        --secs) secs=$2 ;;
        --warmup) warmup=$2 ;;
        --order) order=${2,,} ;;
        --workload) workload=${2,,} ;;
        --theta) theta=$2 ;;
        --records) records=$2 ;;
        --value-size) value_size=$2 ;;
        --streams) streams=$2 ;;
        --cores) cores=$2 ;;
        --threads) threads=$2 ;;
        --seed) seed=$2 ;;
        --label) label=$2 ;;
        --kv-args) read -rd '' -a kv_user <<<"$2" || true ;;
        --gen-args) read -rd '' -a gen_user <<<"$2" || true ;;
        *) wrong_flag "unknown flag $1" ;;
    esac
}

check_flags() {
    check_count --servers "$servers" 1000
    check_count --clients "$clients" 1000
    check_count --records "$records" 1000000000000
    check_count --value-size "$value_size" 1048576
    check_count --streams "$streams" 1048576
    check_count --cores "$cores" 512
    check_count --threads "$threads" 256
    [[ -z $seed ]] || check_count --seed "$seed" 999999999999999999 0
    check_decimal --secs "$secs"
    check_decimal --warmup "$warmup"
    check_decimal --theta "$theta"
    [[ $secs =~ ^0*[1-9] ]] || wrong_flag "--secs must be at least 1: samples are of a second"
    [[ $order =~ ^(strict|shard|async)$ ]] || wrong_flag "--order must be strict, shard or async"
    [[ $workload =~ ^ycsb-[abc]$ ]] || wrong_flag "--workload must be ycsb-a, ycsb-b or ycsb-c"
    [[ $label =~ ^[A-Za-z0-9._-]{1,100}$ ]] ||
        wrong_flag "--label takes 1 to 100 letters, digits, '.', '_' and '-'"
}

# check_count FLAG VALUE MAX [MIN]; at most 18 digits, so that the shell can count them,
# and no zero in front, which it would take for octal.
check_count() {
    if [[ ! $2 =~ ^(0|[1-9][0-9]{0,17})$ ]] || (($2 < ${4-1} || $2 > $3)); then
        wrong_flag "$1 must be a number from ${4-1} to $3"
    fi
}

check_decimal() {
    [[ $2 =~ ^[0-9]{1,6}(\.[0-9]{1,6})?$ ]] || wrong_flag "$1 must be a number such as 2 or 0.5"
}

# value_of FLAG DEFAULT ARGUMENT…: what the arguments say, or else the default.
value_of() {
    local flag=$1 value=$2
    shift 2
    while (($# > 0)); do
        case $1 in
            "$flag") value=${2-} ;;
            "$flag="*) value=${1#*=} ;;
        esac
        shift
    done
    printf '%s' "$value"
}

# Sets `merged` to the arguments in the array named $1, but for the flags that those in the
# array named $2 have too, and then these: the programs refuse a flag that comes twice.
merge_into_merged() {
    local -n before=$1 winners=$2
    local word names=' ' keep=yes
    for word in "${winners[@]}"; do
        if [[ $word == --* ]]; then names+="${word%%=*} "; fi
    done
    merged=()
    for word in "${before[@]}"; do
        if [[ $word == --* ]]; then
            keep=yes
            if [[ $names == *" ${word%%=*} "* ]]; then keep=no; fi
        fi
        if [[ $keep == yes ]]; then merged+=("$word"); fi
    done
    merged+=("${winners[@]}")
}

# ------------------------------------------------------------- what was started

# Starts a command as our direct child and its own process group, so that Ctrl-C reaches
# only us, and we end the parts in order. Sets `started` to its id.
start() {
    local log=$1
    shift
    # Now, and not when the child comes to it: we read it at once.
    : >"$log"
    set -m
    "$@" </dev/null >>"$log" 2>&1 &
    started=$!
    set +m
}

children() {
    jobs -pr
    jobs -ps
}

is_running() { kill -0 "$1" 2>/dev/null; }

# Sets `status` to how a child ended; it waits for it if need be.
reap() {
    status=0
    wait "$1" 2>/dev/null || status=$?
}

# fail_part MESSAGE LOG: a part ended with `status`.
fail_part() {
    local exit=1
    if ((status == 2 || status == 3)); then exit=$status; fi
    fail "$exit" "$1 (exit status $status)" "$2"
}

end_all() {
    local child deadline=$((SECONDS + END_SECS_MAX))
    signal_all TERM
    while [[ -n $(children) ]]; do
        if ((SECONDS > deadline)); then
            signal_all KILL
            deadline=$((SECONDS + END_SECS_MAX))
        fi
        sleep 0.05
    done
    # What the shell would tell of each child by itself is told better elsewhere.
} 2>/dev/null

signal_all() {
    local child
    for child in $(children); do kill -"$1" -- "-$child" || true; done
}

# Sets `line` to the first line that a command prints; empty if there is none. From here to
# the end nothing uses `$(…)`: bash 5.2 can take a signal that comes while it parses one for
# a syntax error, and then the exit status is wrong.
first_line() {
    "$@" >"$scratch/line" 2>/dev/null || true
    line=''
    read -r line <"$scratch/line" || true
}

scratch='' run='' summarized=no

finish() {
    local status=$?
    trap '' INT TERM HUP PIPE
    end_all
    rm -rf -- "$scratch"
    if [[ -n $run && $summarized == no ]]; then
        say "not finished: $run has no summary"
    fi
    exit "$status"
}

# ------------------------------------------------------------------------ build

build() {
    local log=$scratch/build.log
    # Should this script be killed, cargo ends too, where util-linux can tell it to.
    local follow=()
    if command -v setpriv >/dev/null; then follow=(setpriv --pdeathsig TERM); fi
    start "$log" env -C "$root" CARGO_TARGET_DIR="$target" "${follow[@]}" cargo build --release \
        --bin kv --bin gen --bin runinfo --bin summarize --bin lincheck
    local cargo=$started told=no began=$SECONDS
    while is_running "$cargo"; do
        if [[ $told == no ]] && ((SECONDS - began >= 2)); then
            say_for_now 'building…'
            told=yes
        fi
        sleep "$LOOK_SECS"
    done
    reap "$cargo"
    if ((status != 0)); then
        say 'cluster.sh: error: the build failed:'
        cat -- "$log" >&2
        exit 1
    fi
}

find_cargo() {
    if ! command -v cargo >/dev/null && [[ -x ${HOME-}/.cargo/bin/cargo ]]; then
        PATH=$HOME/.cargo/bin:$PATH
    fi
    command -v cargo >/dev/null ||
        fail 2 'cargo was not found: install Rust 1.88 or newer, see https://rustup.rs'
}

# ----------------------------------------------------------------- the run's folder

# Sets `run` to a new folder; of two that start in one second, one gets a number.
make_folder() {
    local results=$root/bench-results line time name number=1 commit
    first_line date -u +%Y%m%dT%H%M%SZ
    time=$line
    mkdir -p -- "$results"
    name=$time-$label
    until mkdir -- "$results/$name" 2>/dev/null; do
        ((++number <= 100)) || fail 1 "no folder can be made in $results"
        name=$time-$label-$number
    done
    run=$results/$name
    find_commit
    "$target/release/runinfo" --name "$name" --servers "$servers" --clients "$clients" \
        --seed "$seed" --commit "$commit" -- ./cluster.sh "$@" >"$run/run.json"
}

# Sets `commit`; empty if it is not known.
find_commit() {
    commit=''
    if [[ ! -e $root/.git ]] || ! command -v git >/dev/null; then return; fi
    first_line git -C "$root" rev-parse --short HEAD
    commit=$line
    first_line git -C "$root" status --porcelain
    if [[ -n $commit && -n $line ]]; then commit+=-dirty; fi
}

# `latest` always points somewhere: the new link takes the old one's place at once.
point_latest() {
    local link=$root/bench-results/.latest-$$
    ln -sfn -- "${run##*/}" "$link"
    mv -Tf -- "$link" "$root/bench-results/latest"
}

# ------------------------------------------------------------------------ cores

# Workers first, then generator threads, are dealt out to the cores that we may use. If
# there are more of them than cores, a fixed place is still better than the kernel's choice:
# 4 + 4 processes on 2 cores were faster so in each of seven pairs of runs.
plan_cores() {
    local ranges range first last
    allowed=()
    IFS=, read -ra ranges < <(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
    for range in "${ranges[@]}"; do
        IFS=- read -r first last <<<"$range"
        mapfile -t -O "${#allowed[@]}" allowed < <(seq "$first" "${last:-$first}")
    done
    local needed=$((servers * cores + clients * threads))
    if ((needed > ${#allowed[@]})); then
        say "$needed threads share ${#allowed[@]} cores"
    fi
}

# cores_for FROM COUNT: sets `list` to the cores of as many threads.
cores_for() {
    local n cores_of_threads=()
    for ((n = $1; n < $1 + $2; n++)); do
        cores_of_threads+=("${allowed[n % ${#allowed[@]}]}")
    done
    join "${cores_of_threads[@]}"
}

# Sets `list` to the arguments with commas between them.
join() {
    local IFS=,
    list=$*
}

# ---------------------------------------------------------------------- servers

server_pids=() addresses=()

start_servers() {
    local n
    for ((n = 1; n <= servers; n++)); do start_server "$n"; done
    for ((n = 1; n <= servers; n++)); do wait_until_ready "$n"; done
    say "servers ready: ${addresses[*]}"
}

# shellcheck disable=SC2034 # merge_into_merged has its lists by name
start_server() {
    local n=$1 list ours
    cores_for $(((n - 1) * cores)) "$cores"
    # Keys are dealt out by hash: an eighth more than an equal share is room enough.
    local share=$((records / servers + records / servers / 8 + 1024))
    ours=(--port 0 --cores "$cores" --pin "$list" --records "$share"
        --samples "$run/server-$n.jsonl" --die-with-parent $$)
    merge_into_merged ours kv_user
    start "$run/server-$n.log" "$target/release/kv" "${merged[@]}"
    server_pids[n]=$started
}

wait_until_ready() {
    local n=$1 log=$run/server-$1.log deadline=$((SECONDS + SERVER_READY_SECS_MAX)) line=''
    until first_line sed -n 's/^kv ready \([^ ]*\) .*/\1/p' "$log" && [[ -n $line ]]; do
        check_server "$n"
        ((SECONDS <= deadline)) ||
            fail 1 "server-$n was not ready after $SERVER_READY_SECS_MAX s" "$log"
        sleep 0.02
    done
    # All interfaces are no address to send to.
    local address=${line/#0.0.0.0:/127.0.0.1:}
    addresses[n]=${address/#\[::\]:/\[::1\]:}
}

# A server may not end before the generators.
check_server() {
    is_running "${server_pids[$1]}" && return
    reap "${server_pids[$1]}"
    fail_part "server-$1 ended" "$run/server-$1.log"
}

check_servers() {
    local n
    for ((n = 1; n <= servers; n++)); do check_server "$n"; done
}

end_servers() {
    local n
    for ((n = 1; n <= servers; n++)); do kill -TERM "${server_pids[n]}" 2>/dev/null || true; done
    local deadline=$((SECONDS + END_SECS_MAX))
    for ((n = 1; n <= servers; n++)); do
        while is_running "${server_pids[n]}"; do
            ((SECONDS <= deadline)) ||
                fail 1 "server-$n did not end on SIGTERM" "$run/server-$n.log"
            sleep 0.02
        done
        reap "${server_pids[n]}"
        ((status == 0)) ||
            fail 1 "server-$n ended with status $status" "$run/server-$n.log"
    done
}

# ------------------------------------------------------------------ load and run

generator_pids=() generator_status=()

# Sets `merged` to the flags of a generator: those given, those of all, and the user's.
# shellcheck disable=SC2034 # merge_into_merged has its lists by name
generator_flags() {
    local list ours
    join "${addresses[@]}"
    ours=("$@" --servers "$list" --workload "$workload" --theta "$theta" --order "$order"
        --records "$records" --value-size "$value_size" --streams "$streams"
        --threads "$threads" --warmup "$warmup" --secs "$secs" --die-with-parent $$)
    if [[ $verify == yes ]]; then ours+=(--history "$run/history"); fi
    merge_into_merged ours gen_user
}

# shellcheck disable=SC2034 # merge_into_merged has its lists by name
load() {
    local flags only_load pid log=$run/load.log
    generator_flags --pin none
    flags=("${merged[@]}") only_load=(--load --secs 0)
    merge_into_merged flags only_load
    start "$log" "$target/release/gen" "${merged[@]}"
    pid=$started
    while is_running "$pid"; do
        check_servers
        if is_time_to_tell; then tell_load "$log"; fi
        sleep "$LOOK_SECS"
    done
    reap "$pid"
    ((status == 0)) || fail_part 'the load failed' "$log"
    local line
    first_line grep '^loaded ' "$log"
    say "$line"
}

tell_load() {
    local line
    first_line sed -n "\$s/^gen: //p" "$1"
    if [[ -n $line ]]; then say_for_now "$line"; fi
}

start_generators() {
    local n
    for ((n = 1; n <= clients; n++)); do start_generator "$n"; done
}

# shellcheck disable=SC2034 # merge_into_merged has its lists by name
start_generator() {
    local n=$1 list flags own_seed pin=none on_cores=()
    # gen takes the last cores that it may use: all generators would take the same.
    if command -v taskset >/dev/null && [[ -z $gen_pin ]]; then
        cores_for $((servers * cores + (n - 1) * threads)) "$threads"
        on_cores=(taskset -c "$list")
        pin=auto
    fi
    generator_flags --pin "$pin" --json "$run/client-$n.json" --hdr "$run/client-$n.hdr" \
        --samples "$run/client-$n.jsonl"
    # Equal seeds would have all generators do the same.
    flags=("${merged[@]}") own_seed=(--seed $((seed + n - 1)))
    merge_into_merged flags own_seed
    start "$run/client-$n.log" "${on_cores[@]}" "$target/release/gen" "${merged[@]}"
    generator_pids[n]=$started generator_status[n]=''
}

watch_generators() {
    until generators_ended; do
        check_servers
        if is_time_to_tell; then tell_progress; fi
        sleep "$LOOK_SECS"
    done
}

# Whether all have ended. One that failed ends the run.
generators_ended() {
    local n all=yes
    for ((n = 1; n <= clients; n++)); do
        [[ -z ${generator_status[n]} ]] || continue
        if is_running "${generator_pids[n]}"; then
            all=no
            continue
        fi
        reap "${generator_pids[n]}"
        generator_status[n]=$status
        ((status == 0 || status == 3 || status == 4)) ||
            fail_part "client-$n ended" "$run/client-$n.log"
    done
    [[ $all == yes ]]
}

# -------------------------------------------------------------------- progress

tell_at=0 run_began_ms=0

# Each second; into a file less often, if the run is long.
is_time_to_tell() {
    local every=1
    if [[ ! -t 2 ]]; then every=$((${secs%.*} / 30 + 1)); fi
    ((SECONDS >= tell_at)) || return
    tell_at=$((SECONDS + every))
}

# The generators' latest samples, together.
tell_progress() {
    local line phase time_ms from_ms text
    first_line sum_latest_samples
    read -r phase time_ms from_ms text <<<"$line"
    if [[ -z $phase ]]; then return; fi
    if [[ $phase != run ]]; then
        say_for_now "warm-up  $text"
        return
    fi
    if ((run_began_ms == 0)); then run_began_ms=$from_ms; fi
    say_for_now "run $(((time_ms - run_began_ms + 500) / 1000))/$secs s  $text"
}

sum_latest_samples() {
    local n files=()
    for ((n = 1; n <= clients; n++)); do files+=("$run/client-$n.jsonl"); done
    tail -qn 1 -- "${files[@]}" | sum_samples
}

sum_samples() {
    awk '
        function field(name,    rest) {
            rest = $0
            if (!sub(".*\"" name "\":\"?", "", rest)) return ""
            sub("[,\"}].*", "", rest)
            return rest
        }
        function commas(number,    head, tail) {
            head = sprintf("%.0f", number)
            for (; length(head) > 3; head = substr(head, 1, length(head) - 3))
                tail = "," substr(head, length(head) - 2) tail
            return head tail
        }
        {
            if (NR == 1 || field("phase") != "run") phase = field("phase")
            time_ms = field("time_ms")
            from_ms = time_ms - field("interval_ms")
            ops_per_s += field("ops_per_s")
            retransmits += field("retransmits")
            indeterminate += field("indeterminate")
        }
        END {
            if (NR == 0) exit
            text = commas(ops_per_s) " op/s  " commas(retransmits) " retransmits"
            if (indeterminate > 0) text = text "  " commas(indeterminate) " indeterminate"
            printf "%s %.0f %.0f %s\n", phase, time_ms, from_ms, text
        }'
}

# --------------------------------------------------------------------- the end

# Says of each generator what kept it from status 0, and sets `shortfall` to the exit status
# of the run: outcomes that are not known weigh more than a rate that was not reached.
shortfall=0

tell_shortfall() {
    local n line mutations
    for ((n = 1; n <= clients; n++)); do
        case ${generator_status[n]} in
            3)
                shortfall=3
                report_field "$n" indeterminate
                mutations=$line
                report_field "$n" unanswered_gets
                say "client-$n: $mutations mutations are indeterminate, $line GETs were not answered"
                say 'the last lines of its log:'
                show_end_of "$run/client-$n.log"
                ;;
            4)
                ((shortfall == 3)) || shortfall=4
                first_line sed -n 's/^gen: the rate/the rate/p' "$run/client-$n.log"
                say "client-$n: $line"
                ;;
        esac
    done
}

# Sets `line` to a number of client-N.json that is not one of its counters.
report_field() {
    first_line sed -n "s/^  \"$2\": \([0-9]*\),\{0,1\}\$/\1/p" "$run/client-$1.json"
}

# Checks the histories of the load and of all generators, with a thread for each core.
verify() {
    local pid line log=$scratch/verify.log verdict=$run/verdict.txt staleness=()
    say 'checking the history…'
    # What near caches answer may be so old.
    first_line sed -n 's/^    "max_age_us": \([0-9.]*\),$/\1/p' "$run/client-1.json"
    if [[ -n $line ]]; then staleness=(--staleness "${line}us"); fi
    start "$log" "$target/release/lincheck" "${staleness[@]}" "$run/history"
    pid=$started
    while is_running "$pid"; do
        if is_time_to_tell; then tell_check "$log"; fi
        sleep "$LOOK_SECS"
    done
    reap "$pid"
    grep -v "^$CHECKED" -- "$log" >"$verdict" || true
    ((status < 2)) || fail 1 'the history could not be checked' "$log"
    if [[ -t 2 ]]; then printf '\r\e[K' >&2; fi
    if ((status == 1)); then
        cat -- "$verdict"
        fail 1 "the run was not linearizable: see $verdict"
    fi
}

tell_check() {
    local line
    first_line sed -n "\$s/^$CHECKED/checked /p" "$1"
    if [[ -n $line ]]; then say_for_now "$line"; fi
}

summarize() {
    if [[ -t 2 ]]; then printf '\r\e[K' >&2; fi
    "$target/release/summarize" "$run" || fail 1 "$run could not be summarized"
    summarized=yes
    point_latest
    printf '\nresults: %s\n' "$run"
}

main() {
    parse_flags "$@"
    find_cargo
    plan_cores
    scratch=$(mktemp -d)
    trap finish EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 141' PIPE
    trap 'exit 143' TERM
    build
    make_folder "$@"
    start_servers
    load
    start_generators
    watch_generators
    tell_shortfall
    end_servers
    if [[ $verify == yes ]]; then verify; fi
    summarize
    return "$shortfall"
}

main "$@"
