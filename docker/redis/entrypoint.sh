#!/bin/sh
# Options, with or without a leading `redis-server`, go to the server; any other command runs as is.
set -eu
if [ "${1:-}" = redis-server ]; then shift; fi
case "${1:--}" in
-*) exec redis-server --bind 0.0.0.0 --protected-mode no --save '' "$@" ;;
*) exec "$@" ;;
esac
