#!/usr/bin/env bash
# with-postgres.sh CMD…: run CMD with CARDEA_TEST_PG naming a PostgreSQL of its own: new, in a
# temporary folder, on loopback, as an unprivileged user; gone when CMD ends. Nothing is durable in it.
# A server named by CARDEA_TEST_PG already is used as it is.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || { echo "usage: with-postgres.sh CMD…" >&2; exit 2; }
[ -n "${CARDEA_TEST_PG:-}" ] && exec "$@"

bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || { echo "with-postgres: PostgreSQL is not installed: run \`make setup\`" >&2; exit 1; }

folder=$(mktemp -d /tmp/cardea-pg.XXXXXX)
stop() {
    [ -s "$folder/data/postmaster.pid" ] \
        && unprivileged postgres "$bin/pg_ctl" -D "$folder/data" -m immediate -w -t 20 stop >/dev/null 2>&1
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
[ "$(id -u)" = 0 ] && chown postgres:postgres "$folder"

(cd "$folder" && unprivileged postgres "$bin/initdb" -D data -U cardea --auth=trust --no-sync \
    --encoding=UTF8 --locale=C >"$folder/initdb.log" 2>&1) || { cat "$folder/initdb.log" >&2; exit 1; }

started=
for _ in 1 2 3 4 5; do
    port=$(free_port)
    if (cd "$folder" && unprivileged postgres "$bin/pg_ctl" -D data -l "$folder/data/log" -w -t 30 start -o \
        "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= -c max_connections=400 \
         -c shared_buffers=64MB -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
         -c autovacuum=off -c max_wal_size=512MB" >/dev/null 2>&1); then
        started=yes
        break
    fi
done
[ -n "$started" ] || { tail -20 "$folder/data/log" >&2; echo "with-postgres: the server did not start" >&2; exit 1; }

export CARDEA_TEST_PG="postgres://cardea@127.0.0.1:$port/postgres"
code=0
"$@" || code=$?
exit "$code"
