//! What the checks saw at one moment: the *baseline* before an upgrade, the *outcome* after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// Everything the checks saw of one instance at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// What is there, so that a thing that vanished is found.
    pub inventory: Inventory,
    /// What each check found, by the check's id (`app:<id>/page:<id>`, `http:<name>`).
    pub checks: BTreeMap<String, Seen>,
    /// How long the app took to answer what a check asked, in milliseconds, by the check's id; not every check has
    /// one. For people: no verdict looks at it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub took_ms: BTreeMap<String, u64>,
}

impl Observation {
    /// The first check that did not pass, as one line; `None` where all is well.
    pub fn first_failure(&self) -> Option<String> {
        self.checks.values().find_map(|seen| match &seen.result {
            SeenResult::Pass => None,
            SeenResult::Fail { reason } | SeenResult::Error { reason } => Some(format!("{}: {reason}", seen.title)),
        })
    }

    /// The same things, with every check passed: what to compare with where nothing else is known.
    pub fn all_well(&self) -> Self {
        let mut well = self.clone();
        well.checks.values_mut().for_each(|seen| seen.result = SeenResult::Pass);
        well
    }

    /// Without the checks that the configuration names and `now` does not have, and without what the log said: where
    /// another instance's view is the baseline, they say nothing.
    pub fn without_configured(mut self, now: &Self) -> Self {
        let is_configured = |id: &str| CONFIGURED.contains(&id.split(':').next().unwrap_or_default());
        self.checks.retain(|id, _| !is_configured(id) || now.checks.contains_key(id));
        self
    }

    /// How many checks passed.
    pub fn passed_count(&self) -> usize {
        self.checks.values().filter(|seen| seen.result == SeenResult::Pass).count()
    }
}

/// What the ids of checks begin with that are there because the configuration says so.
const CONFIGURED: [&str; 7] = ["http", "tcp", "exec", "query", "browser", "datasource", "log"];

/// The things of an instance, by id, with their names.
///
/// The id of what exists once a Git branch is the one that all branches share. A field that a look cannot fill, for
/// want of a right or in an older version, stays empty; so do those that older manifests do not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Appsmith's `instanceId`: stable per database.
    pub instance_id: Option<String>,
    /// `workspace`, `application`, `page`, `query`, `datasource` and so on: id to name. A kind that was looked for
    /// and not found is there and empty; one that could not be looked for is missing.
    pub things: BTreeMap<String, BTreeMap<String, String>>,
    /// Where a thing is: its id to that of the page, application or workspace that holds it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub holders: BTreeMap<String, String>,
    /// Who may do what: of each workspace whose members could be read, by role, the users' names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, Roles>,
    /// The applications that are connected to Git.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub git: BTreeMap<String, GitState>,
}

/// The users of a workspace by role, such as `Developer`.
pub type Roles = BTreeMap<String, BTreeSet<String>>;

/// The kinds of things that hold others, the innermost first, and what they are called in a title.
const HOLDERS: [(&str, &str); 3] = [("page", "page"), ("application", "app"), ("workspace", "workspace")];

impl Inventory {
    /// What a person calls a thing: its kind, its name and where it is, such as
    /// ``query `getOrders` of page `Home` of app `Orders` ``.
    pub fn title(&self, kind: &str, id: &str) -> String {
        let name = self.things.get(kind).and_then(|things| things.get(id)).map_or(id, String::as_str);
        let mut title = format!("{kind} `{name}`");
        // Which workspace an application is in does not help to find it, and what is in it is found by it.
        let mut holder = if kind == "application" { None } else { self.holders.get(id) };
        // Each holder is of another kind, so this ends even where two hold each other.
        for (kind, word) in HOLDERS {
            let Some(id) = holder else { break };
            if let Some(name) = self.things.get(kind).and_then(|things| things.get(id)) {
                title.push_str(&format!(" of {word} `{name}`"));
                holder = if kind == "application" { None } else { self.holders.get(id) };
            }
        }
        title
    }

    /// What a person calls a page of which only the id is at hand.
    pub fn page_title(&self, id: &str) -> String {
        match self.things.get("page").is_some_and(|pages| pages.contains_key(id)) {
            true => self.title("page", id),
            false => format!("page {id}"),
        }
    }
}

/// How an application is connected to Git.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitState {
    /// The repository's address, without a password.
    pub remote: Option<String>,
    /// The branch that was looked at.
    pub branch: Option<String>,
    /// The branch that is deployed.
    pub default_branch: Option<String>,
    /// Whether Appsmith protects the branch against commits; `None` where it does not say.
    pub protected: Option<bool>,
}

impl fmt::Display for GitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".into());
        write!(f, "branch `{}` of {}", known(&self.branch), known(&self.remote))?;
        if let Some(default) = self.default_branch.as_ref().filter(|_| self.default_branch != self.branch) {
            write!(f, ", default branch `{default}`")?;
        }
        if self.protected == Some(true) { f.write_str(", protected") } else { Ok(()) }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// What a person calls it, such as ``page `Orders` of app `Shop` ``.
    pub title: String,
    /// Whether it is well.
    pub result: SeenResult,
}

/// Whether a thing is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum SeenResult {
    /// It works.
    Pass,
    /// It does not work.
    Fail {
        /// What was wrong with it.
        reason: String,
    },
    /// Whether it works could not be found out.
    Error {
        /// Why not.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the first manifests hold it, byte for byte.
    const OLD: &str = r#"{"inventory":{"instance_id":"64f0","things":{"page":{"p1":"Home"},"page-structure":{"p1":"empty"}}},
        "checks":{"ready":{"title":"it answers","result":{"is":"pass"}},
        "app:a1":{"title":"app `A`","result":{"is":"fail","reason":"404"}}}}"#;

    #[test]
    fn what_older_versions_wrote_is_read() {
        let old: Observation = serde_json::from_str(OLD).unwrap();
        assert_eq!(old.inventory.things["page"]["p1"], "Home");
        assert!(old.inventory.members.is_empty() && old.inventory.git.is_empty() && old.took_ms.is_empty());
        assert_eq!(old.inventory.page_title("p1"), "page `Home`");
        // What has nothing new to say is written as before.
        let again = serde_json::to_string(&old).unwrap();
        assert!(!again.contains("members") && !again.contains("took_ms") && !again.contains("holders"), "{again}");
        assert_eq!(serde_json::from_str::<Observation>(&again).unwrap(), old);
    }

    #[test]
    fn a_title_says_where_a_thing_is() {
        let mut inventory = Inventory::default();
        let things = [
            ("workspace", "w", "Team", None),
            ("application", "a", "Shop", Some("w")),
            ("page", "p", "Home", Some("a")),
            ("query", "q", "getAll", Some("p")),
            ("query", "q2", "onApp", Some("a")),
            ("datasource", "d", "DB", Some("w")),
        ];
        for (kind, id, name, holder) in things {
            inventory.things.entry(kind.into()).or_default().insert(id.into(), name.into());
            inventory.holders.extend(holder.map(|holder| (id.to_owned(), holder.to_owned())));
        }
        let title = |kind, id| inventory.title(kind, id);
        assert_eq!(title("query", "q"), "query `getAll` of page `Home` of app `Shop`");
        assert_eq!(title("query", "q2"), "query `onApp` of app `Shop`");
        assert_eq!(title("datasource", "d"), "datasource `DB` of workspace `Team`");
        assert_eq!(title("application", "a"), "application `Shop`");
        assert_eq!(title("page", "unknown"), "page `unknown`");
        inventory.holders.extend([("a".to_owned(), "p".to_owned()), ("p".to_owned(), "p".to_owned())]);
        assert!(inventory.title("query", "q").starts_with("query `getAll` of page `Home`"), "circles end");
    }
}
