# Lode is one Go program; everything here is a short way to say something that
# the Go tools do. `make help` lists it.

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
N           ?= 3
FUZZTIME    ?= 10s
CASES       ?= 100000

.PHONY: help build test race lint fuzz oracle bench flood testnet clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build ./lode
	$(GO) build -trimpath -o lode .

test: ## run the tests that users run (under three minutes)
	$(GO) test ./...

race: ## run the tests with the race detector
	$(GO) test -race -short ./...

lint: ## format check, go vet, staticcheck
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not formatted:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@set -e; for p in $$($(GO) list ./...); do for t in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
		echo "$$p $$t"; run="$(GO) test -run ^$$ -fuzz ^$$t$$ -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p"; \
		$$run || { echo "once more: Go's fuzzer sometimes fails only for being stopped; a finding is a seed now"; \
			$(GO) test -run "^$$t$$" $$p; $$run; }; done; done

oracle: ## compare CASES (100000) mutated transactions and blocks with btcd's verdicts
	$(GO) test ./consensus/oracle -run Oracle -count 1 -timeout 30m -oracle.n=$(CASES) -v

bench: ## run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

flood: ## have one peer send a mempool 100,000 bad transactions, and compare more templates with ancestor score
	$(GO) test ./mempool -run 'Flood|TemplateFees' -count 1 -timeout 30m -v -flood.n=100000 -template.cases=100

testnet: build ## run a testnet of three mining nodes and a payment, until Ctrl-C (N=5 for five)
	testnet/testnet.sh run $(N)

clean: ## remove what was built and the testnet's data
	testnet/testnet.sh down
	rm -rf lode testnet/data
