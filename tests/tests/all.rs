//! The one integration binary: everything that needs real processes, and the tidy test.

mod ring_forms;
