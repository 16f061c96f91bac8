//! Arbitrary bytes as the files of a shard: `cargo +nightly fuzz run recovery`.
//! What they become, and what has to hold, stands in `harness::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::fuzz::recovery(data));
