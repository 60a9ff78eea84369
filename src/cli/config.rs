//! `config`: check or print the configuration.

use std::path::Path;

use super::render::Render;
use super::{exit, load};
use crate::config::TEMPLATE;
use crate::workflow::StepError;

/// What to do with the configuration.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// Read the file and say everything that is wrong with it, at once
    Check,
    /// Print the commented template with every key and its default
    Template,
}

/// Touches nothing.
pub fn run(command: &ConfigCommand, path: &Path, out: &mut Render) -> Result<u8, StepError> {
    match command {
        ConfigCommand::Template => out.text(TEMPLATE),
        ConfigCommand::Check => {
            let config = load(path)?;
            let instances: Vec<&str> = config.instances.keys().map(|name| name.as_str()).collect();
            if out.is_json() {
                out.data(&serde_json::json!({ "path": path, "instances": instances }));
            } else {
                out.text(&format!("`{}` is fine: instances {}\n", path.display(), instances.join(", ")));
            }
        }
    }
    Ok(exit::DONE)
}
