//! Puts the data of before in the place of what a new image has made of it, and takes that back again.
//!
//! An instance's data may lie at several mounts, and no two of them change at one moment. So a roll back that was cut
//! off anywhere is never taken up in the middle: it is first taken back at *all* mounts, whether they were settled or
//! not, and then done from the start. What is in place is then always of one kind, or marked as half filled.

use super::data::{data_mounts, fill, set_aside, settle};
use super::look::{list_request, survey};
use super::{At, view_of};
use crate::engine::PorterRequest;
use crate::model::definition::{Definition, Mount, MountSource};
use crate::model::ids::RunId;
use crate::model::layout::{helper_container, helper_target};
use crate::model::manifest::Manifest;
use crate::model::part::PartPlan;
use crate::workflow::{RunCx, StepError};

/// The name under which a roll back sets aside.
fn name_of(run: &RunId) -> String {
    format!("{run}-back")
}

/// Puts the snapshot's data in place. May be called again after any partial call, and then begins anew.
pub(super) async fn put_back(
    at: &At,
    cx: &RunCx,
    definition: &Definition,
    manifest: &Manifest,
) -> Result<(), StepError> {
    // The engine may still be unpacking what a killed process had sent it; without the helper it is not.
    at.tools.engine.remove(&helper_container(&cx.run, &at.instance)).await?;
    take_back(at, cx, &definition.mounts, manifest).await?;
    let since = parts_now(at, cx, definition).await?;
    let name = name_of(&cx.run);
    set_aside(at, cx, &definition.mounts, manifest, &since, &name).await?;
    fill(at, cx, &definition.mounts, manifest, None).await?;
    settle(at, cx, &definition.mounts, manifest, &name).await
}

/// Takes back what [`put_back`] has done at any mount, so that what ran last can run again on what it has made.
pub(super) async fn take_back(at: &At, cx: &RunCx, mounts: &[Mount], manifest: &Manifest) -> Result<(), StepError> {
    let name = name_of(&cx.run);
    let begun = begun(at, cx, &data_mounts(mounts, manifest)?, &name).await?;
    for source in &begun {
        at.porter(cx, source, &PorterRequest::Back { root: helper_target(0), run: name.clone() }).await?;
    }
    // Only once it is back everywhere: until then each mount must still know what to do.
    for source in &begun {
        at.porter(cx, source, &PorterRequest::Drop { root: helper_target(0), run: name.clone() }).await?;
    }
    Ok(())
}

/// The mounts that something was set aside at under that name.
async fn begun(
    at: &At,
    cx: &RunCx,
    mounts: &[(String, MountSource)],
    name: &String,
) -> Result<Vec<MountSource>, StepError> {
    let mut begun = Vec::new();
    for (_, source) in mounts {
        let listing = at.list(cx, source, list_request(Default::default(), Vec::new())).await?;
        if listing.asides.contains(name) || listing.filling.as_ref() == Some(name) {
            begun.push(source.clone());
        }
    }
    Ok(begun)
}

/// What a snapshot of the instance would hold now: a newer version may have begun to keep things that the snapshot
/// knows nothing of, and the old one must not find them.
async fn parts_now(at: &At, cx: &RunCx, definition: &Definition) -> Result<Vec<PartPlan>, StepError> {
    let view = view_of(definition);
    let listings = survey(at, cx, &view, false).await?;
    Ok(at.adapter()?.parts(&view, &listings).unwrap_or_default())
}
