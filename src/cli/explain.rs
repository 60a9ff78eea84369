//! `explain`: why an instance is blocked, when that lifts, and what to type.

use serde::Serialize;

use super::render::Render;
use super::{app, configured, exit, tools};
use crate::app::Repositories;
use crate::config::Config;
use crate::model::ids::InstanceName;
use crate::ops::explain::{self, Blocks, Matter};
use crate::workflow::StepError;

/// Say what stands in the way of the next run, when that lifts, and what to type
///
/// Looks at open and stuck runs, the lock, the container, and the gate that the next upgrade would wait at. Asks neither
/// the store nor the app.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate explain\n  tidegate explain production --json")]
pub struct ExplainArgs {
    /// Only this instance
    pub instance: Option<InstanceName>,
}

#[derive(Debug, Serialize)]
struct About {
    instance: InstanceName,
    blocks: Blocks,
    matters: Vec<Matter>,
}

/// Looks; touches nothing.
pub async fn run(args: &ExplainArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    configured(config, &args.instance)?;
    let app = app(config, Repositories::Unasked).await?;
    let instances: Vec<InstanceName> = match &args.instance {
        Some(instance) => vec![instance.clone()],
        None => config.instances.keys().cloned().collect(),
    };
    let mut all = Vec::new();
    for instance in instances {
        let matters = explain::explain(tools(&app), &instance).await?;
        all.push(About { instance, blocks: worst(&matters), matters });
    }
    if out.is_json() {
        out.data(&all);
    } else {
        let texts: Vec<String> = all.iter().map(text).collect();
        out.text(&texts.join("\n"));
    }
    Ok(exit::DONE)
}

fn worst(matters: &[Matter]) -> Blocks {
    let has = |wanted| matters.iter().any(|matter| matter.blocks == wanted);
    [Blocks::Everything, Blocks::Upgrades].into_iter().find(|blocks| has(*blocks)).unwrap_or(Blocks::Nothing)
}

fn text(About { instance, blocks, matters }: &About) -> String {
    let state = match blocks {
        Blocks::Nothing => "nothing stands in the way",
        Blocks::Upgrades => "upgrades are blocked; snapshots and restores are not",
        Blocks::Everything => "blocked",
    };
    let mut text = format!("{instance}: {state}\n");
    for matter in matters {
        let mark = if matter.blocks == Blocks::Nothing { "ok     " } else { "BLOCKED" };
        text.push_str(&format!("  {mark}  {}\n", matter.text));
        if let Some(lifts) = &matter.lifts {
            let word = if matter.blocks == Blocks::Nothing { "note" } else { "lifts" };
            text.push_str(&format!("             {word}: {lifts}\n"));
        }
        if let Some(command) = &matter.command {
            text.push_str(&format!("             type: {command}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_blocks_comes_with_when_it_lifts_and_what_to_type() {
        let matter = |blocks, text: &str, lifts: Option<&str>, command: Option<&str>| Matter {
            blocks,
            text: text.into(),
            lifts: lifts.map(str::to_owned),
            command: command.map(str::to_owned),
        };
        let matters = vec![
            matter(Blocks::Nothing, "no run is open, and its lock is free", None, None),
            matter(
                Blocks::Upgrades,
                "gate to app:v2: `staging` passed its checks on app:v1 (aaaaaaaaaaaa), not on this image (bbbbbbbbbbbb)",
                Some("upgrade `staging` to this image first"),
                Some("tidegate upgrade v2 --only staging"),
            ),
        ];
        let instance = InstanceName::new("production").unwrap();
        let about = About { instance, blocks: worst(&matters), matters };
        insta::assert_snapshot!(text(&about));
    }
}
