//! Journals, read as any outsider would: one JSON document a line.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A run's journal as far as it is written.
#[derive(Clone, Debug)]
pub struct Journal {
    /// The run's id.
    pub run: String,
    /// The first line.
    pub header: Value,
    /// Kind of record and name of the step, where it has one.
    pub records: Vec<(String, String)>,
    /// How it ended.
    pub outcome: Option<String>,
}

impl Journal {
    /// `None` as long as the first line is not there.
    pub fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let whole = &text[..=text.rfind('\n')?];
        let mut lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
        let header = lines.next()?;
        let mut journal =
            Self { run: header["run"].as_str().expect("a run").into(), header, records: Vec::new(), outcome: None };
        for line in lines {
            let step = line["step"].as_u64().map(|step| usize::try_from(step).unwrap());
            let name = step.map(|step| journal.header["steps"][step].as_str().unwrap().to_owned());
            journal.records.push((line["record"].as_str().unwrap().into(), name.unwrap_or_default()));
            journal.outcome = journal.outcome.or_else(|| line["outcome"].as_str().map(str::to_owned));
        }
        Some(journal)
    }

    /// Whether such a record is there.
    pub fn has(&self, record: &str, step: &str) -> bool {
        self.records.iter().any(|(kind, name)| kind == record && name == step)
    }
}

/// The journals in a state directory, by path.
pub fn journals(state: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(state.join("runs")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
    paths.sort();
    paths
}
