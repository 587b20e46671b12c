# Every target is one script; see scripts/ for what it does.
.PHONY: help build release demo test check deep bench check-deny man completions clean

help:            ## this list
	@sed -n 's/^\([a-z-]*\): *## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

build:           ## the agent and the memif examples, unoptimised
	cargo build --locked --workspace --bins --examples

release:         ## the agent and the memif examples, optimised: target/release/
	cargo build --locked --release --bins --examples -p dockervpp -p memif-rs

demo:            ## two minutes from nothing to packets (installs what is missing, needs root or sudo)
	@scripts/demo.sh

test:            ## everything: unit tests, real Docker, real DPDK (needs root or sudo)
	@scripts/test.sh

check:           ## format, lints, documentation, layout and licence rules
	@scripts/check.sh

deep:            ## Miri, loom and the fuzzers (needs nightly Rust, cargo-fuzz and patience)
	@scripts/deep.sh

bench:           ## the figures, beside what would be used instead (half an hour; needs root or sudo)
	@scripts/bench.sh

check-deny:      ## `make check` with cargo-deny, which is compiled first if it is absent
	@scripts/check.sh --install-deny

man:             ## manual pages in dist/man/
	@scripts/dist.sh man

completions:     ## shell completions in dist/completions/
	@scripts/dist.sh completions

clean:           ## what cargo and the scripts made
	cargo clean
	rm -rf dist
