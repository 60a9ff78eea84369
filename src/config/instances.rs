//! `[instances.<name>]`: the containers that are looked after.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::smoke::Check;
use super::store::http_url;
use super::value::{Value, from_string, one_of, wrong_type};
use crate::model::ids::{InstanceName, PartName};
use crate::model::part::{Cover, PartPlan};

/// One container with its data and its app.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Which app it is.
    pub kind: Kind,
    /// The container's name, without a leading `/`.
    pub container: String,
    /// Where Tidegate and people reach it, without a trailing `/`. Always there for Appsmith, and where there are checks.
    pub url: Option<String>,
    /// With which the checks log in.
    pub login: Option<Login>,
    /// How long a stop may take before the engine kills it.
    pub stop_grace: Duration,
    /// Writable mounts that no snapshot needs to hold.
    pub acknowledge_mounts: Vec<String>,
    /// Fields of its container's definition that may get lost when it is created anew.
    pub acknowledge_fields: Vec<String>,
    /// Other containers that may write to its data while it rests.
    pub acknowledge_writers: Vec<String>,
    /// Whether destructive commands ask for its name.
    pub production: bool,
    /// What a snapshot holds. Of a generic instance only, and there never empty.
    pub parts: Vec<PartPlan>,
    /// Run in the container before it is stopped. Of a generic instance only.
    pub rest: Vec<Command>,
    /// Run in the container to undo `rest`. Of a generic instance only.
    pub wake: Vec<Command>,
    /// How long each command of `rest` and `wake` may take; it is ended then. Of a generic instance only.
    pub command_timeout: Duration,
    /// Checks beside those that the kind brings.
    pub checks: Vec<Check>,
}

/// Which app an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Appsmith, all in one container.
    Appsmith,
    /// Any other container; the configuration says what its data is.
    Generic,
}

/// With which the checks log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name or address.
    pub user: String,
    /// The file with the password; see [`super::read_secret`].
    pub password_file: PathBuf,
}

/// A program and its arguments, run without a shell. Prints without the arguments, which may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(pub Vec<String>);

impl Instance {
    /// Whether an instance is the one with users, where its own section does not say: the last stage, or without a
    /// pipeline the one of that name.
    pub(super) fn is_production(name: &InstanceName, last_stage: Option<&InstanceName>) -> bool {
        last_stage.map_or(name.as_str() == "production", |last| last == name)
    }

    pub(super) fn read(section: &mut Section<'_, '_, '_>, production: bool) -> Option<Self> {
        let kind = section.get("kind", Kind::Appsmith);
        let container =
            section.required("container", "write the container's name, as `docker ps` shows it", |name: &String| {
                container_name(name)
            });
        let url = section.optional_checked("url", |text: &String| http_url(text));
        let login = read_login(section);
        let stop_grace = section.within("stop_grace", Duration::from_secs(120), SECOND..=3600 * SECOND);
        let acknowledge_mounts = section.checked("acknowledge_mounts", Vec::new(), |paths: &Vec<String>| {
            paths.iter().try_for_each(|path| mount_path(path))
        });
        let acknowledge_fields = section.get("acknowledge_fields", Vec::new());
        let acknowledge_writers = section.checked("acknowledge_writers", Vec::new(), |names: &Vec<String>| {
            names.iter().try_for_each(|name| container_name(name))
        });
        let production = section.get("production", production);
        let parts = section.list("parts", read_part);
        let rest = section.get("rest", Vec::new());
        let wake = section.get("wake", Vec::new());
        let command_timeout = section.within("command_timeout", 120 * SECOND, SECOND..=3600 * SECOND);
        let checks = section.list("checks", Check::read);

        check_kind(section, kind, &checks);
        once_each(section, "parts", parts.iter().map(|part| part.name.as_str()));
        once_each(section, "checks", checks.iter().map(|check| check.name.as_str()));

        let container = container?;
        let url = url.map(|url: String| url.trim_end_matches('/').to_owned());
        Some(Self {
            kind,
            container,
            url,
            login,
            stop_grace,
            acknowledge_mounts,
            acknowledge_fields,
            acknowledge_writers,
            production,
            parts,
            rest,
            wake,
            command_timeout,
            checks,
        })
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// What a kind needs and does not take.
fn check_kind(section: &mut Section<'_, '_, '_>, kind: Kind, checks: &[Check]) {
    let mut refuse = |keys: &[&str], text: &str| {
        for key in keys {
            if section.is_given(key) {
                section.problem(key, text);
            }
        }
    };
    match kind {
        Kind::Appsmith => {
            refuse(
                &["parts", "rest", "wake", "command_timeout"],
                "only for `kind = \"generic\"`; of Appsmith Tidegate knows it",
            );
            if !section.is_given("url") {
                section.missing("url", "write where Appsmith is reached from here");
            }
            if checks.iter().any(Check::is_query) && !section.is_given("login_user") {
                section.missing("login_user", "checks of `type = \"query\"` need it");
            }
        }
        Kind::Generic => {
            refuse(&["login_user", "login_password_file"], "only for `kind = \"appsmith\"`");
            if !section.is_given("parts") {
                section.missing("parts", "a snapshot holds what its tables name");
            }
            // Those that are wrong are not among the checks; most need it.
            let needed = checks.iter().any(Check::needs_url) || checks.is_empty() && section.is_given("checks");
            if needed && !section.is_given("url") {
                section.missing("url", "the checks need it");
            }
            if checks.iter().any(Check::wants_login) {
                section.problem("checks", "`login` is only for `kind = \"appsmith\"`");
            }
            if checks.iter().any(Check::is_query) {
                section.problem("checks", "those of `type = \"query\"` are only for `kind = \"appsmith\"`");
            }
        }
    }
}

fn read_login(section: &mut Section<'_, '_, '_>) -> Option<Login> {
    let user = section.optional("login_user");
    let file = section.secret_file("login_password", "login_password_file");
    match (user, file) {
        (Some(user), Some(password_file)) => Some(Login { user, password_file }),
        (Some(_), None) if !section.is_given("login_password") => {
            section.problem("login_user", "needs `login_password_file` beside it");
            None
        }
        (None, Some(_)) => {
            section.problem("login_password_file", "needs `login_user` beside it");
            None
        }
        _ => None,
    }
}

fn read_part(section: &mut Section<'_, '_, '_>) -> Option<PartPlan> {
    let name = section.required::<PartName>("name", "give the part a name, such as `\"data\"`", |_| Ok(()));
    let mount =
        section.required::<String>("mount", "write where the mount lies in the container", |path| mount_path(path));
    let below = |paths: &Vec<String>| paths.iter().try_for_each(|path| path_below(path));
    let include = section.checked("include", vec![".".to_owned()], below);
    let exclude = section.checked("exclude", Vec::new(), below);
    let cover = |paths: Vec<String>| paths.iter().map(|path| as_cover(path)).collect();
    Some(PartPlan { name: name?, mount: mount?, cover: Cover { include: cover(include), exclude: cover(exclude) } })
}

fn once_each<'n>(section: &mut Section<'_, '_, '_>, key: &str, names: impl Iterator<Item = &'n str>) {
    let mut seen = Vec::new();
    for name in names {
        if seen.contains(&name) {
            section.problem(key, format!("two are called `{name}`"));
        }
        seen.push(name);
    }
}

/// What Docker takes as a name.
fn container_name(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits) {
        Ok(())
    } else {
        Err("must be letters, digits, `_`, `.` and `-`, without a `/` before them".into())
    }
}

fn mount_path(text: &str) -> Result<(), String> {
    let whole = |rest: &str| rest.split('/').all(|part| !matches!(part, "" | "." | ".."));
    match text.strip_prefix('/') {
        Some(rest) if whole(rest) => Ok(()),
        _ => {
            Err(format!("`{text:?}` must be a path inside the container, such as `\"/data\"`, without `/` at its end"))
        }
    }
}

fn path_below(text: &str) -> Result<(), String> {
    let inside = |part: &str| !matches!(part, "" | "." | "..");
    if text == "." || text.strip_suffix('/').unwrap_or(text).split('/').all(inside) {
        Ok(())
    } else {
        Err(format!("`{text:?}` must be a path below the mount, such as `\"db/files\"`, or `\".\"` for all of it"))
    }
}

fn as_cover(text: &str) -> String {
    if text == "." { String::new() } else { text.trim_end_matches('/').to_owned() }
}

one_of!(
    Kind,
    "a kind of instance",
    "write `\"appsmith\"` or `\"generic\"`",
    "appsmith" => Kind::Appsmith,
    "generic" => Kind::Generic
);

impl Value for Command {
    const WHAT: &'static str = "a command";
    const HOW: &'static str = "write program and arguments, such as `[\"sync\", \"-f\"]`";
    fn from_toml(value: &toml::de::DeValue<'_>) -> Result<Self, String> {
        if !matches!(value, toml::de::DeValue::Array(_)) {
            return Err(wrong_type::<Self>(value));
        }
        match Vec::<Argument>::from_toml(value)? {
            words if words.first().is_none_or(|program| program.0.is_empty()) => {
                Err(format!("must not be empty; {}", Self::HOW))
            }
            words => Ok(Self(words.into_iter().map(|word| word.0).collect())),
        }
    }
    /// Without the arguments, which may hold a secret.
    fn to_toml(&self) -> String {
        let program = self.0.first().cloned();
        let rest = self.0.iter().skip(1).map(|_| "…".to_owned());
        program.into_iter().chain(rest).collect::<Vec<_>>().to_toml()
    }
}

/// A word of a command; may be empty.
struct Argument(String);

from_string!(Argument, "a text", "write it in quotes", |text| Ok(Self(text.to_owned())), |word| word.0.clone());

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.0.first().map_or("", String::as_str);
        write!(f, "Command({program:?} and {} more)", self.0.len().saturating_sub(1))
    }
}
