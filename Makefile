# Lode is one Go program; everything here is a short way to say something that
# the Go tools do. `make help` lists it.

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
N           ?= 3
FUZZTIME    ?= 10s
CASES       ?= 100000
KILLS       ?= 200
ROUNDS      ?= 3
BENCH_FILE  ?=
BITCOIND    ?=
SECONDS     ?= 600
DAMAGES     ?= 1000
DEPTH       ?= 1000
SEEDS       ?= 1000
PAYMENTS    ?= 1000
BITCOIND    ?= bitcoind
BTCD        := github.com/btcsuite/btcd@v0.26.2

.PHONY: help btcwallet build test race check lint fuzz oracle psbt-oracle interop interop-js lnd crash faults damages reorg bench bench-import bench-net bench-stratum simulate flood attack wallet-histories musig messages age generate generated arm64 testnet clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build ./lode
	$(GO) build -trimpath -o lode .

test: ## run the tests that users run (under three minutes)
	$(GO) test -timeout 30m ./...

# Not of the built binary, which is without the detector, nor where nothing runs side by side.
race: ## run the tests with the race detector
	$(GO) test -race -short -timeout 30m $$($(GO) list ./... | grep -v -E '^lode/(testnet|testnet/attack|consensus/oracle)$$')

check: ## run the tests of the rules and the ledger with what must hold asserted at every step, and count what may be done only once
	$(GO) test -tags check -timeout 30m ./consensus ./chain ./mempool
	$(GO) test -tags check -timeout 30m ./p2p -run TestSyncChecksBlocksOnce

lint: ## format check, go vet (for Windows and 32 bits, too), staticcheck
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not formatted:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags check ./consensus ./chain ./mempool ./p2p
	@for system in windows/amd64 linux/386; do echo "build and vet for $$system"; \
		GOOS=$${system%/*} GOARCH=$${system#*/} $(GO) build ./... && GOOS=$${system%/*} GOARCH=$${system#*/} $(GO) vet ./... || exit 1; done
	$(GO) run $(STATICCHECK) ./...

generate: ## write the assembly of the SHA-256d kernels anew
	$(GO) generate ./miner/kernel

generated: ## check that the assembly is what its generator writes
	@set -e; d=$$(mktemp -d); trap 'rm -rf "$$d"' EXIT; $(GO) run -C miner/kernel/gen . "$$d"; \
	test $$(ls "$$d" | wc -l) -eq $$(cd miner/kernel && ls *_amd64.s *_arm64.s *_stub_*.go | wc -l); \
	for f in "$$d"/*; do cmp "$$f" miner/kernel/$$(basename "$$f"); done

arm64: ## test the kernels for arm64, on another CPU with qemu-aarch64 (Debian: qemu-user)
	GOARCH=arm64 CI=true $(GO) test -exec "$$(test $$(uname -m) = aarch64 || echo qemu-aarch64 -cpu max)" ./miner/kernel -rapid.checks 30

# Each package is built once for all its targets. Go's fuzzer sometimes takes its
# own end for a failure (golang/go#75804). Then that is all it says, and it has
# written no failing input.
fuzz: ## run every fuzz target for FUZZTIME (10s)
	@set -e; d=$$(mktemp -d); trap 'rm -rf "$$d"' EXIT; cache=$$($(GO) env GOCACHE)/fuzz; \
	for p in $$(git grep -lE '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
		$(GO) test -c -fuzz=. -o "$$d/fuzz" ./$$p; cd $$p; \
		for t in $$("$$d/fuzz" -test.list '^Fuzz'); do \
			echo "$$p $$t"; before=$$(ls testdata/fuzz/$$t 2>/dev/null | wc -l); \
			if "$$d/fuzz" -test.run '^$$' -test.fuzz "^$$t$$" -test.fuzztime $(FUZZTIME) -test.fuzzminimizetime 10x \
				-test.fuzzcachedir "$$cache/lode/$$p" >"$$d/log" 2>&1; then tail -1 "$$d/log"; continue; fi; \
			cat "$$d/log"; grep -qx '    context deadline exceeded' "$$d/log" && [ $$(grep -c 'FAIL: ' "$$d/log") = 1 ] && \
				[ $$(ls testdata/fuzz/$$t 2>/dev/null | wc -l) = $$before ] || exit 1; \
			echo "no finding: only the end of the time"; done; \
		cd - >/dev/null; done

oracle: ## compare CASES (100000) mutated transactions and blocks with btcd's verdicts
	$(GO) test ./consensus/oracle -run Oracle -count 1 -timeout 30m -oracle.n=$(CASES) -v

lnd: ## let the lnd that LND names use a node as its bitcoind
	go test ./testnet -run TestLND -count 1 -timeout 30m -v

interop: ## let Lode and btcd (installed for the while) follow each other over TCP
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; GOBIN="$$dir" $(GO) install $(BTCD) && \
		BTCD="$$dir/btcd" $(GO) test ./testnet -run '^Test(Interop|Core)$$' -count 1 -v

btcwallet: ## let btcwallet's chain client use a node as its bitcoind
	$(GO) test -C testnet/btcwallet -count 1 -timeout 30m -v .

.PHONY: neutrino
neutrino: ## let neutrino, the light client of LND, sync from a node, rescan, pay and see a reorganization
	$(GO) test -C testnet/neutrino -count 1 -timeout 30m -v .

psbt-oracle: ## compare PSBTs, and 20,000 mutated ones, with what btcutil's psbt says of them
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; $(GO) build -C wallet/psbt/oracle -o "$$dir/oracle" . && \
		PSBT_ORACLE="$$dir/oracle" $(GO) test ./wallet/psbt -run '^TestOracle$$' -count 1 -v

interop-js: ## let bitcoinjs-lib (from npm, for the while) sign one input of a PSBT and Lode the other
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; cp testnet/bitcoinjs/*.json testnet/bitcoinjs/*.mjs "$$dir" && \
		npm ci --prefix "$$dir" --ignore-scripts --no-audit --no-fund && \
		BITCOINJS="$$dir" $(GO) test ./testnet -run '^TestBitcoinJS$$' -count 1 -v

.PHONY: interop-wallets
interop-wallets: ## let clients of Electrum's protocol and of Esplora (from npm, for the while) ask a node
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; cp testnet/walletclients/*.json testnet/walletclients/*.mjs "$$dir" && \
		npm ci --prefix "$$dir" --ignore-scripts --no-audit --no-fund && \
		WALLET_CLIENTS="$$dir" $(GO) test ./testnet -run '^TestWalletClients$$' -count 1 -v

beside-core: ## let BITCOIND and Lode hold the same wallets through PAYMENTS (1000) payments
	BITCOIND="$(BITCOIND)" LODE_TEST_PAYMENTS=$(PAYMENTS) $(GO) test ./rpc/walletrpc -run '^TestBesideCore$$' -count 1 -timeout 2h -v

crash: ## kill the real binary KILLS (200) times; CRASH_SEED=N repeats what was random
	CRASH_KILLS=$(KILLS) $(GO) test ./testnet -run '^TestCrash' -count 1 -timeout 2h -v

faults: ## let ledgers crash on failing disks for SECONDS (600)
	LODE_TEST_FAULT_SECONDS=$(SECONDS) LODE_TEST_FAULT_SEED=$$(date +%s) $(GO) test ./chain -run 'TestFaults$$' -count 1 -timeout 0 -v

damages: ## damage what a ledger stores in DAMAGES (1000) places, and ask for it
	LODE_TEST_DAMAGES=$(DAMAGES) $(GO) test ./chain -run 'TestServedIsRight$$' -count 1 -v

reorg: ## reorganize DEPTH (1000) blocks of 400 transactions and back, and look at the memory
	LODE_TEST_REORG=$(DEPTH) $(GO) test ./chain -run 'TestDeepReorg$$' -count 1 -timeout 0 -v

wallet-histories: ## hold wallets to the ledger through SEEDS (1000) histories of sends, reorgs, kills and restores
	LODE_TEST_WALLET_SEEDS=$(SEEDS) $(GO) test ./wallet -run 'Test(AnyHistory|SilentHistories)$$' -count 1 -timeout 0 -v | grep -v -e '--- PASS: TestAnyHistory/' -e '=== RUN'

.PHONY: page
page: ## let a browser (CHROMIUM, Debian's chromium) watch the pages of a node and of a testnet while blocks, payments and reorganizations happen
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$$dir" axe-core@4.10.3 >/dev/null && \
		LODE_TEST_AXE="$$dir/node_modules/axe-core/axe.min.js" \
		LODE_TEST_CHROMIUM="$$(command -v $(or $(CHROMIUM),chromium))" $(GO) test ./rpc/web ./testnet -run 'Page' -count 1 -timeout 20m -v

.PHONY: zmq
zmq: ## let a subscriber of libzmq (Debian: python3-zmq; PYTHON=FILE) hear what is published
	LODE_TEST_ZMQ="$(or $(PYTHON),/usr/bin/python3)" $(GO) test ./rpc/zmq -count 1 -v

.PHONY: wallet-payments
wallet-payments: ## let two wallets pay each other 500 times under mining and reorganizations
	LODE_TEST_WALLET_PAYMENTS=500 $(GO) test ./wallet -run 'TestTwoWalletsPayEachOther$$' -count 1 -timeout 0 -v

messages: ## let bip322-js (npm, installed for the while) verify signed messages
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$$dir" bip322-js@3.0.0 >/dev/null && \
		LODE_TEST_NODE_MODULES="$$dir/node_modules" $(GO) test ./wallet/message -run 'TestLibraryVerifies$$' -count 1 -v

age: ## let the age tool (installed for the while) open the file of a wallet
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; GOBIN="$$dir" $(GO) install filippo.io/age/cmd/age@v1.3.2 && \
		LODE_TEST_AGE="$$dir/age" $(GO) test . -run 'TestAgeOpensTheWallet$$' -count 1 -v

musig: ## let owners of one account sign with the real binary; BITCOIND=PROGRAM has Bitcoin Core be one of them
	LODE_TEST_MUSIG=1 BITCOIND='$(BITCOIND)' $(GO) test ./testnet -run 'MuSig' -count 1 -timeout 30m -v

bench: ## run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-import: ## compare the import with a sync from peers, with btcd's and with btcec alone, in ROUNDS (3) rounds; BENCH_FILE=F imports F
	$(GO) run ./testnet/benchimport -rounds $(ROUNDS) -file '$(BENCH_FILE)'

bench-stratum: ## load a pool with 1,000 connections and 10,000 shares a second, and time its jobs
	@d=$$(mktemp -d); trap 'rm -rf "$$d"' EXIT; $(GO) build -o "$$d/bench" ./testnet/benchstratum && "$$d/bench"

bench-net: ## simulate how blocks spread and how chains are fetched, in virtual time, in ROUNDS (3) networks
	$(GO) test ./testnet/netsim -run 'PropagationTable|Download' -count 1 -timeout 1h -v -netsim.bench $(ROUNDS)

simulate: ## pass blocks through 100 simulated nodes, within the limits of time and bytes
	$(GO) test ./testnet/netsim -run 'TestPropagation$$' -count 1 -timeout 30m -v -netsim.full

flood: ## have one peer send a mempool 100,000 bad transactions, compare more templates with ancestor score, and have peers send a node 900,000 headers without blocks
	$(GO) test ./mempool -run 'Flood|TemplateFees' -count 1 -timeout 30m -v -flood.n=100000 -template.cases=100
	LODE_TEST_FLOOD=90 $(GO) test ./p2p -run 'TestFloodOfHeadersOnDisk$$' -count 1 -timeout 30m -v

attack: ## let strangers attack the real binary, its RPC and its pool over loopback with full numbers, and judge by the bounds for a quiet machine
	$(GO) test ./testnet/attack -count 1 -timeout 30m -v -attack.full
	LODE_TEST_ATTACK=1 $(GO) test ./rpc ./miner/stratum -run 'TestIdleConnectionsAndGuesses|TestSilentSockets' -count 1 -timeout 30m -v

testnet: ## run a testnet of three mining nodes and a payment, until Ctrl-C (N=5 for five)
	testnet/testnet.sh run $(N)

.PHONY: chart
chart: ## render the Helm chart for 3, 30 and 300 nodes with helm (built for the while), and decode its objects strictly
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; GOBIN="$$dir" $(GO) install helm.sh/helm/v3/cmd/helm@v3.18.4 && \
		HELM="$$dir/helm" $(GO) test -C testnet/deploy -count 1 -v .

.PHONY: testnet-scenarios
testnet-scenarios: ## cut, reorganize and attack networks of real processes (SCENARIO=Majority for one of them)
	LODE_TEST_SCENARIOS=1 $(GO) test ./testnet -run 'TestScenario$(SCENARIO)' -count 1 -parallel 4 -timeout 40m -v

clean: ## remove what was built and the testnet's data
	if [ -e testnet/data/local/testnet.json ]; then testnet/testnet.sh down; fi
	rm -rf lode testnet/data
