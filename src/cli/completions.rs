//! `completions` and `man`: what shells and `man` want to know of the commands.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::render::Render;
use super::{Cli, exit};
use crate::workflow::StepError;

/// Print a script with which a shell completes commands and options
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate completions bash > /etc/bash_completion.d/tidegate\n  \
    tidegate completions zsh > /usr/share/zsh/site-functions/_tidegate\n  \
    tidegate completions fish > ~/.config/fish/completions/tidegate.fish")]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_parser = clap::builder::EnumValueParser::<Shell>::new())]
    pub shell: Shell,
}

/// Print the manual page, or write one page a command into a folder
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate man | man -l -\n  tidegate man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// The folder, which must be there
    pub dir: Option<PathBuf>,
}

/// Prints the script.
pub fn completions(args: &CompletionsArgs, out: &mut Render) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidegate", &mut script);
    out.text(&String::from_utf8_lossy(&script));
    exit::DONE
}

/// A page could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write manual pages to `{}`", dir.display())]
struct ManError {
    dir: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Prints the page, or writes all.
pub fn man(args: &ManArgs, out: &mut Render) -> Result<u8, StepError> {
    let failed = |source| ManError { dir: args.dir.clone().unwrap_or_else(|| "-".into()), source };
    match &args.dir {
        Some(dir) => {
            clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
            out.say(&format!("the manual pages are in `{}`", dir.display()));
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(failed)?;
            out.text(&String::from_utf8_lossy(&page));
        }
    }
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = Render::new(true);
        man(&ManArgs { dir: Some(folder.path().into()) }, &mut out).unwrap();
        for command in Cli::command().get_subcommands() {
            let page = folder.path().join(format!("tidegate-{}.1", command.get_name()));
            let text = std::fs::read_to_string(&page).unwrap();
            assert!(text.contains("Examples"), "{}", page.display());
        }
        assert!(man(&ManArgs { dir: Some(folder.path().join("missing")) }, &mut out).is_err());
    }
}
