//! The harness, tested from outside.
