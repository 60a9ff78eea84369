//! The checks that any app can be given by configuration.

pub mod browser;
pub mod http;
pub mod query;
