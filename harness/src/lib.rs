//! portwitness: an integration-test harness for networked systems, with the kernel as its witness.

pub mod backends;
pub mod clients;
pub mod clock;
pub mod endpoint;
pub mod history;
pub mod observers;
