//! A ring in which nothing changes: lookups walk it without time.
//! Its parts are in the folder of the same name.
