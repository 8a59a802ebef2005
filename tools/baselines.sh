#!/usr/bin/env bash
# Installs what tools/compare compares the store with: Debian's memcached and redis-server, and
# its valkey-server where there is one.
# They are not started here, nor as services: compare starts its own.
set -euo pipefail

fail() {
    printf 'baselines.sh: error: %s\n' "$*" >&2
    exit 2
}

if [[ ${1-} == --help || ${1-} == -h ]]; then
    printf 'usage: tools/baselines.sh\n\nInstalls memcached, redis-server and, where Debian has it, valkey-server with apt-get, which only\nroot can.\n'
    exit 0
fi
(($# == 0)) || fail "unexpected argument '$1' (see 'tools/baselines.sh --help')"

# Debian has Valkey since its 13th release.
packages=(memcached redis-server)
missing=()
look_for_packages() {
    if apt-cache show valkey-server >/dev/null 2>&1; then packages[2]=valkey-server; fi
    missing=()
    local package
    for package in "${packages[@]}"; do
        if ! command -v "$package" >/dev/null; then missing+=("$package"); fi
    done
}
look_for_packages
if ((${#missing[@]} == 0)); then
    echo "installed already: ${packages[*]}"
    exit 0
fi
command -v apt-get >/dev/null ||
    fail "no apt-get here: install ${missing[*]} as this system does, and have them on PATH"
((EUID == 0)) || fail "only root can install packages: sudo apt-get install ${missing[*]}"

# Their packages would start them as services, which would take turns with what is measured:
# a policy that says no keeps them from it, unless there is one already.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f -- "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
look_for_packages
apt-get install -y -qq --no-install-recommends "${missing[@]}"
# Not started now, but they would be at the next boot.
if command -v systemctl >/dev/null; then
    for package in "${missing[@]}"; do systemctl disable "$package" >/dev/null 2>&1 || true; done
fi
echo "installed: ${missing[*]}"
