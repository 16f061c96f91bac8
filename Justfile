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

# Replay one seed of the simulator: a readable trace (--until, --since, --node, --key narrow it)
sim seed *options:
    cargo run --release -p chordite-tests --bin sim -- seed {{seed}} {{options}}

# Run so many seeds of the simulator (--from, --threads, --json FILE)
sim-many seeds="1000" *options:
    cargo run --release -p chordite-tests --bin sim -- many {{seeds}} {{options}}

# The proof: 50,000 seeds, every mark hit, every kind of fault 10,000 times
sim-proof seeds="50000" *options:
    cargo run --release -p chordite-tests --bin sim -- many {{seeds}} --faults-least 10000 {{options}}

# Plant bugs and count the seeds until each is found (--hunts, --seeds, --json FILE)
planted *options:
    cargo run --release -p chordite-tests --features planted --bin sim -- planted {{options}}

# Every interleaving of small rings (--help shows the sizes)
small-rings *options:
    cargo run --release -p chordite-tests --bin sim -- model {{options}}

# The tables of the Chord papers, ours beside theirs, into results/ (--only, --quick, --out)
papers *options:
    cargo run --release -p chordite-tests --bin sim -- papers {{options}}

# Lookups under churn beyond the papers, beside a Kademlia model (--only, --seed, --out)
churn *options:
    cargo run --release -p chordite-tests --bin sim -- churn {{options}}

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
