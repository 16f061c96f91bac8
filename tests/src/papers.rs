//! The tables of the Chord papers from this project's own machines, and what every measurement by
//! simulation shares: tables, plots, gates and the folder of a result.

pub mod calendar;
pub mod chapter;
pub mod plot;
pub mod report;
pub mod table;
