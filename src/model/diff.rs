//! What differs between two observations, for a person. Judges nothing; that is `verdict`'s.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::model::observation::{Inventory, Observation, Seen, SeenResult};
use crate::model::verdict::{self, ON_LOAD_KIND, READY_CHECK, STRUCTURE_KIND};

/// What differs between a first and a second observation. Order means nothing, and how long a look took neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In the first alone.
    pub gone: Vec<Thing>,
    /// In the second alone.
    pub new: Vec<Thing>,
    /// In both, under another name.
    pub renamed: Vec<Change>,
    /// In both, but another: what a page shows or runs, a role, a branch, the database.
    pub changed: Vec<Change>,
    /// Checks with another result. Those of what is gone or new are left out.
    pub checks: Vec<Change>,
    /// What could not be compared, and why.
    pub unknown: Vec<String>,
}

/// A thing in one of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Thing {
    /// Such as `page`; `member` is a user of a workspace.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What a person calls it.
    pub title: String,
}

/// A thing or check that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its id, or the check's.
    pub id: String,
    /// What a person calls it.
    pub title: String,
    /// In the first.
    pub from: String,
    /// In the second.
    pub to: String,
}

impl Difference {
    /// Whether there is none, as far as could be compared.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty()
            && self.new.is_empty()
            && self.renamed.is_empty()
            && self.changed.is_empty()
            && self.checks.is_empty()
    }
}

/// Compares two observations.
pub fn between(first: &Observation, second: &Observation) -> Difference {
    let mut found = Difference::default();
    // One that did not answer shows no inventory: that is one thing to say, not one for each.
    match (verdict::answers(first), verdict::answers(second)) {
        (true, true) => {
            let (one, other) = (&first.inventory, &second.inventory);
            things(one, other, &mut found);
            members(one, other, &mut found);
            rest(one, other, &mut found);
        }
        (answers, _) => {
            let which = if answers { "the second" } else { "the first" };
            found.unknown.push(format!("what is there: {which} did not answer"));
        }
    }
    checks(first, second, &mut found);
    found
}

fn things(one: &Inventory, other: &Inventory, found: &mut Difference) {
    let kinds: BTreeSet<&String> = one.things.keys().chain(other.things.keys()).collect();
    for kind in kinds {
        let (were, are) = match (one.things.get(kind), other.things.get(kind)) {
            (Some(were), Some(are)) => (were, are),
            // A kind that was not looked for is missing; none of that kind is an empty list.
            (only, _) => {
                let which = if only.is_some() { "first" } else { "second" };
                found.unknown.push(format!("{kind}: only the {which} knows of it"));
                continue;
            }
        };
        // Not things of their own: they come and go with their page.
        let is_of_page = [STRUCTURE_KIND, ON_LOAD_KIND].contains(&kind.as_str());
        for (id, was) in were {
            match are.get(id) {
                Some(is) if is == was => {}
                Some(is) => {
                    let title = verdict::title(one, kind, id);
                    let change = Change { id: id.clone(), title, from: was.clone(), to: is.clone() };
                    if is_of_page { found.changed.push(change) } else { found.renamed.push(change) }
                }
                None if is_of_page => {}
                None => found.gone.push(thing(one, kind, id)),
            }
        }
        if !is_of_page {
            let new = are.keys().filter(|id| !were.contains_key(*id));
            found.new.extend(new.map(|id| thing(other, kind, id)));
        }
    }
}

fn thing(inventory: &Inventory, kind: &str, id: &str) -> Thing {
    Thing { kind: kind.to_owned(), id: id.to_owned(), title: verdict::title(inventory, kind, id) }
}

fn members(one: &Inventory, other: &Inventory, found: &mut Difference) {
    for (workspace, were) in &one.members {
        let Some(are) = other.members.get(workspace) else { continue };
        let of = one.title("workspace", workspace);
        let (were, are) = (verdict::by_user(were), verdict::by_user(are));
        let member = |user: &&str, roles: &String| Thing {
            kind: "member".into(),
            id: format!("{workspace}/{user}"),
            title: format!("{user} ({roles}) of {of}"),
        };
        for (user, was) in &were {
            match are.get(user) {
                Some(is) if is == was => {}
                Some(is) => found.changed.push(Change {
                    id: format!("{workspace}/{user}"),
                    title: format!("the role of {user} in {of}"),
                    from: was.clone(),
                    to: is.clone(),
                }),
                None => found.gone.push(member(user, was)),
            }
        }
        found.new.extend(are.iter().filter(|(user, _)| !were.contains_key(*user)).map(|(user, is)| member(user, is)));
    }
    if one.members.is_empty() != other.members.is_empty() {
        let which = if one.members.is_empty() { "second" } else { "first" };
        found.unknown.push(format!("members: only the {which} knows of them"));
    }
}

/// Git and the database.
fn rest(one: &Inventory, other: &Inventory, found: &mut Difference) {
    if one.instance_id != other.instance_id {
        let words = |id: &Option<String>| id.clone().unwrap_or_else(|| "not known".into());
        found.changed.push(Change {
            id: "instance".into(),
            title: "the instance's database".into(),
            from: words(&one.instance_id),
            to: words(&other.instance_id),
        });
    }
    let in_both = |app: &&String| {
        let has = |of: &Inventory| of.things.get("application").is_some_and(|all| all.contains_key(*app));
        has(one) && has(other)
    };
    let apps: BTreeSet<&String> = one.git.keys().chain(other.git.keys()).filter(in_both).collect();
    for app in apps {
        let words = |of: &Inventory| of.git.get(app).map_or_else(|| "not connected".to_owned(), ToString::to_string);
        let (from, to) = (words(one), words(other));
        if from != to {
            let title = format!("Git of {}", one.title("application", app));
            found.changed.push(Change { id: format!("git:{app}"), title, from, to });
        }
    }
}

fn checks(first: &Observation, second: &Observation, found: &mut Difference) {
    // A check of what is gone or new says nothing more.
    let mentioned: BTreeSet<&str> = found.gone.iter().chain(&found.new).map(|thing| thing.id.as_str()).collect();
    let is_of_one = |id: &str| id.split(['/', ':']).any(|word| mentioned.contains(word));
    let blind = found.unknown.iter().any(|what| what.starts_with("what is there"));
    let ids: BTreeSet<&String> = first.checks.keys().chain(second.checks.keys()).collect();
    let mut changes = Vec::new();
    for id in ids {
        let (was, is) = (first.checks.get(id), second.checks.get(id));
        if (was.is_none() || is.is_none()) && (blind || is_of_one(id)) {
            continue;
        }
        let (from, to) = (words(was), words(is));
        if from != to {
            let title = match (was, is) {
                // It names its instance, and whose result is whose must be seen.
                (Some(was), Some(is)) if id == READY_CHECK && was.title != is.title => {
                    format!("{} | {}", was.title, is.title)
                }
                _ => is.or(was).map_or_else(|| id.clone(), |seen| seen.title.clone()),
            };
            changes.push(Change { id: id.clone(), title, from, to });
        }
    }
    found.checks = changes;
}

fn words(seen: Option<&Seen>) -> String {
    match seen.map(|seen| &seen.result) {
        None => "not checked".into(),
        Some(SeenResult::Pass) => "passed".into(),
        Some(SeenResult::Fail { reason }) => format!("failed: {reason}"),
        Some(SeenResult::Error { reason }) => format!("could not be checked: {reason}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::observation::GitState;
    use crate::model::verdict::PLUGIN_KIND;

    /// Two looks at an instance, with a difference of each kind.
    pub fn two() -> (Observation, Observation) {
        let mut first = Observation::default();
        let pass = |title: &str| Seen { title: title.into(), result: SeenResult::Pass };
        let fail = |title: &str| Seen { title: title.into(), result: SeenResult::Fail { reason: "404".into() } };
        let inventory = &mut first.inventory;
        inventory.instance_id = Some("64f0".into());
        for (kind, id, name, holder) in [
            ("workspace", "w1", "Team", ""),
            ("application", "a1", "Shop", "w1"),
            ("application", "a2", "Old", "w1"),
            ("page", "p1", "Home", "a1"),
            ("page", "p2", "List", "a2"),
            ("query", "q1", "getAll", "p1"),
            (STRUCTURE_KIND, "p1", "BUTTON_WIDGET×2", ""),
            (STRUCTURE_KIND, "p2", "BUTTON_WIDGET×1", ""),
            (ON_LOAD_KIND, "p1", "getAll", ""),
            (PLUGIN_KIND, "mysql-plugin", "MySQL", ""),
        ] {
            inventory.things.entry(kind.into()).or_default().insert(id.into(), name.into());
            if !holder.is_empty() {
                inventory.holders.insert(id.into(), holder.into());
            }
        }
        let git = GitState {
            remote: Some("git@git.example:shop.git".into()),
            branch: Some("main".into()),
            ..GitState::default()
        };
        inventory.git.insert("a1".into(), git);
        let users = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        inventory.members.insert("w1".into(), [("Developer".to_owned(), users(&["ann", "bob", "eve"]))].into());
        for (id, title) in
            [(READY_CHECK, "it answers"), ("app:a1/page:p1", "page `Home` of app `Shop`"), ("app:a2", "app `Old`")]
        {
            first.checks.insert(id.into(), pass(title));
        }
        let mut second = first.clone();
        let inventory = &mut second.inventory;
        for (kind, id) in [("application", "a2"), ("page", "p2"), (STRUCTURE_KIND, "p2")] {
            inventory.things.get_mut(kind).unwrap().remove(id);
        }
        inventory.things.remove(PLUGIN_KIND);
        for (kind, id, name) in
            [("page", "p1", "Start"), ("page", "p3", "About"), (STRUCTURE_KIND, "p1", "BUTTON_WIDGET×3")]
        {
            inventory.things.entry(kind.into()).or_default().insert(id.into(), name.into());
        }
        inventory.holders.insert("p3".into(), "a1".into());
        inventory.git.clear();
        inventory.members.insert(
            "w1".into(),
            [("Developer".to_owned(), users(&["ann", "new"])), ("App Viewer".to_owned(), users(&["eve"]))].into(),
        );
        second.checks.remove("app:a2");
        second.checks.insert("app:a1/page:p1".into(), fail("page `Start` of app `Shop`"));
        second.checks.insert("app:a1/page:p3".into(), pass("page `About` of app `Shop`"));
        second.took_ms.insert("app:a1/page:p1".into(), 900);
        (first, second)
    }

    #[test]
    fn each_difference_is_told_once_where_it_belongs() {
        let (first, second) = two();
        let found = between(&first, &second);
        let titles = |things: &[Thing]| things.iter().map(|thing| thing.title.clone()).collect::<Vec<_>>();
        assert_eq!(
            titles(&found.gone),
            ["application `Old`", "page `List` of app `Old`", "bob (Developer) of workspace `Team`"]
        );
        assert_eq!(titles(&found.new), ["page `About` of app `Shop`", "new (Developer) of workspace `Team`"]);
        let lines = |changes: &[Change]| {
            changes.iter().map(|it| format!("{}: {} -> {}", it.title, it.from, it.to)).collect::<Vec<_>>()
        };
        assert_eq!(lines(&found.renamed), ["page `Home` of app `Shop`: Home -> Start"]);
        assert_eq!(
            lines(&found.changed),
            [
                "what page `Home` of app `Shop` shows: BUTTON_WIDGET×2 -> BUTTON_WIDGET×3",
                "the role of eve in workspace `Team`: Developer -> App Viewer",
                "Git of application `Shop`: branch `main` of git@git.example:shop.git -> not connected",
            ]
        );
        assert_eq!(lines(&found.checks), ["page `Start` of app `Shop`: passed -> failed: 404"]);
        assert_eq!(found.unknown, ["plugin: only the first knows of it"]);
    }

    #[test]
    fn the_same_twice_has_no_difference_and_backwards_is_the_mirror() {
        let (first, second) = two();
        assert_eq!(between(&first, &first), Difference::default());
        let (there, back) = (between(&first, &second), between(&second, &first));
        assert_eq!((there.gone.len(), there.new.len()), (back.new.len(), back.gone.len()));
        assert!(!there.is_empty() && !back.is_empty());
    }

    #[test]
    fn one_that_did_not_answer_has_not_lost_everything() {
        let (first, mut second) = two();
        second.inventory = Inventory::default();
        second.checks.clear();
        let result = SeenResult::Fail { reason: "502".into() };
        second.checks.insert(READY_CHECK.into(), Seen { title: "it answers".into(), result });
        let found = between(&first, &second);
        assert_eq!(found.unknown, ["what is there: the second did not answer"]);
        assert!(found.gone.is_empty() && found.checks.len() == 1, "{found:?}");
    }
}
