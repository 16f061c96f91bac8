//! The one integration binary: everything that needs real processes, and the tidy test.

mod api_floods;
mod api_rows;
mod api_time;
mod ring_faults;
mod ring_forms;
mod ring_idle;
mod ring_leave;
mod targets;
