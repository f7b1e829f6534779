#!/usr/bin/env bash
# A testnet on this machine: nodes that mine with real proof of work, and gossip
# with each other over WebSocket on loopback. Its network is made from `testnet` by a
# chainspec of its own, whose difficulty to begin with fits this machine.
#
#   run [N]        up, then a payment between two wallets; runs until Ctrl-C
#   check [N]      up, then a payment between two wallets, then down
#   up [N]         start N nodes (3) and two wallets
#   status         tip, height and UTXO hash of every node
#   send [AMOUNT]  pay AMOUNT coins (1.5) from alice to bob
#   partition      cut the connections between node 1 and the others
#   heal           connect them again
#   kill I         stop node I at once, as a crash would (SIGKILL)
#   start I        start node I again
#   logs I         follow the log of node I
#   down           stop all nodes; their data stays
#
# LODE is the program (./lode), DATA the directory (testnet/data), PORT the
# first port (29500).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
LODE=${LODE:-$(dirname "$here")/lode}
DATA=${DATA:-$here/data}
PORT=${PORT:-29500}

die() { echo "testnet.sh: $*" >&2; exit 1; }
dir() { echo "$DATA/node$1"; }
peer_port() { echo $((PORT + 2 * $1)); }
rpc_port() { echo $((PORT + 2 * $1 + 1)); }
url() { echo "ws://127.0.0.1:$(peer_port "$1")"; }
nodes() { for d in "$DATA"/node*; do [ -d "$d" ] && echo "${d##*node}"; done | sort -n; }
live() { local i; for i in $(nodes); do if running "$i"; then echo "$i"; fi; done; }
running() { local p; p=$(cat "$(dir "$1")/pid" 2>/dev/null) && kill -0 "$p" 2>/dev/null; }
NETWORK=$DATA/local.json
rpc() { local i=$1; shift; "$LODE" rpc --network "$NETWORK" --datadir "$(dir "$i")" "$@"; }
wallet() { # wallet NAME COMMAND...: alice lives beside node 1, bob beside node 2
	local name=$1 node=1; shift
	[ "$name" = alice ] || node=2
	[ -d "$(dir $node)" ] || node=1
	LODE_WALLET_PASSPHRASE= "$LODE" wallet --network "$NETWORK" --datadir "$(dir $node)" \
		--wallet "$DATA/$name.age" --passphrase-file "$DATA/passphrase" "$@"
}
coins() { local s=$1; printf '%d.%08d' $((s / 100000000)) $((s % 100000000)); }
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }
say() { printf '%s\n' "$@"; }

# make_network writes the chainspec: testnet with a name, a magic, a prefix and ports of
# its own, and with a limit that $1 threads take about 5 seconds for. The first blocks
# are as difficult as the limit.
make_network() {
	local rate bits mantissa size=30 scale=40 cores
	cores=$(getconf _NPROCESSORS_ONLN)
	rate=$("$LODE" mine --benchmark --seconds 0.3 --threads $(($1 < cores ? $1 : cores)) --json | tr ',' '\n' | field hashes_per_second)
	rate=$(printf '%.0f' "$rate")
	mantissa=$(((1 << scale) / (rate * 5 + 1))) # of the target in compact form: 2^256 / hashes
	while [ "$mantissa" -lt $((0x8000)) ]; do
		scale=$((scale + 8)) size=$((size - 1))
		mantissa=$(((1 << scale) / (rate * 5 + 1)))
	done
	[ "$mantissa" -le $((0x7fffff)) ] || mantissa=$((0x7fffff))
	bits=$(printf '%02x%06x' "$size" "$mantissa")
	"$LODE" chain spec --network testnet | sed -e '/"genesis":/d' -e 's/"name": "testnet"/"name": "local"/' \
		-e 's/"pow_limit": "[0-9a-f]*"/"pow_limit": "'"$bits"'"/' -e 's/"magic": "[0-9a-f]*"/"magic": "10ca1bed"/' \
		-e 's/"address_prefix": "[a-z]*"/"address_prefix": "local"/' \
		-e 's/"websocket": [0-9]*/"websocket": '"$PORT"'/' -e 's/"rpc": [0-9]*/"rpc": '$((PORT + 1))'/' >"$DATA/draft.json"
	say "Making a network of its own, with a block about every 5 seconds at $((rate / 1000000)) MH/s."
	"$LODE" chain spec --mine "$DATA/draft.json" >"$NETWORK.new" || die "cannot make the chainspec from $DATA/draft.json"
	mv "$NETWORK.new" "$NETWORK"
	rm "$DATA/draft.json"
}

# start_node gives the node a process group of its own: Ctrl-C on the terminal is for
# this script, which stops the nodes in its own time. A TERM between the two lines
# would leave a node that nobody knows.
start_node() {
	local i=$1 address late=
	running "$i" && die "node $i is running already"
	mkdir -p "$(dir "$i")"
	address=$(wallet alice address 2>/dev/null) || die "cannot read the wallet of alice" # it warns that no node answers yet
	trap 'late=1' TERM
	set -m
	"$LODE" node --network "$NETWORK" --datadir "$(dir "$i")" --outbound 0 \
		--listen "127.0.0.1:$(peer_port "$i")" --rpc-listen "127.0.0.1:$(rpc_port "$i")" \
		--mine "$address" --threads 1 </dev/null >>"$(dir "$i")/node.log" 2>&1 &
	echo $! >"$(dir "$i")/pid"
	set +m
	disown
	trap - TERM
	[ -z "$late" ] || exit 1
	for _ in $(seq 600); do
		rpc "$i" getblockcount >/dev/null 2>&1 && return
		running "$i" || { tail -n 3 "$(dir "$i")/node.log" >&2; die "node $i did not start, see $(dir "$i")/node.log"; }
		sleep 0.1
	done
	die "node $i does not answer, see $(dir "$i")/node.log"
}

connect_all() {
	local i j
	for i in $(live); do for j in $(live); do
		if [ "$i" -lt "$j" ]; then rpc "$i" addnode "$(url "$j")" add >/dev/null 2>&1 || true; fi
	done; done
}

up() {
	local n=${1:-3} i
	[[ $n =~ ^[1-9][0-9]?$ ]] || die "up: want a number of nodes from 1 to 99, not '$n'"
	[ -x "$LODE" ] || die "there is no $LODE: run 'make build' first"
	mkdir -p "$DATA"
	if [ ! -s "$DATA/passphrase" ]; then
		(umask 077; head -c 18 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$DATA/passphrase")
	fi
	for i in $(seq "$n"); do mkdir -p "$(dir "$i")"; done
	[ -s "$NETWORK" ] || make_network "$n"
	for i in alice bob; do
		[ -e "$DATA/$i.age" ] || wallet "$i" create --json >/dev/null || die "cannot make the wallet of $i"
	done
	for i in $(seq "$n"); do running "$i" || start_node "$i"; done
	connect_all
	say "$n nodes are running: their data and logs are in $DATA/node1 to node$n"
}

stop_node() {
	local i=$1 signal=$2 p
	p=$(cat "$(dir "$i")/pid" 2>/dev/null) || return 0
	if kill -"$signal" "$p" 2>/dev/null; then
		for _ in $(seq 600); do kill -0 "$p" 2>/dev/null || break; sleep 0.1; done
	fi
	rm -f "$(dir "$i")/pid"
}

down() {
	local i
	for i in $(nodes); do if running "$i"; then kill -TERM "$(cat "$(dir "$i")/pid")" || true; fi; done
	for i in $(nodes); do stop_node "$i" TERM; done
}

# row describes node I as it is at one instant.
row() {
	local info
	info=$(rpc "$1" gettxoutsetinfo) || return 1
	printf '%-5s %-8s %-66s %s\n' "$1" "$(field height <<<"$info")" "$(field bestblock <<<"$info")" "$(field hash_serialized_3 <<<"$info")"
}
heading() { printf '%-5s %-8s %-66s %s\n' node height tip "UTXO hash"; }

status() {
	local i
	heading
	for i in $(nodes); do
		if running "$i"; then row "$i"; else printf '%-5s not running\n' "$i"; fi
	done
}

# agreed says whether all nodes have one tip and one UTXO set, at least at height
# $1, and keeps their rows in rows.
agreed() {
	local i this first=""
	rows=$(heading)
	for i in $(live); do
		this=$(row "$i") || return 1
		rows+=$'\n'$this
		read -r _ height this <<<"$this"
		[ "$height" -ge "$1" ] || return 1
		[ -z "$first" ] || [ "$this" = "$first" ] || return 1
		first=$this
	done
}

wait_for() { # wait_for SECONDS WHAT COMMAND...
	local seconds=$1 what=$2 end; shift 2
	end=$((SECONDS + seconds))
	until "$@"; do
		[ $SECONDS -lt $end ] || die "gave up after $seconds s waiting for $what; the logs are in $DATA"
		sleep 0.3
	done
}

mature() { [ "$(wallet alice balance --json | field confirmed)" -ge 200000000 ]; }

# confirmed: every node has the payment in a block of its active chain.
confirmed() {
	local i; for i in $(live); do
		rpc "$i" getmempoolentry "$1" >/dev/null 2>&1 && return 1
		[ -n "$(rpc "$i" gettxout "$1" 0)$(rpc "$i" gettxout "$1" 1)" ] || return 1
	done
}

send() {
	local amount=${1:-1.5}
	wallet alice send --to "$(wallet bob address)" --amount "$amount" --yes --json
}

demo() {
	local n=$1 payment txid before after rows height
	say "Waiting until alice has a mature coinbase: 7 blocks of about 5 seconds."
	wait_for 600 "a mature coinbase" mature
	before=$(wallet bob balance --json)
	payment=$(send 1.5)
	txid=$(field txid <<<"$payment")
	say "alice pays bob 1.5 coins for a fee of $(field fee <<<"$payment") sat: $txid"
	wait_for 300 "the payment to be confirmed" confirmed "$txid"
	wait_for 300 "all nodes to agree" agreed "$(rpc 1 getblockcount)"
	say "" "The payment is confirmed on all $n nodes, which have one tip and one UTXO set:" "$rows"
	after=$(wallet bob balance --json)
	say "" "bob had $(coins "$(field confirmed <<<"$before")") coins before; now he has $(coins "$(field confirmed <<<"$after")"). His history:"
	wallet bob history | sed 's/^/  /'
}

explain() {
	local i
	say "" "What is where:"
	for i in $(live); do
		say "  node $i    peers $(url "$i")/p2p   RPC http://127.0.0.1:$(rpc_port "$i")   log $(dir "$i")/node.log"
	done
	say "  alice     $(wallet alice address)   $DATA/alice.age" "  bob       $(wallet bob address)   $DATA/bob.age" \
		"  their passphrase is in $DATA/passphrase" "" \
		"Try, from another terminal:" "  $0 status" "  $0 send 0.25" "  $LODE rpc --network $NETWORK --datadir $(dir 1) getblockchaininfo"
}

# run leaves the work to a process group of its own, so that Ctrl-C, which the terminal
# sends to this script, interrupts nothing half-way: finish ends the work first, and
# then stops the nodes. What the work says of being interrupted nobody wants to read.
run() {
	mkdir -p "$DATA"
	worker=
	trap finish INT TERM HUP
	trap 'down' EXIT
	set -m
	(trap - INT HUP EXIT; up "${1:-3}"; demo "${1:-3}"; explain) </dev/null 2>"$DATA/run.errors" &
	worker=$!
	set +m
	if ! wait "$worker"; then
		cat "$DATA/run.errors" >&2
		exit 1
	fi
	say "" "The testnet keeps running. Ctrl-C stops it."
	while :; do sleep 1; done
}

finish() {
	trap '' INT TERM HUP
	trap - EXIT
	say "" "Stopping the nodes."
	while [ -n "$worker" ] && kill -TERM -- "-$worker" 2>/dev/null; do sleep 0.1; done
	down
	say "Stopped. The data is in $DATA; make clean removes it."
	exit 0
}

check() {
	trap 'down' EXIT
	up "${1:-3}"
	demo "${1:-3}"
}

partition() {
	local j; for j in $(live); do
		[ "$j" -eq 1 ] && continue
		rpc 1 addnode "$(url "$j")" remove >/dev/null
		rpc 1 disconnectnode "$(url "$j")" >/dev/null 2>&1 || true
	done
	say "node 1 is cut off from the others"
}

command=${1:-help}
[ $# -gt 0 ] && shift
case $command in
run | check | up | status | send | partition | down) "$command" "$@" ;;
heal) connect_all ;;
kill) stop_node "${1:?which node?}" KILL ;;
start) start_node "${1:?which node?}"; connect_all ;;
logs) tail -n 50 -f "$(dir "${1:?which node?}")/node.log" ;;
help | -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" ;;
*) die "unknown command '$command'; see $0 help" ;;
esac
