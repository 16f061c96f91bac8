//! The one integration binary: everything that needs real processes, and the tidy test.

mod ring_faults;
mod ring_forms;
mod ring_idle;
mod ring_leave;
