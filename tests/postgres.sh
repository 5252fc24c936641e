#!/bin/sh
# A PostgreSQL server of the tests' own: private directory, socket and port, a role that is not a superuser; under another user
# when run as root, which the server refuses.
#
#   tests/postgres.sh start        makes and starts a server in a new directory DIR; prints lines to eval:
#                                  PGDIR=DIR PGHOST=… PGPORT=… PGUSER=mlflow PGPASSWORD=…
#   tests/postgres.sh stop DIR     stops it and removes DIR
#   tests/postgres.sh resume DIR   starts it again after `halt`
#   tests/postgres.sh halt DIR     stops it, keeps DIR
#   tests/postgres.sh standby DIR  makes a hot standby of the running server in a new directory, with the same
#                                  roles and databases; prints STANDBY_DIR, STANDBY_HOST and STANDBY_PORT. `stop` it as any server.
#
# Role mlflow may create databases; role postgres is the superuser (no password over the socket: trust; over TCP: password).
set -eu

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n | tail -1)
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb)")
user=${MLRUNS_TOOLS_PG_USER:-postgres}

as_owner() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd / && exec setpriv --reuid="$user" --regid="$user" --clear-groups "$@")
    else
        (cd / && exec "$@")
    fi
}

# A port that nothing listens on, tried from a random start.
free_port() {
    python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

launch() {
    as_owner "$bin/pg_ctl" -D "$1/data" -l "$1/log" -w -t 60 start >/dev/null || {
        cat "$1/log" >&2
        exit 2
    }
}

case ${1-} in
start)
    # In /tmp whatever TMPDIR says: the other user must reach it, and a socket's path has at most 107 bytes.
    dir=$(mktemp -d /tmp/mlruns-tools-pg.XXXXXX)
    mkdir "$dir/socket"
    chmod 755 "$dir" "$dir/socket"
    [ "$(id -u)" -ne 0 ] || chown -R "$user" "$dir"
    as_owner "$bin/initdb" -D "$dir/data" -U postgres -E UTF8 --locale=C.UTF-8 -A trust >/dev/null
    port=$(free_port)
    password=mlflow-$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
    cat >>"$dir/data/postgresql.conf" <<CONF
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = '$dir/socket'
fsync = off
full_page_writes = off
synchronous_commit = off
max_connections = 60
shared_buffers = 64MB
CONF
    printf 'local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\n' >"$dir/data/pg_hba.conf"
    [ "$(id -u)" -ne 0 ] || chown "$user" "$dir/data/postgresql.conf" "$dir/data/pg_hba.conf"
    launch "$dir"
    as_owner "$bin/psql" -q -h "$dir/socket" -p "$port" -U postgres -d postgres -c "CREATE ROLE mlflow LOGIN CREATEDB PASSWORD '$password'" \
        -c "CREATE DATABASE mlflow OWNER mlflow" >/dev/null
    printf 'PGDIR=%s\nPGHOST=%s/socket\nPGPORT=%s\nPGUSER=mlflow\nPGPASSWORD=%s\n' "$dir" "$dir" "$port" "$password"
    ;;
stop)
    as_owner "$bin/pg_ctl" -D "$2/data" -m immediate -w stop >/dev/null 2>&1 || :
    rm -rf "$2"
    ;;
halt)
    as_owner "$bin/pg_ctl" -D "$2/data" -m fast -w stop >/dev/null
    ;;
resume)
    launch "$2"
    ;;
standby)
    dir=$(mktemp -d /tmp/mlruns-tools-pg.XXXXXX)
    mkdir "$dir/socket"
    chmod 755 "$dir" "$dir/socket"
    [ "$(id -u)" -ne 0 ] || chown -R "$user" "$dir"
    primary=$(sed -n 's/^port = //p' "$2/data/postgresql.conf")
    # -R writes standby.signal and how to reach the primary.
    as_owner "$bin/pg_basebackup" -D "$dir/data" -R -c fast -h "$2/socket" -p "$primary" -U postgres >/dev/null
    port=$(free_port)
    as_owner sh -c 'printf "port = %s\nunix_socket_directories = '"'%s'"'\n" "$1" "$2" >>"$3"' sh "$port" "$dir/socket" "$dir/data/postgresql.conf"
    launch "$dir"
    printf 'STANDBY_DIR=%s\nSTANDBY_HOST=%s/socket\nSTANDBY_PORT=%s\n' "$dir" "$dir" "$port"
    ;;
*)
    echo "usage: tests/postgres.sh start | stop|halt|resume|standby DIR" >&2
    exit 2
    ;;
esac
