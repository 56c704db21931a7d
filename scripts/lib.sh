# Sourced by the scripts beside it.

# retry CMD…: networks fail; a few more tries, with growing pauses.
retry() {
    local pause
    for pause in 3 10 30; do
        "$@" && return 0
        echo "retry: \`$1\` failed, again in ${pause} s" >&2
        sleep "$pause"
    done
    "$@"
}

# as_root CMD…: directly when we are root, else by sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        echo "setup: \`$*\` must run as root: log in as root, or install sudo" >&2
        return 1
    fi
}

# unprivileged USER CMD…: servers refuse to run as root, rightly.
unprivileged() {
    local user=$1
    shift
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid="$user" --regid="$user" --clear-groups -- "$@"
    else
        "$@"
    fi
}

# free_port: one that nobody listens on now; whoever uses it tries again when that changed.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
