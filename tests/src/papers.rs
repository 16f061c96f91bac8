//! The tables of the Chord papers from this project's own machines, and what every measurement by
//! simulation shares: tables, plots, gates and the folder of a result.
//!
//! Each experiment is a file and fills a chapter. The papers' figures stand in `published` and
//! `table3`, the rest is measured: nothing here knows how a lookup goes.

pub mod arc_cache;
pub mod balance;
pub mod bases;
pub mod calendar;
pub mod chapter;
pub mod coming_and_going;
pub mod failures;
pub mod gamma;
pub mod path_length;
pub mod plot;
pub mod published;
pub mod report;
pub mod rounds;
pub mod table;
pub mod table3;
pub mod traffic;
pub mod upkeep;
