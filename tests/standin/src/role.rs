//! One binary, many names: which part to play.

use crate::failure::Result;
use crate::{appsmithctl, entrypoint, hash, healthcheck, image, say, seed, supervisor, tools};

const HELP: &str = "\
A stand-in that imitates an Appsmith container. It is not Appsmith.

usage: standin <command> [options]

  rootfs  [image options]   write the image's files as a tar to stdout
  changes [image options]   print the Dockerfile instructions for `docker import -c`, one a line
  seed    --apps N --megabytes M --seed S [--root DIR] [image options]
                            fill an empty volume with applications and bulk data
  hash    [--root DIR]      hash all user data of a volume, file by file and in total
  entrypoint, supervisord   what the container runs as process 1
  supervisorctl, healthcheck, appsmithctl
                            the tools of the container

image options:
  --version v1.99           the release to imitate
  --format N                the data format it writes (default: by version)
  --reads-from N            the oldest data format it reads (default: by version)
  --scale F                 time scale; the container's STANDIN_TIME_SCALE overrides it
  --git on                  put the git and ssh of this host into the image
  --broken KIND[:ARG]       a way to be broken, may be repeated; STANDIN_BROKEN adds to it
";

/// The part to play, with the words that remain for it.
#[derive(Debug, PartialEq)]
pub enum Role {
    /// Process 1.
    Entrypoint,
    /// The supervisor's client.
    Supervisorctl(Vec<String>),
    /// The container's health check.
    Healthcheck,
    /// Appsmith's maintenance tool.
    Appsmithctl(Vec<String>),
    /// One of the system's own tools, as far as somebody outside needs it.
    Tool(&'static str, Vec<String>),
    /// Makes an image.
    Rootfs(Vec<String>),
    /// Makes an image's configuration.
    Changes(Vec<String>),
    /// Fills a volume.
    Seed(Vec<String>),
    /// Hashes a volume.
    Hash(Vec<String>),
    /// Anything else; true if it was asked for.
    Help(bool),
}

impl Role {
    /// By the name it was called by, and for neutral names by the first word.
    ///
    /// The entry point takes one-shot commands too (`docker run IMAGE seed …`), as its script would `exec "$@"`.
    pub fn of(called_as: &str, words: &[String]) -> Self {
        let name = called_as.rsplit('/').next().unwrap_or_default();
        match (Self::named(name, words), words.split_first()) {
            (Some(role), None) => role,
            (Some(Self::Entrypoint) | None, Some((first, rest))) => {
                let command = first.rsplit('/').next().unwrap_or_default();
                Self::named(command, rest).unwrap_or(Self::Help(matches!(command, "help" | "--help" | "-h")))
            }
            (Some(role), Some(_)) => role,
            (None, None) => Self::Help(false),
        }
    }

    fn named(name: &str, words: &[String]) -> Option<Self> {
        match name {
            "entrypoint" | "entrypoint.sh" | "supervisord" => Some(Self::Entrypoint),
            "supervisorctl" => Some(Self::Supervisorctl(words.to_vec())),
            "healthcheck" | "healthcheck.sh" => Some(Self::Healthcheck),
            "appsmithctl" | "ctl" => Some(Self::Appsmithctl(words.to_vec())),
            "git-ssh" => Some(Self::Tool("git-ssh", words.to_vec())),
            "curl" => Some(Self::Tool("curl", words.to_vec())),
            "df" => Some(Self::Tool("df", words.to_vec())),
            "mkdir" => Some(Self::Tool("mkdir", words.to_vec())),
            "rm" => Some(Self::Tool("rm", words.to_vec())),
            "rootfs" => Some(Self::Rootfs(words.to_vec())),
            "changes" => Some(Self::Changes(words.to_vec())),
            "seed" => Some(Self::Seed(words.to_vec())),
            "hash" => Some(Self::Hash(words.to_vec())),
            _ => None,
        }
    }

    /// Plays the part and says the exit code.
    pub fn play(self) -> Result<u8> {
        match self {
            Self::Entrypoint => entrypoint::run(),
            Self::Supervisorctl(words) => Ok(supervisor::ctl::run(&words)),
            Self::Healthcheck => Ok(healthcheck::run()),
            Self::Appsmithctl(words) => Ok(appsmithctl::run(&words)),
            Self::Tool(name, words) => Ok(tools::run(name, &words)),
            Self::Rootfs(words) => image::rootfs(&words).map(|()| 0),
            Self::Changes(words) => image::changes(&words).map(|()| 0),
            Self::Seed(words) => seed::run(&words).map(|()| 0),
            Self::Hash(words) => hash::run(&words).map(|()| 0),
            Self::Help(asked) => {
                say::out(HELP);
                Ok(if asked { 0 } else { 2 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(called_as: &str, words: &[&str]) -> Role {
        Role::of(called_as, &words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn the_name_decides_and_then_the_first_word() {
        assert_eq!(role("/opt/appsmith/entrypoint.sh", &["/usr/bin/supervisord", "-n"]), Role::Entrypoint);
        assert_eq!(
            role("/opt/appsmith/entrypoint.sh", &["seed", "--apps", "3"]),
            Role::Seed(vec!["--apps".into(), "3".into()])
        );
        assert_eq!(role("supervisorctl", &["status"]), Role::Supervisorctl(vec!["status".into()]));
        assert_eq!(role("standin", &["supervisorctl"]), Role::Supervisorctl(Vec::new()));
        assert_eq!(role("standin", &["hash"]), Role::Hash(Vec::new()));
        assert_eq!(role("/opt/appsmith/healthcheck.sh", &[]), Role::Healthcheck);
        assert_eq!(role("standin", &["dance"]), Role::Help(false));
        assert_eq!(role("standin", &["--help"]), Role::Help(true));
    }
}
