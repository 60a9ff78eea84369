//! Change units, in the manner of Mongock: each runs once per database, in order, and there is no way back.

use super::database::{Collection, Database};
use super::documents::{put_plugins, text};
use super::ids::Numbers;
use super::spoil;
use crate::behaviour::Behaviour;
use crate::time::Moment;
use serde_json::{Value, json};

/// One change unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Makes a fresh database: instance id, plugins.
    Initial,
    /// Brings every application from the format below to this one.
    Format(u32),
    /// What every release brings along: it only notes itself.
    Release(String),
}

impl Unit {
    /// The id in the change log.
    pub fn id(&self) -> String {
        match self {
            Self::Initial => "initial-schema".to_owned(),
            Self::Format(format) => format!("applications-to-format-{format}"),
            Self::Release(version) => format!("release-{version}"),
        }
    }

    /// The class that a Java change unit would be in.
    fn class(&self) -> String {
        let package = "com.appsmith.server.migrations.db.ce";
        match self {
            Self::Initial => format!("{package}.Migration001InitialSchema"),
            Self::Format(format) => format!("{package}.Migration{:03}ApplicationsToFormat{format}", 60 + format),
            Self::Release(version) => format!("{package}.MigrationRelease{}", version.replace(['v', '.'], "_")),
        }
    }
}

/// What has not run yet on this database, in order.
pub fn pending(database: &Database, behaviour: &Behaviour) -> Vec<Unit> {
    let formats = (super::marker::UNMARKED + 1..=behaviour.format).map(Unit::Format);
    let release = Unit::Release(behaviour.version.to_string());
    let all = std::iter::once(Unit::Initial).chain(formats).chain([release]);
    all.filter(|unit| database.get(Collection::MongockChangeLog, &unit.id()).is_none()).collect()
}

/// Runs one change unit in memory; the caller commits.
pub fn apply(database: &mut Database, unit: &Unit, behaviour: &Behaviour) {
    match unit {
        Unit::Initial => initialise(database, &mut Numbers::random()),
        Unit::Format(format) => {
            let ids: Vec<String> =
                database.all(Collection::Application).map(|app| text(app, "_id").to_owned()).collect();
            for id in ids {
                database.change(Collection::Application, &id, |application| reshape(application, *format));
            }
        }
        Unit::Release(_) => spoil::spoil(database, behaviour),
    }
    note(database, unit, &Moment::now().iso());
}

/// Writes into the change log that a unit ran.
pub fn note(database: &mut Database, unit: &Unit, now: &str) {
    let order = database.all(Collection::MongockChangeLog).count();
    database.put(
        Collection::MongockChangeLog,
        json!({
            "_id": unit.id(), "changeId": unit.id(), "author": " ", "order": order, "state": "EXECUTED",
            "type": "EXECUTION", "changeLogClass": unit.class(), "timestamp": now,
        }),
    );
}

/// What a database has before anybody signs up.
pub fn initialise(database: &mut Database, numbers: &mut Numbers) {
    let instance = numbers.object_id();
    let organization = numbers.object_id();
    database
        .put(Collection::Config, json!({"_id": "instance-id", "name": "instance-id", "config": {"value": instance}}));
    database.put(
        Collection::Config,
        json!({"_id": "organization", "name": "organization", "config": {"value": organization}}),
    );
    database.put(Collection::Config, json!({"_id": "schemaVersion", "name": "schemaVersion", "config": {"value": 2}}));
    put_plugins(database);
}

/// Gives an application the shape of `format`. Doing it twice changes nothing more.
pub fn reshape(application: &mut Value, format: u32) {
    let Some(fields) = application.as_object_mut() else { return };
    if fields.get("format").and_then(Value::as_u64).is_some_and(|has| has >= u64::from(format)) {
        return;
    }
    if format == 7 {
        // Format 7 moves how an application looks into a field of its own.
        let look = json!({"icon": fields.remove("icon"), "color": fields.remove("color")});
        fields.insert("presentation".to_owned(), look);
    }
    fields.insert("format".to_owned(), json!(format));
    fields.insert("migrations".to_owned(), json!((super::marker::UNMARKED + 1..=format).collect::<Vec<_>>()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::data::documents;
    use crate::options::Options;

    fn behaviour(words: &[&str]) -> Behaviour {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Baked::take(&mut Options::read(&words).unwrap()).unwrap().in_environment(None, None).unwrap()
    }

    fn migrate(database: &mut Database, behaviour: &Behaviour) -> Vec<Unit> {
        let units = pending(database, behaviour);
        units.iter().for_each(|unit| apply(database, unit, behaviour));
        units
    }

    fn with_one_app(name: &str) -> (tempfile::TempDir, Database) {
        let dir = tempfile::tempdir().unwrap();
        let mut database = Database::open(dir.path()).unwrap();
        migrate(&mut database, &behaviour(&["--version", "v1.95"]));
        let application = documents::application(&mut Numbers::seeded(1), "w", name, 5, "now");
        database.put(Collection::Application, application);
        (dir, database)
    }

    #[test]
    fn each_unit_runs_once_and_the_log_only_grows() {
        let (_dir, mut database) = with_one_app("Orders");
        assert!(pending(&database, &behaviour(&["--version", "v1.95"])).is_empty());
        let units = migrate(&mut database, &behaviour(&["--version", "v2.2"]));
        assert_eq!(units, [Unit::Format(6), Unit::Format(7), Unit::Release("v2.2".into())]);
        assert!(migrate(&mut database, &behaviour(&["--version", "v2.2"])).is_empty());
        assert_eq!(database.all(Collection::MongockChangeLog).count(), 5);
    }

    #[test]
    fn documents_change_their_shape_once() {
        let (_dir, mut database) = with_one_app("Orders");
        migrate(&mut database, &behaviour(&["--version", "v2.2"]));
        let application = database.matching(Collection::Application, "name", "Orders").next().unwrap().clone();
        assert_eq!((&application["format"], &application["presentation"]["icon"]), (&json!(7), &json!("bag")));
        let mut again = application.clone();
        reshape(&mut again, 7);
        assert_eq!(again, application);
    }

    #[test]
    fn a_broken_release_loses_the_named_app_only() {
        let (_dir, mut database) = with_one_app("Orders");
        migrate(&mut database, &behaviour(&["--version", "v1.96", "--broken", "lose-app:Returns"]));
        assert_eq!(database.all(Collection::Application).count(), 1);
        migrate(&mut database, &behaviour(&["--version", "v1.97", "--broken", "lose-app:Orders"]));
        assert_eq!(database.all(Collection::Application).count(), 0);
    }
}
