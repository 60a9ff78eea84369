//! What differs from image to image: version, data format, pace, and what is broken.
//!
//! Written into the image as `/opt/appsmith/standin.json` when it is made, read by process 1 when it starts.

use crate::broken::{self, Broken};
use crate::failure::{Failure, Result};
use crate::open::Open;
use crate::options::Options;
use crate::pace::Pace;
use crate::paths;
use crate::version::Version;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The behaviour of one image, as it lies in the image.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baked {
    /// The release this image claims to be, such as `v1.99`.
    pub version: String,
    /// The data format this version writes.
    pub format: u32,
    /// The oldest data format it can read and migrate.
    pub reads_from: u32,
    /// The time scale where the container gives none.
    pub scale: f64,
    /// The ways in which it is broken.
    pub broken: Vec<String>,
}

/// The behaviour of one running container: what is baked in, with the container's environment on top.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// The release.
    pub version: Version,
    /// The data format this version writes.
    pub format: u32,
    /// The oldest data format it can read and migrate.
    pub reads_from: u32,
    /// How fast it lives.
    pub pace: Pace,
    /// How it is broken.
    pub broken: Vec<Broken>,
    /// What the contract leaves open.
    pub open: Open,
}

impl Baked {
    /// Takes `--version`, `--format`, `--reads-from`, `--scale` and `--broken` out of the options.
    pub fn take(options: &mut Options) -> Result<Self> {
        let version: Version = options.one("version")?.map_or_else(|| "v1.99".parse().map_err(Failure::new), Ok)?;
        let broken: Vec<Broken> = options.all("broken")?;
        Ok(Self {
            version: version.to_string(),
            format: options.one("format")?.unwrap_or(version.data_format()),
            reads_from: options.one("reads-from")?.unwrap_or(version.reads_from()),
            scale: options.one::<Pace>("scale")?.unwrap_or(Pace::REAL).factor(),
            broken: broken.iter().map(ToString::to_string).collect(),
        })
    }

    /// The release.
    pub fn release(&self) -> Result<Version> {
        self.version.parse().map_err(Failure::new)
    }

    /// The `info.json` of such an image. Everything in it follows from the version, so that two builds agree.
    pub fn info(&self) -> serde_json::Value {
        let digest = Sha256::digest(self.version.as_bytes());
        let commit: String = digest.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
        json!({
            "commitSha": commit,
            "commitUrl": format!("https://github.com/appsmithorg/appsmith/commit/{commit}"),
            "githubRef": format!("refs/tags/{}", self.version),
            "githubRunUrl": "https://github.com/appsmithorg/appsmith/actions/runs/0/attempts/1",
            "version": self.version,
            "imageBuiltAt": "2026-01-01T00:00:00Z",
            "isCI": true,
        })
    }

    /// What the container's environment makes of it.
    pub fn in_environment(&self, scale: Option<&str>, broken: Option<&str>) -> Result<Behaviour> {
        let pace = match scale {
            Some(text) => text.parse().map_err(|error| Failure::new(format!("STANDIN_TIME_SCALE: {error}")))?,
            None => Pace::try_from(self.scale).map_err(Failure::new)?,
        };
        let baked = self.broken.iter().map(|text| text.parse()).collect::<std::result::Result<Vec<Broken>, _>>();
        let broken = broken::with_environment(&baked.map_err(Failure::new)?, broken.unwrap_or_default());
        Ok(Behaviour {
            version: self.version.parse().map_err(Failure::new)?,
            format: self.format,
            reads_from: self.reads_from,
            pace,
            broken: broken.map_err(|error| Failure::new(format!("STANDIN_BROKEN: {error}")))?,
            open: Open::default(),
        })
    }
}

impl Behaviour {
    /// The behaviour of this container.
    pub fn load() -> Result<Self> {
        let path = std::path::Path::new(paths::BEHAVIOUR);
        let text = std::fs::read_to_string(path).map_err(Failure::at("read", path))?;
        let baked: Baked =
            serde_json::from_str(&text).map_err(|error| Failure::new(format!("{}: {error}", paths::BEHAVIOUR)))?;
        let var = |name| std::env::var(name).ok();
        let behaviour = baked.in_environment(var("STANDIN_TIME_SCALE").as_deref(), var("STANDIN_BROKEN").as_deref())?;
        let open = var("STANDIN_OPEN").unwrap_or_default().parse();
        Ok(Self { open: open.map_err(|error| Failure::new(format!("STANDIN_OPEN: {error}")))?, ..behaviour })
    }

    /// Is it broken in this way?
    pub fn is(&self, way: &Broken) -> bool {
        self.broken.contains(way)
    }

    /// The seconds of the first way that `pick` knows.
    pub fn seconds(&self, pick: impl Fn(&Broken) -> Option<f64>) -> Option<f64> {
        self.broken.iter().find_map(pick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baked(words: &[&str]) -> Result<Baked> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Baked::take(&mut Options::read(&words)?)
    }

    #[test]
    fn formats_follow_the_version_unless_given() {
        let plain = baked(&["--version", "v2.2"]).unwrap();
        assert_eq!((plain.format, plain.reads_from), (7, 6));
        let given = baked(&["--version", "v2.2", "--format", "9", "--reads-from", "8"]).unwrap();
        assert_eq!((given.format, given.reads_from), (9, 8));
        assert!(baked(&["--version", "latest"]).is_err());
    }

    #[test]
    fn the_containers_environment_wins() {
        let image = baked(&["--scale", "0.5", "--broken", "login"]).unwrap();
        let behaviour = image.in_environment(Some("0.05"), Some("never-ready")).unwrap();
        assert_eq!(behaviour.pace.factor(), 0.05);
        assert_eq!(behaviour.broken, [Broken::Login, Broken::NeverReady]);
        assert_eq!(image.in_environment(None, None).unwrap().pace.factor(), 0.5);
    }
}
