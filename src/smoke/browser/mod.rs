//! Pages, seen through a real browser. An app whose API answers well may still show people an empty page; only a
//! browser that loads the page, runs its scripts and lays it out can tell.
//!
//! ```text
//! check.rs     what is looked for on a page, and the verdict
//! evidence.rs  what is kept of a look: picture, console errors, failed requests; nothing secret in it
//! page.rs      one page: opened in a context of its own, followed, closed
//! watch.rs     PURE: what the events of a page add up to
//! devtools.rs  the DevTools protocol: calls and events over two pipes
//! process.rs   the browser's processes: started, limited, ended to the last one
//! profile.rs   the folder of its profile; removes those of browsers that are gone
//! find.rs      which program
//! session.rs   one browser for many checks: started when it is needed, started again once if it dies
//! picture.rs   PURE: how two pictures differ
//! ```
//!
//! The protocol is spoken over pipes, not over a port. Nobody else on the host can join in and read a session that
//! was lent to a page, and a browser whose Tidegate is gone, however it died, sees its pipe end and ends too.
//!
//! Each page has a context of its own: cookies live in memory, and no page sees those of another.

mod check;
mod devtools;
mod error;
mod evidence;
mod find;
mod page;
pub mod picture;
mod process;
mod profile;
mod session;
mod watch;

pub use check::{Allow, BrowserCheck, Viewed, WaitFor};
pub use error::BrowserError;
pub use evidence::{Evidence, FailedRequest};
pub use find::find;
pub use page::Cookie;
pub use process::{Browser, BrowserOptions};
pub use session::{Browsing, look_through};
