//! What a promotion is about: commits, the things of an app as its repository holds them, and what changed.

pub mod changes;
pub mod thing;

pub use changes::{Change, Delta, How, summarise};
pub use thing::{Kind, Thing};
