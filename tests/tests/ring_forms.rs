//! Rings form.
