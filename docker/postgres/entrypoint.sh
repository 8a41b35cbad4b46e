#!/bin/sh
# Options, with or without a leading `postgres`, go to the server, whose data are made before its first start;
# any other command runs as is.
set -eu
if [ "${1:-}" = postgres ]; then shift; fi
case "${1:--}" in
-*) ;;
*) exec "$@" ;;
esac

# Whole or not at all, should it be killed meanwhile.
make_data() {
    method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    if [ "$method" != trust ] && [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo 'POSTGRES_PASSWORD is not set, and POSTGRES_HOST_AUTH_METHOD is not trust' >&2
        exit 1
    fi
    rm -rf "$new"
    if [ "$method" = trust ] && [ -z "${POSTGRES_PASSWORD:-}" ] && [ -e "$open" ]; then
        cp -a "$open" "$new"
        mv "$new" "$PGDATA"
        return
    fi
    set -- --pgdata="$new" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync
    if [ -n "${POSTGRES_PASSWORD:-}" ]; then
        (umask 077 && printf '%s\n' "$POSTGRES_PASSWORD" >"$new.password")
        set -- "$@" --pwfile="$new.password"
    fi
    initdb "$@"
    rm -f "$new.password"
    # initdb has let in this container only.
    printf 'host all all all %s\n' "$method" >>"$new/pg_hba.conf"
    mv "$new" "$PGDATA"
}

# Made with the image.
open=/var/lib/postgresql/open
new=$PGDATA.new
if [ ! -e "$PGDATA" ]; then make_data; fi
exec postgres -c listen_addresses='*' "$@"
