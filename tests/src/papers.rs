//! The tables of the Chord papers, from the production machines.
//! Its parts are in the folder of the same name.

pub mod table3;
