.DEFAULT_GOAL := help
.PHONY: help check demo build image image-test telemetry-test test lint lint-workflows bench bench-e2e bench-traces fuzz model crash chaos faults
.PHONY: vuln vuln-database chart-docs chart-test chart-push cluster-test keda-test cluster release redis cc node linux-root

# The version of golangci-lint is part of what the code is held against.
GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.8.0
ACTIONLINT := go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
HELM_DOCS := go run github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Everything in one process, for half a minute; needs nothing but Go
	go run ./cmd/demo

build: ## Build bin/capi-dispatcher
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/ ./cmd/capi-dispatcher

image: ## Build the container image for all platforms as bin/image, without an engine; IMAGE_FLAGS="--push REPOSITORY" pushes it
	cd .ci/image && go run . $(IMAGE_FLAGS)

image-test: ## Test that the image is the same each time, and holds the licences of all its modules (a minute; cold, some four more)
	cd .ci/image && go vet ./... && go test -count=1 ./...

telemetry-test: redis ## Send the worker's spans through a real OpenTelemetry Collector, and look at what it exports (half a minute; cold, two more)
	cd .ci/collector && go vet ./... && go test -count=1 ./...

# What a package's tests import if they run NATS or Redis servers.
SERVERS := /natstest|/dedupetest|nats-server
BASE ?= main
check: ## Before a push: lint what differs from BASE (main), and run the tests without NATS and Redis (half a minute)
	$(GOLANGCI_LINT) run --new-from-merge-base=$(BASE) ./...
	go test $$(go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./... | \
		grep -vE '$(SERVERS)' | cut -d' ' -f1)

# Without the race detector: nothing happens at once in the model of the protocol, e2e builds the programs that it tests
# with it, and bench measures.
test: redis cc ## All tests, with real servers and the race detector (six minutes)
	go test -race -parallel 12 -timeout 30m $$(go list ./... | grep -vE '/cmd/(bench|e2e)$$|/dispatcher/protocol$$') # tests mostly wait
	go test -parallel 10 -timeout 30m ./cmd/bench ./cmd/e2e ./dispatcher/protocol

MODULES := . charts/test charts/cluster .ci/image .ci/collector
lint: lint-workflows ## Check the code of all modules with the pinned golangci-lint, and the workflows with actionlint
	@set -e; for module in $(MODULES); do echo "linting $$module"; (cd $$module && $(GOLANGCI_LINT) run ./...); done

lint-workflows:
	$(ACTIONLINT)

bench: redis ## All benchmarks; compare figures of one run only
	go test -run '^$$' -bench . -benchmem -timeout 30m ./...

bench-e2e: redis ## The worker between real servers, each a process of its own: throughput, cost of an event, latency, and the ceiling (a minute)
	go run ./cmd/bench

bench-traces: redis ## What spans cost the worker: no exporter, 1 %, 100 %, and a collector that is away, in interleaved rounds (five minutes)
	go run ./cmd/bench traces --events 200000

FUZZ_TIME ?= 60s
fuzz: ## Every fuzz target, FUZZ_TIME (60s) each
	@set -e; grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do \
		sed -nE 's/^func (Fuzz[A-Za-z]+)\(.*/\1/p' "$$file" | while read -r target; do \
			echo "$$target ($$(dirname "$$file"))"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 10x "$$(dirname "$$file")"; \
		done; \
	done

model: ## Every order of the claim protocol, deeply (some minutes)
	MODEL_DEEPLY=1 go test -timeout 30m -count 1 -v -run 'TestTheProtocol|TestBrokenProtocols|TestTheModelsRedis' ./dispatcher/protocol

crash: redis ## Kill a worker at each step of an event's path; prints the table
	go test -timeout 15m -count 1 -v -run TestCrashTable ./cmd/e2e

CHAOS_TIME ?= 2m
chaos: redis ## Everything fails at random for CHAOS_TIME (2m); CHAOS_SEED=… replays a schedule
	CHAOS_TIME=$(CHAOS_TIME) go test -timeout 30m -count 1 -v -run 'TestChaos$$' ./cmd/e2e

faults: redis ## Faults in their long forms, with figures (twenty minutes at the most)
	FAULTS_LONG=1 go test -timeout 20m -count 1 -v -run 'TestABigBacklog|TestThousandsOfSmall|TestHangingDatasets|TestDeadLettersThatAreRefused' ./cmd/e2e ./dispatcher

VULN_DB ?= https://vuln.go.dev
vuln: vuln-database ## Known vulnerabilities in what the program calls; VULN_DB=file://… names a copy of https://vuln.go.dev
	$(GOVULNCHECK) -db $(VULN_DB) ./...

vuln-database:
	@$(GOVULNCHECK) -db $(VULN_DB) -version | grep -q 'DB updated' || { \
		echo "govulncheck finds no database at $(VULN_DB); VULN_DB=file://… names a copy, such as data/osv of github.com/golang/vulndb" >&2; exit 1; }

chart-docs: ## Make the chart's README of its values
	$(HELM_DOCS) --chart-search-root charts --sort-values-order file --log-level warning

chart-test: ## Test the chart, with Helm 3 and 4 (a minute; cold, some five more to compile them)
	cd charts/test && go vet ./... && go test -count=1 ./... # the go tool does not see that the chart, outside the module, has changed

CHART_REGISTRY ?= oci://ghcr.io/capi-dispatcher/charts
chart-push: ## Push the chart that `make release` has packaged to CHART_REGISTRY, with the credentials of `docker login`
	$(HELM) push bin/release/capi-dispatcher-*.tgz $(CHART_REGISTRY)

# The tag that is checked out, or VERSION=v1.2.3 to try it without one.
VERSION ?= $(shell git describe --tags --exact-match 2>/dev/null)
RELEASE := bin/release
release: ## What is published of the checked-out tag beside the image: binaries, chart, checksums, notes
	@grep -qx 'version: $(VERSION:v%=%)' charts/capi-dispatcher/Chart.yaml && \
		grep -qx 'appVersion: $(VERSION:v%=%)' charts/capi-dispatcher/Chart.yaml || { \
		echo "charts/capi-dispatcher/Chart.yaml is not of version '$(VERSION:v%=%)'" >&2; exit 1; }
	rm -rf $(RELEASE) && mkdir -p $(RELEASE)
	awk '/^## / {on = index($$0, "## [$(VERSION:v%=%)]") == 1; next} on' CHANGELOG.md > bin/release-notes.md
	@test -s bin/release-notes.md || { echo "CHANGELOG.md has no section for $(VERSION:v%=%)" >&2; exit 1; }
	@set -e; for platform in linux/amd64 linux/arm64 darwin/arm64; do \
		os=$${platform%/*} arch=$${platform#*/}; file=$(RELEASE)/capi-dispatcher-$$os-$$arch; echo "building $$file"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -trimpath -ldflags "-s -w" -o $$file ./cmd/capi-dispatcher; done
	$(HELM) package charts/capi-dispatcher --destination $(RELEASE)
	cd $(RELEASE) && sha256sum * > SHA256SUMS

CLUSTER := $(CURDIR)/.cache/cluster
KUBERNETES := k8s.io/component-base/version
CONTAINERD := v2.4.2
HELM_3 := v3.22.0
HELM_4 := v4.3.1
HELM = go run helm.sh/helm/v4/cmd/helm@$(HELM_4)
cluster-test: cluster ## Run the chart in a real Kubernetes, and the image on a real node (five minutes; cold, some twelve more to compile)
	cd charts/cluster && go vet ./... && go test -count=1 -timeout 20m -v .

keda-test: cluster ## Let a real KEDA start the first worker and end the last (a minute; cold, some six more to compile than cluster-test)
	cd charts/cluster/keda && go build -ldflags "-s -w" -o $(CLUSTER)/keda-operator github.com/kedacore/keda/v2/cmd/operator
	cd charts/cluster && go test -count=1 -v -tags keda -run TestScalingFromZeroAndBack .

cluster: linux-root redis node
	mkdir -p $(CLUSTER)
	cd charts/cluster/kubernetes && go build -o $(CLUSTER)/ \
		-ldflags "-s -w -X $(KUBERNETES).gitVersion=v1.36.3 -X $(KUBERNETES).gitMajor=1 -X $(KUBERNETES).gitMinor=36" \
		k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager k8s.io/kubernetes/cmd/kube-scheduler k8s.io/kubernetes/cmd/kubelet
	cd charts/cluster/kubernetes && go build -ldflags "-s -w" -o $(CLUSTER)/etcd go.etcd.io/etcd/server/v3
	CGO_ENABLED=0 GOBIN=$(CLUSTER) go install -ldflags "-s -w" \
		$(foreach program,containerd containerd-shim-runc-v2 ctr,github.com/containerd/containerd/v2/cmd/$(program)@$(CONTAINERD))
	GOBIN=$(CLUSTER) go install helm.sh/helm/v3/cmd/helm@$(HELM_3) && mv $(CLUSTER)/helm $(CLUSTER)/helm-3
	GOBIN=$(CLUSTER) go install helm.sh/helm/v4/cmd/helm@$(HELM_4) && mv $(CLUSTER)/helm $(CLUSTER)/helm-4
	cd .ci/image && go run . --platforms linux/$$(go env GOARCH) --dir $(CLUSTER)
	cd charts/cluster && CGO_ENABLED=0 go build -ldflags "-s -w" -o $(CLUSTER)/pause ./pause

# What the tests need beside Go is installed where Debian's packages can be had.
redis:
	@command -v redis-server >/dev/null && command -v redis-cli >/dev/null || $(call install,redis-server)

cc:
	@command -v cc >/dev/null || command -v gcc >/dev/null || $(call install,gcc libc6-dev)

node:
	@command -v runc >/dev/null && command -v ip >/dev/null && [ -x /usr/lib/cni/bridge ] || $(call install,runc containernetworking-plugins iproute2)

linux-root:
	@[ "$$(uname -s)" = Linux ] && [ "$$(id -u)" = 0 ] || { \
		echo "a node has to be run on Linux, by root: sudo make cluster-test, in a virtual machine if need be" >&2; exit 1; }

define install
{ echo "installing $(1)"; \
  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null; \
  elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then \
    sudo apt-get update -qq && sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null; \
  else echo "please install $(1) (the names are of Debian's packages; Redis 7.0 or newer), then run make again" >&2; exit 1; fi; }
endef
