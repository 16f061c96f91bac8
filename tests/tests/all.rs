//! The one integration binary: everything that needs real processes, and the tidy test.
//! `cargo test -p chordite-tests ring_` runs one subject; the harness keeps heavy tests apart.

mod api_floods;
mod api_rows;
mod api_time;
mod bit_flips;
mod command_line;
mod config_errors;
mod crash_images;
mod data_folder;
mod disk_faults;
mod failing_disk;
mod full_disk;
mod fuzz_corpus;
mod io_driver;
mod kill_rounds;
mod links_attack;
mod links_between;
mod links_refused;
mod load;
mod native_api;
mod papers;
mod power_cut;
mod ring_faults;
mod ring_forms;
mod ring_idle;
mod ring_kills;
mod ring_leave;
mod ring_partition;
mod simulation;
mod small_rings;
mod source;
mod targets;
mod tidy;
mod wal_tools;
