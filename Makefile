# Every target is one script; see scripts/ for what it does.
API_DIR ?= /usr/share/vpp/api

.PHONY: help build release install deb plugin shim demo test check deep bench bench-full guard check-deny vpp-api vpp-record man completions clean

help:            ## this list
	@sed -n 's/^\([a-z-]*\): *## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

build:           ## the agent and the memif examples, unoptimised
	cargo build --locked --workspace --bins --examples

release:         ## the agent and the memif examples, optimised: target/release/
	cargo build --locked --release --bins --examples -p dockervpp -p memif-rs

shim:            ## the preload library: target/shim/libvcl_shim.so
	@scripts/shim.sh

install:         ## the agent to /usr/local/bin, the preload library to /usr/lib/dockervpp (root or sudo)
	@scripts/install.sh

deb:             ## a Debian package in dist/
	@scripts/deb.sh

plugin:          ## a managed plugin of Docker's in dist/plugin, for `docker plugin create`
	@scripts/plugin.sh

demo:            ## two minutes from nothing to packets (installs what is missing, needs root or sudo)
	@scripts/demo.sh

test:            ## everything: unit tests, real Docker, real DPDK (needs root or sudo)
	@scripts/test.sh

check:           ## format, lints, documentation, layout and licence rules
	@scripts/check.sh

deep:            ## Miri, loom, the fuzzers, endurance (needs nightly Rust, cargo-fuzz and patience)
	@scripts/deep.sh

bench:           ## the figures, beside what would be used instead (ten minutes; needs root or sudo)
	@scripts/bench.sh

bench-full:      ## all of them, ten runs each (forty minutes; an idle machine)
	@scripts/bench.sh --full

guard:           ## instructions of the hot paths, beside those of the commit before
	@scripts/guard.sh

check-deny:      ## `make check` with cargo-deny, which is compiled first if it is absent
	@scripts/check.sh --install-deny

vpp-api:         ## the messages of vpp-api-client, from VPP's definitions in API_DIR
	cargo run --locked -p vpp-api-generator -- "$(API_DIR)" driver/vpp-api-client/src \
		--messages driver/vpp-api-client/messages.txt

vpp-record:      ## what the engine and a real VPP say to each other, for the tests (needs VPP, and root or sudo)
	@scripts/vpp-record.sh

man:             ## manual pages in dist/man/
	@scripts/dist.sh man

completions:     ## shell completions in dist/completions/
	@scripts/dist.sh completions

clean:           ## what cargo and the scripts made
	cargo clean
	rm -rf dist
