//! Moves an instance's files aside and back.
pub mod protocol;
