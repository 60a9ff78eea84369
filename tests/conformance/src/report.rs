//! What came out.

use std::fmt;

/// How one test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As the contract says.
    Passed,
    /// Not as the contract says, and how instead.
    Failed(String),
    /// The contract leaves it open.
    Observed,
}

/// One line of the report.
#[derive(Clone, Debug)]
pub struct Line {
    /// The contract's section.
    pub section: &'static str,
    /// What was tested, or seen.
    pub text: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// Everything that was tested, in order.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Line by line.
    pub lines: Vec<Line>,
}

impl Report {
    /// Notes how a test ended, and gives what it found.
    pub fn test<T>(&mut self, section: &'static str, name: &str, result: Result<T, String>) -> Option<T> {
        let (outcome, value) = match result {
            Ok(value) => (Outcome::Passed, Some(value)),
            Err(why) => (Outcome::Failed(why), None),
        };
        self.lines.push(Line { section, text: name.to_owned(), outcome });
        value
    }

    /// Notes something that the contract leaves open.
    pub fn observe(&mut self, section: &'static str, text: impl Into<String>) {
        self.lines.push(Line { section, text: text.into(), outcome: Outcome::Observed });
    }

    /// The tests that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| matches!(line.outcome, Outcome::Failed(_)))
    }

    /// How many passed.
    pub fn passed(&self) -> usize {
        self.lines.iter().filter(|line| line.outcome == Outcome::Passed).count()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Passed => write!(f, "ok       {:5} {}", self.section, self.text),
            Outcome::Failed(why) => write!(f, "FAILED   {:5} {}: {why}", self.section, self.text),
            Outcome::Observed => write!(f, "observed: {:4} {}", self.section, self.text),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        write!(f, "{} passed, {} failed", self.passed(), self.failures().count())
    }
}
