//! What can be wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there, or may not be read.
    #[error("cannot read the configuration `{}`", path.display())]
    Read {
        /// As it was asked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something in it is wrong; all of it is here.
    #[error("`{}` has {}:\n{}", path.display(), count(problems), lines(problems))]
    Invalid {
        /// As it was asked for.
        path: PathBuf,
        /// At least one, in the order of the file.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong, and what to do about it. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where to look.
    pub place: Place,
    /// What is wrong, with the key and the cure.
    pub text: String,
}

/// Where a value stands. Orders as problems are listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nowhere: something is missing as a whole.
    File,
    /// A line of the file, from 1, and for a mistake in the syntax also the column, from 1.
    Line(usize, Option<usize>),
    /// A variable of the environment.
    Variable(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, text } = self;
        match place {
            Place::File => write!(f, "{text}"),
            Place::Line(line, None) => write!(f, "line {line}: {text}"),
            Place::Line(line, Some(column)) => write!(f, "line {line}, column {column}: {text}"),
            Place::Variable(name) => write!(f, "variable {name}: {text}"),
        }
    }
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "1 problem".into(),
        many => format!("{many} problems"),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
}
