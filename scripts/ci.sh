#!/usr/bin/env bash
# ci.sh: set up, then format, lints, Rust tests and real clients, each a stage with one line.
# A stage that fails shows the end of its log (all of it: target/ci/) and the later ones still run.
# Ends with `N passed, N failed, N skipped` over all stages; exit code 0 only when nothing failed.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
export CARGO_TERM_COLOR=never CARGO_NET_RETRY=5 NO_COLOR=1
target=${CARGO_TARGET_DIR:-target}
logs=$target/ci
mkdir -p "$logs"
binary=$(realpath "$target")/debug/cardea
passed=0 failed=0 skipped=0 broken=()

# count LOG: the closing lines of nextest, cargo test, node's test runner and pytest, summed: `passed failed skipped`.
count() {
    awk '
        # nextest: Summary [ 1.2s] 10 tests run: 8 passed (1 slow), 1 failed, 1 timed out, 2 skipped
        /^ *Summary \[/ { words($0); next }
        # cargo test: test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out
        /^test result: /  { gsub(/ignored/, "skipped"); sub(/;[^;]*filtered out.*/, ""); words($0); next }
        # node: `# pass 3` or `ℹ pass 3`
        /^(#|ℹ) pass [0-9]+$/ { p += $3 }
        /^(#|ℹ) (fail|cancelled) [0-9]+$/ { f += $3 }
        /^(#|ℹ) (skipped|todo) [0-9]+$/ { s += $3 }
        # pytest -q: 1 failed, 5 passed, 1 skipped, 2 errors in 3.21s
        /^[0-9]+ (passed|failed|skipped|error|errors)[ ,].* in [0-9.]+s/ { words($0) }
        function words(line,   n, i, w) {
            n = split(line, w, /[ ,;()]+/)
            for (i = 1; i < n; i++) {
                if (w[i] !~ /^[0-9]+$/) continue
                if (w[i+1] == "passed") p += w[i]
                else if (w[i+1] ~ /^(failed|error|errors|timed)$/) f += w[i]
                else if (w[i+1] == "skipped") s += w[i]
            }
        }
        END { print p + 0, f + 0, s + 0 }
    ' "$1"
}

# stage NAME SECONDS CMD…: run CMD for at most that long.
stage() {
    local name=$1 limit=$2 log=$logs/$1.log start=$SECONDS code=0 p f s
    shift 2
    timeout --kill-after=30 "$limit" "$@" >"$log" 2>&1 </dev/null || code=$?
    read -r p f s < <(count "$log")
    # What failed without counting is one failure.
    [ "$code" != 0 ] && [ "$f" = 0 ] && f=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    local counts=
    [ $((p + f + s)) != 0 ] && counts="  $p passed, $f failed, $s skipped in it"
    if [ "$code" = 0 ]; then
        printf '%-14s ok      %4d s%s\n' "$name" $((SECONDS - start)) "$counts"
    else
        broken+=("$name")
        [ "$code" = 124 ] && echo "took longer than $limit s" >>"$log"
        printf '%-14s FAILED  %4d s%s\n' "$name" $((SECONDS - start)) "$counts"
        echo "---- end of $log"
        grep -vE '^ *(PASS|Compiling|Checking|Downloaded|Downloading) ' "$log" | tail -n "${CI_TAIL:-120}"
        echo "----"
    fi
    return "$code"
}

fetch() { . scripts/lib.sh; retry cargo fetch --locked; }
export -f fetch

rust_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        scripts/with-postgres.sh cargo nextest run --workspace --locked --profile ci
    else
        scripts/with-postgres.sh cargo test --workspace --locked --no-fail-fast
    fi
}
export -f rust_tests

begin=$SECONDS
if stage setup 900 bash -c 'scripts/setup.sh test && fetch'; then
    stage format 120 cargo fmt --all --check
    stage clippy 1500 cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
    if stage rust 2400 bash -c rust_tests || [ -x "$binary" ]; then
        for suite in $(scripts/e2e.sh --list); do
            stage "e2e-$suite" 300 env CARDEA_BIN="$binary" scripts/e2e.sh "$suite"
        done
    fi
fi
echo "logs: $logs · $((SECONDS - begin)) s${broken[*]:+ · failed: ${broken[*]}}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ ${#broken[@]} = 0 ] && [ "$passed" -gt 0 ]
