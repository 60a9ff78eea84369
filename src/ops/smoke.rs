//! The checks, outside of any run: how is an instance now, seen against how it was?

use super::Tools;
use super::album::{FolderAlbum, Moment};
use super::report::Looked;
use crate::instance::InstanceError;
use crate::model::ids::InstanceName;
use crate::model::observation::Observation;
use crate::model::verdict::compare;

/// What a look is compared with.
#[derive(Clone, Debug)]
pub struct Against {
    /// In words, such as ``snapshot `staging-7` of 2026-11-20 03:30:00 UTC``.
    pub text: String,
    /// What was seen then.
    pub observation: Observation,
}

/// Looks once and judges. Changes nothing at the instance, beside what the checks themselves do; takes no lock. Without
/// something to compare with, everything that does not work counts.
///
/// Cancel-safe.
pub async fn smoke(tools: &Tools, instance: &InstanceName, against: Option<Against>) -> Result<Looked, InstanceError> {
    let adapter = tools
        .instances
        .get(instance)
        .ok_or_else(|| InstanceError::NotReady { instance: instance.clone(), reason: "it is not configured".into() })?;
    let album = FolderAlbum::begin(&tools.state.smoke(instance), Moment::After).await;
    let now = adapter.observe(&*tools.engine, Some(&album)).await?;
    let (text, baseline) = against.map(|against| (against.text, against.observation)).unzip();
    // What passed is as good a baseline as any: then whatever does not pass now is a failure.
    let all_well = baseline.clone().unwrap_or_else(|| now.all_well());
    let verdict = compare(&all_well, &now).allowing(&tools.settings.allow_change);
    Ok(Looked { instance: instance.clone(), at: (tools.now)().to_string(), against: text, baseline, now, verdict })
}
