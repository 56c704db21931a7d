#!/usr/bin/env bash
# setup.sh [build|test|bench|all]: install what is missing, and say nothing when all is there.
# Debian packages by apt-get, npm clients into e2e/node_modules, PyPI clients into e2e/.venv.
# No service is left running: tests start their own servers, unprivileged, on free ports.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
want=${1:-all}

build_packages=(gcc libc6-dev make)
test_packages=(
    git curl postgresql procps openssl python3 python3-venv
    nginx libnginx-mod-http-js apache2-bin libapache2-mod-auth-openidc
    chromium fonts-dejavu-core
)
bench_packages=(nginx wrk python3)

packages() {
    local missing=() package stopped_by_us=
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    echo "setup: apt-get install ${missing[*]}"

    # Debian starts what it installs; this file says no, as long as we install.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
        as_root chmod 755 /usr/sbin/policy-rc.d
        stopped_by_us=yes
    fi
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    local ok=yes
    { retry as_root "${apt[@]}" update && retry as_root "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1 || ok=
    [ -n "$stopped_by_us" ] && as_root rm -f /usr/sbin/policy-rc.d
    if [ -z "$ok" ]; then
        tail -30 "$log" >&2
        echo "setup: apt-get could not install ${missing[*]}" >&2
        return 1
    fi
    # Nor at the next boot: only what was not there before us.
    if [ -d /run/systemd/system ]; then
        for package in "${missing[@]}"; do
            case $package in nginx | postgresql) as_root systemctl disable --quiet "$package" || true ;; esac
        done
    fi
}

# stamped FOLDER FILE… -- CMD…: run CMD when FOLDER was not made from these FILEs.
stamped() {
    local folder=$1 files=() sum
    shift
    while [ "$1" != -- ]; do files+=("$1"); shift; done
    shift
    sum=$(cat "${files[@]}" | sha256sum)
    [ "$(cat "$folder/.made-from" 2>/dev/null)" = "$sum" ] && return 0
    rm -rf "$folder"
    "$@" >"$log" 2>&1 || { tail -30 "$log" >&2; echo "setup: \`$*\` failed" >&2; return 1; }
    echo "$sum" >"$folder/.made-from"
}

npm_clients() {
    echo "setup: npm clients for e2e" >&3
    retry npm --prefix e2e ci --ignore-scripts --no-audit --no-fund
}

pypi_clients() {
    echo "setup: PyPI clients for e2e" >&3
    python3 -m venv e2e/.venv
    retry e2e/.venv/bin/pip install --quiet --disable-pip-version-check -r e2e/requirements.txt
}

log=$(mktemp)
exec 3>&1
trap 'rm -f "$log"' EXIT

command -v cargo >/dev/null || {
    echo "setup: no \`cargo\` on the PATH: install a Rust toolchain (1.90 or newer) first" >&2
    exit 1
}
case $want in
    build) packages "${build_packages[@]}" ;;
    bench) packages "${build_packages[@]}" "${bench_packages[@]}" ;;
    test) packages "${build_packages[@]}" "${test_packages[@]}" ;;
    all) packages "${build_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}" ;;
    *) echo "usage: setup.sh [build|test|bench|all]" >&2; exit 2 ;;
esac
if [ "$want" = test ] || [ "$want" = all ]; then
    command -v npm >/dev/null || packages nodejs npm
    stamped e2e/node_modules e2e/package.json e2e/package-lock.json -- npm_clients
    stamped e2e/.venv e2e/requirements.txt -- pypi_clients
fi
