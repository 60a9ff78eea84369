//! The settings that an Appsmith runs with: its container's environment over `configuration/docker.env`.
//!
//! Only the few that decide whether a snapshot can hold everything are looked at; the file also holds the keys to
//! all stored passwords, so it is never logged and not kept.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// Names and values in effect. Never shown.
#[derive(Default)]
pub struct Settings(BTreeMap<String, String>);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Settings {
    /// `config` has the shape of Docker's create request, `file` is the text of `docker.env`.
    pub fn effective(config: &Value, file: &str) -> Self {
        let mut settings: BTreeMap<String, String> = file.lines().filter_map(parse_line).collect();
        let given = config.get("Env").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for (name, value) in given.filter_map(|pair| pair.split_once('=')) {
            // The old name of the same setting.
            let name = if name == "APPSMITH_MONGODB_URI" { "APPSMITH_DB_URL" } else { name };
            if name.starts_with("APPSMITH_") || name.starts_with("MONGO_") {
                settings.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some(url) = settings.remove("APPSMITH_MONGODB_URI") {
            settings.entry("APPSMITH_DB_URL".into()).or_insert(url);
        }
        Self(settings)
    }

    /// What is in effect; `None` where it is empty, too.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A program inside the container that restarts what does not answer, so that nothing stays at rest.
    pub fn heals_itself(&self) -> bool {
        self.get("APPSMITH_AUTO_HEAL") == Some("1")
    }

    /// The Redis of the container itself is used.
    pub fn has_embedded_redis(&self) -> bool {
        self.get("APPSMITH_REDIS_URL").is_none_or(is_local)
    }

    /// Clones of Git repositories lie in the container's own Redis, and nowhere else.
    pub fn keeps_git_in_embedded_redis(&self) -> bool {
        let in_memory = |root: &str| root.starts_with("/dev/shm") || root.starts_with("/tmp/shm");
        match self.get("APPSMITH_REDIS_GIT_URL") {
            Some(url) => is_local(url),
            None => self.get("APPSMITH_GIT_ROOT").is_some_and(in_memory) && self.has_embedded_redis(),
        }
    }

    /// Data that lies elsewhere than in the container's mounts, in words and without secrets.
    pub fn out_of_reach(&self) -> Option<String> {
        if let Some(url) = self.get("APPSMITH_DB_URL") {
            let embedded = is_local(url);
            if !url.starts_with("mongodb") {
                return Some("its database is no MongoDB, and this version can only keep the embedded one".into());
            }
            if !embedded {
                return Some("its MongoDB is an outside one, and this version can only keep the embedded one".into());
            }
        }
        match self.get("APPSMITH_GIT_ROOT") {
            Some(root) if !root.starts_with("/appsmith-stacks/") && root.starts_with('/') => {
                Some(format!("its Git clones lie in {root}, which no snapshot holds"))
            }
            _ => None,
        }
    }
}

/// As the start scripts decide it.
fn is_local(url: &str) -> bool {
    url.contains("localhost") || url.contains("127.0.0.1")
}

/// What a shell would have evaluated in the file, and a version that reads it as data refuses: the first such line by
/// number and name, without its value.
pub fn shell_in(file: &str) -> Option<String> {
    let is_shell = |value: &str| {
        // `$$` stands for a number, and nobody means that: it is a password.
        let parts = value.replace("$$", "");
        let starts_one = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '{' | '(');
        parts.split('$').skip(1).any(|rest| rest.starts_with(starts_one)) || value.contains('`')
    };
    file.lines().enumerate().find_map(|(index, line)| {
        let name = name_of(line)?;
        let value = line.split_once('=')?.1.trim();
        let literal = value.len() > 1 && value.starts_with('\'') && value.ends_with('\'');
        (!literal && is_shell(value)).then(|| {
            format!(
                "line {} ({name}) of its docker.env holds a shell expression; write the value itself, in single quotes",
                index + 1
            )
        })
    })
}

/// The setting that a line of the file is about.
pub fn name_of(line: &str) -> Option<String> {
    parse_line(line).map(|(name, _)| name)
}

fn parse_line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
    let value = value.trim();
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    Some((name.trim().to_owned(), quoted('"').or_else(|| quoted('\'')).unwrap_or(value).to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(given: &[&str], file: &str) -> Settings {
        Settings::effective(&json!({ "Env": given }), file)
    }

    /// appsmith#11946: which of two settings is in effect.
    #[test]
    fn the_containers_environment_wins() {
        let file = "# settings\nAPPSMITH_AUTO_HEAL=1\nAPPSMITH_DB_URL='mongodb://a:b@localhost:27017/appsmith'\n";
        assert!(settings(&[], file).heals_itself());
        assert!(!settings(&["APPSMITH_AUTO_HEAL=0"], file).heals_itself());
        assert_eq!(settings(&[], file).out_of_reach(), None);
        assert_eq!(settings(&[], "").out_of_reach(), None);
    }

    /// appsmith#15312: an outside MongoDB was too old for the new version.
    #[test]
    fn an_outside_database_is_found_under_both_names_and_not_shown() {
        let outside = "mongodb+srv://user:hunter2@cluster.example/appsmith";
        for settings in [
            settings(&[&format!("APPSMITH_DB_URL={outside}")], "APPSMITH_DB_URL=mongodb://x@127.0.0.1/a"),
            settings(&[&format!("APPSMITH_MONGODB_URI={outside}")], ""),
            settings(&[], &format!("export APPSMITH_MONGODB_URI=\"{outside}\"")),
            settings(&["APPSMITH_DB_URL=postgresql://localhost/a"], ""),
        ] {
            let reason = settings.out_of_reach().unwrap();
            assert!(reason.contains("this version can only keep the embedded one"), "{reason}");
            assert!(!format!("{reason} {settings:?}").contains("hunter2"));
        }
    }

    /// appsmith#42225
    #[test]
    fn what_only_a_shell_reads_is_found_and_not_shown() {
        for bad in ["A=$(cat /secret)", "A=x${B}", "A=\"$HOME/x\"", "export A=`date`", "A='x'$y"] {
            let reason = shell_in(&format!("# $HOME\nFINE='$a `b`'\n{bad}\n")).unwrap();
            assert!(reason.starts_with("line 3 (A) of its docker.env") && !reason.contains("secret"), "{reason}");
        }
        for good in ["A='$(x)'", "A=pa$$word$1", "A=cost$", "# A=$B", "A=\"plain\"", "just words $B", ""] {
            assert_eq!(shell_in(good), None, "{good}");
        }
    }

    #[test]
    fn git_in_memory_is_out_of_reach() {
        assert!(settings(&["APPSMITH_GIT_ROOT=/dev/shm/git-storage"], "").out_of_reach().is_some());
        for inside in ["/appsmith-stacks/git-storage", "./container-volumes/git_storage", ""] {
            assert_eq!(settings(&[&format!("APPSMITH_GIT_ROOT={inside}")], "").out_of_reach(), None);
        }
    }
}
