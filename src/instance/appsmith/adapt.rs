//! The data of one Appsmith in the place of another.
//!
//! Its settings are two kinds. Some belong to the *data*: the keys that open what is encrypted in the database, and the
//! database's own accounts, which lie in its files. Those come along. All others say what the *place* is (its address,
//! its mail server, its licence, who may log in how), and stay as they are there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::settings::{Settings, name_of};
use crate::instance::adapt::{Adapted, Taken};
use crate::instance::mounts::{below, join};
use crate::model::ids::PartName;
use crate::model::part::PartPlan;

/// Two names of one setting; the first is the one since v1.27.
const DATABASE: [&str; 2] = ["APPSMITH_DB_URL", "APPSMITH_MONGODB_URI"];

/// What the data cannot be read without.
const OF_THE_DATA: [&str; 7] = [
    "APPSMITH_ENCRYPTION_PASSWORD",
    "APPSMITH_ENCRYPTION_SALT",
    "APPSMITH_MONGODB_USER",
    "APPSMITH_MONGODB_PASSWORD",
    "MONGO_INITDB_DATABASE",
    "MONGO_INITDB_ROOT_USERNAME",
    "MONGO_INITDB_ROOT_PASSWORD",
];

/// An embedded Redis has a password since v1.97, and none before: this goes by the image, which is the snapshot's.
const OF_THE_REDIS: [&str; 2] = ["APPSMITH_REDIS_URL", "APPSMITH_REDIS_PASSWORD"];

/// Decides what is put in place otherwise than it was taken. Pure. The error says why it does not fit, in words and
/// without secrets.
pub fn adapt(taken: Taken<'_>) -> Result<Adapted, String> {
    let theirs = Settings::effective(&taken.given.config, taken.given.file.as_deref().unwrap_or_default());
    let emptied = if taken.empty_cache && !theirs.keeps_git_in_embedded_redis() {
        taken.parts.iter().filter(|part| is_redis(part)).map(|part| part.name.clone()).collect()
    } else {
        Vec::<PartName>::new()
    };
    let Some(own) = taken.own else { return Ok(Adapted { emptied, ..Adapted::default() }) };
    let Some(own_file) = &own.file else {
        return Err("it has no settings of its own yet: start it once, so that it makes them".into());
    };
    let ours = Settings::effective(&own.config, own_file);
    let mut lines = Vec::new();
    for name in OF_THE_DATA {
        lines.push((name, theirs.get(name)));
    }
    lines.extend(DATABASE.map(|name| (name, theirs.get(DATABASE[0]))));
    if theirs.has_embedded_redis() && ours.has_embedded_redis() && !is_given(&own.config, OF_THE_REDIS[0]) {
        lines.extend(OF_THE_REDIS.map(|name| (name, theirs.get(name))));
    }
    // What the container is given wins over the file, so a file cannot help there.
    for (name, value) in &lines {
        let effective = if DATABASE.contains(name) { ours.get(DATABASE[0]) } else { ours.get(name) };
        if is_given(&own.config, name) && effective != *value {
            return Err(format!(
                "its container is given {name}, which is another than the data was written with; take it out of the \
                 container's environment, or give it the value of the other instance"
            ));
        }
    }
    let carried: BTreeSet<&str> = lines.iter().map(|(name, _)| *name).collect();
    let mut text = String::new();
    for line in own_file.lines().filter(|line| !name_of(line).is_some_and(|name| carried.contains(name.as_str()))) {
        text.push_str(line);
        text.push('\n');
    }
    let mut names = Vec::new();
    for (name, value) in lines {
        let Some(value) = value else { continue };
        text.push_str(&format!("{name}={}\n", quoted(name, value)?));
        names.push(name.to_owned());
    }
    Ok(Adapted { settings: Some(text), carried: names, emptied })
}

/// As the shell of older versions and the strict reader of v2.5.1 both take it literally.
fn quoted(name: &str, value: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@,+=%".contains(c);
    match value {
        plain if plain.chars().all(is_plain) => Ok(plain.to_owned()),
        value if !value.contains(['\'', '\n', '\r', '\0']) => Ok(format!("'{value}'")),
        _ => Err(format!("the value of {name} that belongs to the data cannot be written to its settings file")),
    }
}

fn is_given(config: &Value, name: &str) -> bool {
    let given = config.get("Env").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    given.filter_map(|pair| pair.split_once('=')).any(|(given, _)| given == name)
}

fn is_redis(part: &PartPlan) -> bool {
    let place = below(super::parts::STACKS, &part.mount).unwrap_or_default();
    let all_of_it = |include: &String| join(place, include) == "data/redis";
    !part.cover.include.is_empty() && part.cover.include.iter().all(all_of_it)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_porter::protocol::Cover;

    use super::*;
    use crate::instance::adapt::Given;

    fn given(env: &[&str], file: &str) -> Given {
        Given { config: json!({ "Env": env }), file: Some(file.to_owned()) }
    }

    fn part(name: &str, mount: &str, include: &str) -> PartPlan {
        let cover = Cover { include: vec![include.to_owned()], exclude: Vec::new() };
        PartPlan { name: PartName::new(name).unwrap(), mount: mount.into(), cover }
    }

    fn adapted(taken: &Given, own: &Given) -> Result<Adapted, String> {
        let parts =
            [part("database", "/appsmith-stacks", "data/mongodb"), part("redis", "/appsmith-stacks", "data/redis")];
        adapt(Taken { given: taken, parts: &parts, own: Some(own), empty_cache: true })
    }

    const PRODUCTION: &str = "APPSMITH_ENCRYPTION_PASSWORD=pp\nAPPSMITH_ENCRYPTION_SALT=ps\n\
        APPSMITH_DB_URL=\"mongodb://appsmith:prodpw@localhost:27017/appsmith\"\nAPPSMITH_MONGODB_PASSWORD=prodpw\n\
        APPSMITH_MAIL_HOST=mail.production\nAPPSMITH_CUSTOM_DOMAIN=apps.example\n\
        APPSMITH_REDIS_URL=redis://:rp@127.0.0.1:6379\nAPPSMITH_REDIS_PASSWORD=rp\n";
    const STAGING: &str = "# mine\nAPPSMITH_ENCRYPTION_PASSWORD=sp\nexport APPSMITH_ENCRYPTION_SALT='ss'\n\
        APPSMITH_DB_URL=mongodb://appsmith:stagpw@localhost:27017/appsmith\nAPPSMITH_MONGODB_PASSWORD=stagpw\n\
        APPSMITH_MAIL_HOST=mail.staging\nAPPSMITH_REDIS_URL=redis://127.0.0.1:6379\n";

    #[test]
    fn the_keys_come_with_the_data_and_the_place_stays_itself() {
        let adapted = adapted(&given(&[], PRODUCTION), &given(&[], STAGING)).unwrap();
        insta::assert_snapshot!(adapted.settings.as_ref().unwrap(), @r"
        # mine
        APPSMITH_MAIL_HOST=mail.staging
        APPSMITH_ENCRYPTION_PASSWORD=pp
        APPSMITH_ENCRYPTION_SALT=ps
        APPSMITH_MONGODB_PASSWORD=prodpw
        APPSMITH_DB_URL=mongodb://appsmith:prodpw@localhost:27017/appsmith
        APPSMITH_MONGODB_URI=mongodb://appsmith:prodpw@localhost:27017/appsmith
        APPSMITH_REDIS_URL=redis://:rp@127.0.0.1:6379
        APPSMITH_REDIS_PASSWORD=rp
        ");
        assert_eq!(adapted.emptied, [PartName::new("redis").unwrap()]);
        assert!(!format!("{adapted:?}").contains("prodpw"));
    }

    #[test]
    fn a_key_from_the_environment_of_the_one_is_written_for_the_other() {
        let taken = given(&["APPSMITH_ENCRYPTION_SALT=it has 'no'", "OTHER=x"], PRODUCTION);
        let error = adapted(&taken, &given(&[], STAGING)).unwrap_err();
        assert!(error.contains("APPSMITH_ENCRYPTION_SALT") && !error.contains("it has"), "{error}");
        let taken = given(&["APPSMITH_ENCRYPTION_SALT=a $b `c`"], PRODUCTION);
        let settings = adapted(&taken, &given(&[], STAGING)).unwrap().settings.unwrap();
        assert!(settings.contains("\nAPPSMITH_ENCRYPTION_SALT='a $b `c`'\n"), "{settings}");
        assert_eq!(settings.matches("APPSMITH_ENCRYPTION_SALT").count(), 1, "{settings}");
    }

    #[test]
    fn a_key_that_the_container_is_given_can_not_be_replaced_by_a_file() {
        for name in [
            "APPSMITH_ENCRYPTION_PASSWORD=not-pp",
            "APPSMITH_MONGODB_URI=mongodb://localhost/elsewhere",
            "APPSMITH_ENCRYPTION_SALT=",
        ] {
            let error = adapted(&given(&[], PRODUCTION), &given(&[name], STAGING)).unwrap_err();
            let (name, value) = name.split_once('=').unwrap();
            assert!(
                error.contains(&format!("given {name}")) && (value.is_empty() || !error.contains(value)),
                "{error}"
            );
        }
        adapted(&given(&[], PRODUCTION), &given(&["APPSMITH_ENCRYPTION_PASSWORD=pp"], STAGING)).unwrap();
    }

    #[test]
    fn an_outside_redis_stays_the_places_own() {
        for (theirs, ours) in
            [("redis://cache:6379", "redis://127.0.0.1:6379"), ("redis://127.0.0.1:6379", "redis://cache:6379")]
        {
            let taken = given(&[], &format!("{PRODUCTION}APPSMITH_REDIS_URL={theirs}\n"));
            let own = given(&[], &format!("{STAGING}APPSMITH_REDIS_URL={ours}\n"));
            let settings = adapted(&taken, &own).unwrap().settings.unwrap();
            assert!(settings.contains(&format!("APPSMITH_REDIS_URL={ours}\n")), "{settings}");
            assert!(!settings.contains("APPSMITH_REDIS_PASSWORD"), "{settings}");
        }
    }

    #[test]
    fn a_redis_that_holds_git_is_never_emptied() {
        let parts = [part("redis", "/appsmith-stacks/data/redis", "")];
        let emptied = |env: &[&str]| {
            let given = given(env, PRODUCTION);
            adapt(Taken { given: &given, parts: &parts, own: None, empty_cache: true }).unwrap().emptied.len()
        };
        assert_eq!(emptied(&[]), 1);
        assert_eq!(emptied(&["APPSMITH_REDIS_GIT_URL=redis://127.0.0.1:6379"]), 0);
        assert_eq!(emptied(&["APPSMITH_REDIS_GIT_URL=redis://git-cache:6379"]), 1, "not the one that is emptied");
        assert_eq!(emptied(&["APPSMITH_GIT_ROOT=/dev/shm/git-storage"]), 0);
    }

    #[test]
    fn an_instance_that_was_never_started_has_nothing_to_stay() {
        let none = Given { config: json!({}), file: None };
        assert!(adapted(&given(&[], PRODUCTION), &none).unwrap_err().contains("start it once"));
    }
}
