//! The checks that any app can be given by configuration.

pub mod http;
