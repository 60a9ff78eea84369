//! Git underneath: real clones in `git-storage`, driven by the real `git` and `ssh` of the image.
//!
//! ```text
//! api/git -> clone (verbs on one clone) -> command (one run of git)      keys: deploy keys
//!         -> content (documents <-> files of the repository)             names: what a client may call things
//! ```
//!
//! Nothing of a request reaches a shell, and names of branches and addresses are checked before git sees them.

pub mod clone;
pub mod command;
pub mod content;
pub mod keys;
pub mod names;
pub mod status;

/// Why something with Git did not work.
#[derive(Debug)]
pub enum Trouble {
    /// The image was made without `--git`.
    NoGit,
    /// A run of git took longer than it may.
    TimedOut(String),
    /// The host does not let this key in, or not to this repository.
    Access(String),
    /// There is no such clone.
    NoClone,
    /// A file of the clone could not be read or written.
    Files(String),
    /// The content of the repository is no application.
    Content(String),
    /// Anything else, in git's own words.
    Failed(String),
}

/// What most functions here return.
pub type Result<T> = std::result::Result<T, Trouble>;

impl Trouble {
    /// For `map_err`: names the file.
    pub fn at(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self::Files(format!("{path}: {error}"))
    }

    /// As a client reads it.
    pub fn said(&self) -> String {
        match self {
            Self::NoGit => "this stand-in's image was made without --git".to_owned(),
            Self::TimedOut(verb) => format!("git {verb} took too long"),
            Self::NoClone => "the repository is not in git-storage".to_owned(),
            Self::Access(said) | Self::Files(said) | Self::Content(said) | Self::Failed(said) => said.clone(),
        }
    }
}
