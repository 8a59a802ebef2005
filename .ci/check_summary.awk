# Reads summary.json as `tools/summarize --json` prints it, one field a line, and fails
# unless it is of 4 servers and 4 clients that were answered in full.

# Counters of a server, latencies of a client: fields of a field of a list.
/^        / { next }

match($0, /"[a-z0-9_]+":/) {
    name = substr($0, RSTART + 1, RLENGTH - 3)
    value = substr($0, RSTART + RLENGTH + 1)
    sub(/,$/, "", value)
    if (value == "[") list = name
    if (value == "{" && /^  "/) list = name
    seen[list "." name]++
    sum[list "." name] += value
    least[list "." name] = seen[list "." name] == 1 || value + 0 < least[list "." name] ? value + 0 : least[list "." name]
    next
}
/^  [\]}],?$/ { list = "" }

END {
    times(1, "", "total_ops_per_s answered_ops_per_s order workload theta")
    times(4, "servers", "name median_ops_per_s cpu_pct mem_pct net_pct")
    times(4, "clients", "name ops_per_s retransmits indeterminate p50_us p99_us p999_us")
    check(sum[".total_ops_per_s"] > 0, "total_ops_per_s is more than 0")
    difference = sum[".answered_ops_per_s"] - sum["clients.ops_per_s"]
    check(difference < 1 && difference > -1, "answered is what clients were answered")
    check(least["servers.median_ops_per_s"] > 0, "every server did something")
    check(least["clients.ops_per_s"] > 0, "every client did something")
    check(least["clients.p50_us"] > 0, "latencies are measured")
    check(sum["clients.indeterminate"] == 0, "nothing is indeterminate")
    if (failed) exit 1
    printf "summary.json is sound: total %.0f op/s, answered %.0f op/s\n", sum[".total_ops_per_s"], sum[".answered_ops_per_s"]
}

function times(count, list, names,    split_names, n) {
    for (n = split(names, split_names, " "); n > 0; n--)
        check(seen[list "." split_names[n]] == count, list "." split_names[n] " is there " count " times")
}

function check(holds, what) {
    if (holds) return
    print "summary.json: not so: " what > "/dev/stderr"
    failed = 1
}
