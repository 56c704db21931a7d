#!/usr/bin/env bash
# e2e.sh [SUITE…]: real clients against the real binary; without names, all suites.
# `apart` is the relying parties again, with identity and gateway in processes of their own on PostgreSQL.
# e2e.sh --list names them. CARDEA_BIN is the binary; without it, the debug build is made first.
set -euo pipefail
cd "$(dirname "$0")/.."
suites=$(for file in e2e/suites/*.test.mjs e2e/suites/*_test.py; do
    [ -e "$file" ] && basename "$file" | sed -E 's/(\.test\.mjs|_test\.py)$//'
done | sort)$'\n'apart
[ "${1:-}" = --list ] && { echo "$suites"; exit 0; }

if [ -z "${CARDEA_BIN:-}" ]; then
    cargo build --workspace --bin cardea --quiet
    target=${CARGO_TARGET_DIR:-target}
    export CARDEA_BIN="$(realpath "$target")/debug/cardea"
fi
[ -x "$CARDEA_BIN" ] || { echo "e2e: no binary at $CARDEA_BIN" >&2; exit 1; }

code=0
for suite in ${@:-$suites}; do
    if [ "$suite" = apart ]; then
        E2E_ROLES=apart scripts/with-postgres.sh node --test --test-reporter=spec e2e/suites/{oauth4webapi,openid-client}.test.mjs || code=1
    elif [ -e "e2e/suites/$suite.test.mjs" ]; then
        node --test --test-reporter=spec "e2e/suites/$suite.test.mjs" || code=1
    elif [ -e "e2e/suites/${suite}_test.py" ]; then
        e2e/.venv/bin/python -m pytest -q --no-header -p no:cacheprovider -W ignore::DeprecationWarning "e2e/suites/${suite}_test.py" || code=1
    else
        echo "e2e: no suite \`$suite\`; there are: $(echo $suites)" >&2
        exit 2
    fi
done
exit "$code"
