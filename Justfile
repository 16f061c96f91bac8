# Recipes for people; nothing depends on them. `just` alone lists them.

_list:
    @just --list --unsorted

# Everything compiles, is formatted and has no lint
check:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- -D warnings

# Format all sources
fmt:
    cargo fmt --all

# All tests
test:
    cargo test --workspace --release

# kill -9 under load, restart, read everything back
torture rounds="1000":
    CHORDITE_ROUNDS={{rounds}} cargo test --release -p chordite-tests --test all -- --nocapture kill_rounds ring_kills

# The same with a power cut of a loop-mounted disk (needs root)
power-cut rounds="1000":
    CHORDITE_ROUNDS={{rounds}} cargo test --release -p chordite-tests --test all -- --nocapture power_cut

# Disks that are full or fail (needs root)
disks:
    cargo test --release -p chordite-tests --test all -- --nocapture full_disk failing_disk

# Recover arbitrary bytes for so many seconds (needs a nightly compiler and cargo-fuzz)
fuzz seconds="600":
    cargo +nightly fuzz run --fuzz-dir tests/fuzz recovery -- -max_total_time={{seconds}}

# Carry out a scenario of bench/scenarios and write it to results/
bench scenario="default":
    cargo run --release --bin bench -- run {{scenario}}

# Five nodes under load, everything checked, in under a minute
bench-smoke:
    cargo run --release --bin bench -- smoke

# Print a stored result
report folder:
    cargo run --release --bin bench -- report {{folder}}

# Print two stored results side by side
compare a b:
    cargo run --release --bin bench -- compare {{a}} {{b}}

# Criterion micro-benchmarks; `just micro codec` for one of them
micro filter="":
    cargo bench -p chordite-bench -- {{filter}}

# The same with one pass each: do they run and are their answers right?
micro-smoke:
    cargo test -p chordite-bench --benches

# A local ring of five, until Ctrl-C
ring nodes="5":
    cargo run --release -p chordite-node -- dev --nodes {{nodes}}

# Public documentation
doc:
    cargo doc --workspace --no-deps

# Licences, banned crates and sources (needs cargo-deny)
deny:
    cargo deny check licenses bans sources
