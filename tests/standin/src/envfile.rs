//! `docker.env`: made at the first start, read at each start of a program, filled up by newer versions.

use crate::failure::{Failure, Result};
use crate::feature::Feature;
use crate::paths::Volume;
use crate::version::Version;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Settings by name, with the container's environment on top of the file.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the file and lays `container` over it: the container's environment wins.
    pub fn load(volume: &Volume, version: Version, container: &BTreeMap<String, String>) -> Result<Self> {
        let path = volume.docker_env();
        let text = fs::read_to_string(&path).map_err(Failure::at("read", &path))?;
        let mut values = parse(&text, version.has(Feature::StrictEnv))?;
        values.extend(container.clone());
        Ok(Self { values })
    }

    /// A setting that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The key that datasource credentials are encrypted with.
    pub fn encryption_key(&self) -> String {
        let part = |name| self.get(name).unwrap_or_default();
        format!("{}:{}", part("APPSMITH_ENCRYPTION_PASSWORD"), part("APPSMITH_ENCRYPTION_SALT"))
    }

    /// Is the database inside this container?
    pub fn mongodb_is_local(&self) -> bool {
        let url = self.get("APPSMITH_DB_URL").or_else(|| self.get("APPSMITH_MONGODB_URI")).unwrap_or_default();
        url.starts_with("mongodb") && is_local(url)
    }

    /// Is Redis inside this container?
    pub fn redis_is_local(&self) -> bool {
        is_local(self.get("APPSMITH_REDIS_URL").unwrap_or_default())
    }

    /// Is the embedded PostgreSQL wanted?
    pub fn wants_postgres(&self) -> bool {
        self.get("APPSMITH_ENABLE_EMBEDDED_DB") != Some("0")
    }
}

fn is_local(url: &str) -> bool {
    url.contains("localhost") || url.contains("127.0.0.1")
}

/// The variables of the container that programs may see, out of its whole environment.
pub fn container_variables(environment: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut kept: BTreeMap<String, String> =
        environment.filter(|(name, _)| name.starts_with("APPSMITH_") || name.starts_with("MONGO_")).collect();
    if let Some(url) = kept.remove("APPSMITH_MONGODB_URI") {
        kept.entry("APPSMITH_DB_URL".to_owned()).or_insert(url);
    }
    kept
}

/// Parses the file. The last assignment of a name wins. `strict` refuses what a shell would have evaluated.
pub fn parse(text: &str, strict: bool) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refuse = |name: &str, why: &str| {
            let line = index + 1;
            Failure::new(format!("Unable to load environment configuration: line {line} ({name}): {why}"))
        };
        let Some((name, value)) = line.split_once('=') else {
            if strict {
                return Err(refuse(line, "not an assignment"));
            }
            continue;
        };
        let name = name.trim_start_matches("export ").trim();
        if strict && !name.starts_with(['A', 'M', 'K', 'N', 'J', 'F', 'P', 'H', 'h', 'n']) {
            return Err(refuse(name, "this name is not allowed"));
        }
        let single = quoted(value, '\'');
        if strict && single.is_none() && (value.contains('`') || value.contains('$')) {
            return Err(refuse(name, "shell expressions are not supported"));
        }
        let plain = single.or_else(|| quoted(value, '"')).unwrap_or(value);
        values.insert(name.to_owned(), plain.to_owned());
    }
    Ok(values)
}

fn quoted(value: &str, quote: char) -> Option<&str> {
    value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote))
}

/// The text of a new file. `secret` makes one 13-character secret at a time.
pub fn template(version: Version, mut secret: impl FnMut() -> String) -> String {
    let (mongo, password, salt, last) = (secret(), secret(), secret(), secret());
    let mut text = String::from("# Written by the stand-in at its first start, as Appsmith's entry point does.\n");
    let mut add = |name: &str, value: &str| text.push_str(&format!("{name}={value}\n"));
    add("APPSMITH_MAIL_ENABLED", "");
    add("APPSMITH_MAIL_FROM", "");
    add("APPSMITH_OAUTH2_GOOGLE_CLIENT_ID", "");
    let url = if version.has(Feature::DbUrl) { "APPSMITH_DB_URL" } else { "APPSMITH_MONGODB_URI" };
    add(url, &format!("mongodb://appsmith:{mongo}@localhost:27017/appsmith"));
    add("APPSMITH_MONGODB_USER", "appsmith");
    add("APPSMITH_MONGODB_PASSWORD", &mongo);
    if version.has(Feature::RedisPassword) {
        add("APPSMITH_REDIS_PASSWORD", &last);
        add("APPSMITH_REDIS_URL", &format!("redis://:{last}@127.0.0.1:6379"));
    } else {
        add("APPSMITH_REDIS_URL", "redis://127.0.0.1:6379");
        add("APPSMITH_SUPERVISOR_USER", "appsmith");
        add("APPSMITH_SUPERVISOR_PASSWORD", &last);
    }
    add("APPSMITH_ENCRYPTION_PASSWORD", &password);
    add("APPSMITH_ENCRYPTION_SALT", &salt);
    add("APPSMITH_CUSTOM_DOMAIN", "");
    add("APPSMITH_JAVA_ARGS", "");
    add("APPSMITH_DISABLE_TELEMETRY", "true");
    text
}

/// The file as a newer version leaves it: a Redis password is added where there is none. `None` if nothing is missing.
pub fn filled_up(text: &str, version: Version, secret: impl FnOnce() -> String) -> Option<String> {
    if !version.has(Feature::RedisPassword) || text.lines().any(|line| line.starts_with("APPSMITH_REDIS_PASSWORD=")) {
        return None;
    }
    let secret = secret();
    let local = "APPSMITH_REDIS_URL=redis://127.0.0.1:6379";
    let line = |line: &str| match line {
        _ if line == local => format!("APPSMITH_REDIS_URL=redis://:{secret}@127.0.0.1:6379\n"),
        _ => format!("{line}\n"),
    };
    let mut filled: String = text.lines().map(line).collect();
    filled.push_str(&format!("APPSMITH_REDIS_PASSWORD={secret}\n"));
    Some(filled)
}

/// Thirteen random letters and digits.
pub fn random_secret() -> String {
    use rand::Rng;
    rand::rng().sample_iter(&rand::distr::Alphanumeric).take(13).map(char::from).collect()
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(Failure::at("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_assignment_wins_and_quotes_go() {
        let values = parse("A_X=1\nAPPSMITH_A='one two'\nAPPSMITH_A=\"three\"\n# B=2\n", false).unwrap();
        assert_eq!(values.get("APPSMITH_A").unwrap(), "three");
        assert_eq!(values.len(), 2);
    }

    #[test]
    fn the_strict_parser_refuses_shell_expressions() {
        let error = parse("APPSMITH_A=1\nAPPSMITH_B=$(hostname)\n", true).unwrap_err().to_string();
        assert!(error.starts_with("Unable to load environment configuration: line 2 (APPSMITH_B):"), "{error}");
        assert!(parse("APPSMITH_B='$plain'\n", true).is_ok());
        assert!(parse("APPSMITH_B=$(hostname)\n", false).is_ok());
    }

    #[test]
    fn an_upgrade_fills_in_the_redis_password_once() {
        let old = template(version("v1.91"), || "s".repeat(13));
        let filled = filled_up(&old, version("v1.97"), || "fresh".into()).unwrap();
        assert!(filled.contains("APPSMITH_REDIS_URL=redis://:fresh@127.0.0.1:6379\n"));
        assert!(filled_up(&filled, version("v2.0"), || "again".into()).is_none());
        assert!(filled_up(&old, version("v1.96"), || "never".into()).is_none());
    }

    #[test]
    fn the_containers_environment_wins_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        fs::create_dir_all(dir.path().join("configuration")).unwrap();
        write_private(&volume.docker_env(), &template(version("v2.0"), || "s".repeat(13))).unwrap();
        let given = [("APPSMITH_MONGODB_URI", "mongodb://db.example/x"), ("HOME", "/")];
        let container = container_variables(given.iter().map(|(n, v)| (n.to_string(), v.to_string())));
        let settings = Settings::load(&volume, version("v2.0"), &container).unwrap();
        assert!(!settings.mongodb_is_local() && settings.redis_is_local() && settings.get("HOME").is_none());
    }
}
