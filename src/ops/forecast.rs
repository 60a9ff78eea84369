//! How long an instance will be down, by what earlier runs of this host took. Pure.

use serde::Serialize;

use super::history::RunSummary;
use crate::model::ids::InstanceName;
use crate::workflow::Outcome;

/// How long earlier runs had an instance down.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Downtime {
    /// How many runs this rests on.
    pub run_count: usize,
    /// Half of them took less, in seconds.
    pub median_seconds: f64,
    /// The longest, in seconds.
    pub longest_seconds: f64,
}

/// From the runs of that workflow that ended well; `None` without any.
pub fn downtime(runs: &[RunSummary], workflow: &str, instance: &InstanceName) -> Option<Downtime> {
    let like_it = |run: &&RunSummary| run.workflow == workflow && run.outcome == Some(Outcome::Completed);
    let of_it =
        |run: &RunSummary| run.down_seconds.iter().find(|(name, _)| name == instance).map(|(_, seconds)| *seconds);
    let mut all: Vec<f64> = runs.iter().filter(like_it).filter_map(of_it).collect();
    all.sort_by(f64::total_cmp);
    Some(Downtime { run_count: all.len(), median_seconds: *all.get(all.len() / 2)?, longest_seconds: *all.last()? })
}
