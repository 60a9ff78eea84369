//! What the gate before a stage looks at, gathered.

use super::Tools;
use crate::engine::EngineError;
use crate::model::gate::GateFacts;
use crate::model::ids::{ImageId, InstanceName};

/// What the gate before `instance` sees now, for an upgrade of it to `target` behind `previous`.
pub async fn facts(
    tools: &Tools,
    previous: &InstanceName,
    instance: &InstanceName,
    target: ImageId,
) -> Result<GateFacts, EngineError> {
    let ahead = tools.engine.find(tools.container(previous)).await?;
    let behind = tools.engine.find(tools.container(instance)).await?;
    Ok(GateFacts {
        previous: previous.clone(),
        evidence: tools.state.evidence(previous),
        // What does not run does not stand for anything.
        previous_image: ahead.filter(|view| view.is_up()).map(|view| view.image_id),
        target,
        current: behind.map(|view| view.image_id),
        max_age: tools.settings.evidence_max_age,
        now: (tools.now)(),
    })
}
