#!/usr/bin/env bash
# `lode testnet` for whoever has the source: it builds Lode, and passes its words on.
# The networks are in testnet/data, or in DATA. PORT is the first port of a new one,
# LODE a program that is there already.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
export LODE_TESTNETS=${DATA:-$here/data}
if [ -z "${LODE:-}" ]; then
	LODE=$top/lode
	(cd "$top" && "${GO:-go}" build -trimpath -o lode .)
fi
if [ -n "${PORT:-}" ]; then
	export LODE_TESTNET_PORT=$PORT
fi
exec "$LODE" testnet "$@"
