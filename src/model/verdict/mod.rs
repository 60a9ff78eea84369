//! What the checks saw before, against what they see now.
//!
//! The one rule: **what worked before must work now, and what was there before must be there now.**
//! What is new, or differs only in order or name, never fails a verdict. Nor does how long a look took.
//!
//! | Vanished | Is | Because |
//! | --- | --- | --- |
//! | workspace, application, page, query, JS object, data source | failure | people made it, and no migration takes it away |
//! | a member of a workspace | failure | he cannot work any more; between two looks at an upgrade nobody is at work to remove him |
//! | a plugin | warning | it belongs to the version, which may rename or replace it; what needs it is found by its data source |
//! | the connection to Git, an on-load action, a role | warning | the deployed app works without, and versions differ in what they say of it |
//! | what may not be listed any more | warning | a right that was taken from our user |

mod promoted;
mod things;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::observation::{Observation, Seen, SeenResult};
pub(super) use things::{by_user, title};
use things::{judge_git, judge_members, judge_things, same_database};

/// The check that says whether the app answers at all. It must pass even where it was never seen before.
pub const READY_CHECK: &str = "ready";

/// The kind of things in an inventory whose name is not a name: the structure of a page, such as
/// `BUTTON_WIDGET×2`, by the page's id.
pub const STRUCTURE_KIND: &str = "page-structure";

/// The kind of things in an inventory whose name lists what a page runs when it is opened, by the page's id.
pub const ON_LOAD_KIND: &str = "page-on-load";

/// The kind of what connects to a kind of data source. It comes with the app's version, and is not of its people.
pub const PLUGIN_KIND: &str = "plugin";

/// The structure of a page that shows nothing.
pub const EMPTY_STRUCTURE: &str = "empty";

/// The judgement over one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// One for each check and each thing worth a word, failures first.
    pub items: Vec<Item>,
}

/// The judgement over one check or one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The check's id, or `<kind>:<id>` of a thing.
    pub id: String,
    /// What a person calls it, such as ``page `Orders` of app `Shop` ``.
    pub title: String,
    /// How it is.
    pub outcome: Outcome,
}

/// How a thing is, seen against how it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Outcome {
    /// It worked, and does not any more; or it was there, and is not.
    Fail {
        /// What is wrong.
        reason: String,
    },
    /// It worked, and whether it still does could not be found out.
    Error {
        /// Why not.
        reason: String,
    },
    /// Nothing can be said; a person decides.
    Inconclusive {
        /// Why.
        reason: String,
    },
    /// It did not work before either. Warns.
    KnownBad {
        /// What is wrong now.
        reason: String,
    },
    /// It was not there before, and does not work. Warns.
    NewAndBad {
        /// What is wrong.
        reason: String,
    },
    /// It would have blocked, and a rule of the configuration lets it pass. Warns.
    Allowed {
        /// What is wrong, and why that is allowed.
        reason: String,
    },
    /// It is there, but not quite as it was. Warns.
    Changed {
        /// From what to what.
        reason: String,
    },
    /// It works.
    Pass,
}

impl Outcome {
    /// A verdict with one of these is no pass.
    pub fn blocks(&self) -> bool {
        matches!(self, Self::Fail { .. } | Self::Error { .. } | Self::Inconclusive { .. })
    }

    /// What blocks comes first.
    fn rank(&self) -> u8 {
        match self {
            Self::Fail { .. } => 0,
            Self::Error { .. } => 1,
            Self::Inconclusive { .. } => 2,
            Self::KnownBad { .. } => 3,
            Self::NewAndBad { .. } => 4,
            Self::Allowed { .. } => 5,
            Self::Changed { .. } => 6,
            Self::Pass => 7,
        }
    }

    /// What it is called, and the reason where there is one.
    pub fn word(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Fail { reason } => ("fail", Some(reason)),
            Self::Error { reason } => ("error", Some(reason)),
            Self::Inconclusive { reason } => ("inconclusive", Some(reason)),
            Self::KnownBad { reason } => ("known bad", Some(reason)),
            Self::NewAndBad { reason } => ("new and bad", Some(reason)),
            Self::Allowed { reason } => ("allowed", Some(reason)),
            Self::Changed { reason } => ("changed", Some(reason)),
            Self::Pass => ("pass", None),
        }
    }
}

impl Verdict {
    /// Nothing that worked is broken, nothing vanished, and nothing is left open.
    pub fn is_pass(&self) -> bool {
        !self.items.iter().any(|item| item.outcome.blocks())
    }

    pub(super) fn sorted(mut self) -> Self {
        self.items.sort_by(|one, other| (one.outcome.rank(), &one.id).cmp(&(other.outcome.rank(), &other.id)));
        self
    }

    /// What keeps it from being a pass.
    pub fn blocking(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.outcome.blocks())
    }

    /// What a person should know although it does not block.
    pub fn warnings(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| !item.outcome.blocks() && item.outcome != Outcome::Pass)
    }

    /// The count, and a line for everything that is not simply well.
    pub fn lines(&self) -> Vec<String> {
        let passed = self.items.iter().filter(|item| item.outcome == Outcome::Pass).count();
        let count = |what: &dyn Fn(&Item) -> bool| self.items.iter().filter(|item| what(item)).count();
        let blocking = count(&|item| item.outcome.blocks());
        let warnings = self.items.len() - passed - blocking;
        let mut lines = vec![format!("{passed} passed, {blocking} failed, {warnings} warned")];
        lines.extend(self.items.iter().filter(|item| item.outcome != Outcome::Pass).map(ToString::to_string));
        lines
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome.word() {
            (word, Some(reason)) => write!(f, "{word}: {}: {reason}", self.title),
            (word, None) => write!(f, "{word}: {}", self.title),
        }
    }
}

/// Judges `after` by `baseline`: what was seen right before an upgrade, or what a snapshot's manifest
/// says was seen when it was taken. An empty baseline asks only that the app answers.
pub fn compare(baseline: &Observation, after: &Observation) -> Verdict {
    let mut items: Vec<Item> = Vec::new();
    // An app that stopped to answer shows no inventory: that is one failure, not one for each thing.
    let blind = answers(baseline) && !answers(after);
    if !blind {
        items.extend(same_database(&baseline.inventory, &after.inventory));
        items.extend(judge_things(&baseline.inventory, &after.inventory));
        items.extend(judge_members(&baseline.inventory, &after.inventory));
        items.extend(judge_git(&baseline.inventory, &after.inventory));
    }
    for (id, before) in &baseline.checks {
        let now = after.checks.get(id);
        if now.is_some() || !blind || id == READY_CHECK {
            items.push(judge_check(id, before, now));
        }
    }
    let new = after.checks.iter().filter(|(id, _)| !baseline.checks.contains_key(*id));
    items.extend(new.map(|(id, seen)| Item {
        id: id.clone(),
        title: seen.title.clone(),
        outcome: judge_new(id, seen),
    }));
    Verdict { items }.sorted()
}

/// Whether the app answered when it was looked at. Without that, nothing else seen means anything.
pub fn answers(observation: &Observation) -> bool {
    observation.checks.get(READY_CHECK).is_some_and(|seen| seen.result == SeenResult::Pass)
}

fn judge_check(id: &str, before: &Seen, now: Option<&Seen>) -> Item {
    use SeenResult as S;
    let outcome = match (&before.result, now.map(|seen| &seen.result)) {
        (_, Some(S::Pass)) => Outcome::Pass,
        (S::Pass, Some(S::Fail { reason })) => Outcome::Fail { reason: reason.clone() },
        (S::Pass, Some(S::Error { reason })) => Outcome::Error { reason: reason.clone() },
        (S::Pass, None) => Outcome::Inconclusive { reason: "it passed before and was not checked now".into() },
        (S::Fail { .. }, Some(S::Fail { reason } | S::Error { reason })) => {
            Outcome::KnownBad { reason: reason.clone() }
        }
        (S::Error { reason: before }, Some(S::Fail { reason })) => {
            Outcome::Inconclusive { reason: format!("{reason} (before, it could not be checked: {before})") }
        }
        (S::Error { .. }, Some(S::Error { reason })) => Outcome::KnownBad { reason: reason.clone() },
        (S::Fail { .. } | S::Error { .. }, None) => Outcome::Changed { reason: "it is not checked any more".into() },
    };
    let title = now.unwrap_or(before).title.clone();
    Item { id: id.to_owned(), title, outcome }
}

fn judge_new(id: &str, seen: &Seen) -> Outcome {
    match &seen.result {
        SeenResult::Pass => Outcome::Pass,
        SeenResult::Fail { reason } if id == READY_CHECK => Outcome::Fail { reason: reason.clone() },
        SeenResult::Error { reason } if id == READY_CHECK => Outcome::Error { reason: reason.clone() },
        SeenResult::Fail { reason } | SeenResult::Error { reason } => Outcome::NewAndBad { reason: reason.clone() },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::model::observation::{GitState, Inventory};

    fn fail(reason: &str) -> SeenResult {
        SeenResult::Fail { reason: reason.into() }
    }

    fn error(reason: &str) -> SeenResult {
        SeenResult::Error { reason: reason.into() }
    }

    fn observed(checks: &[(&str, SeenResult)], things: &[(&str, &str, &str)]) -> Observation {
        let mut observation = Observation::default();
        observation.inventory.instance_id = Some("64f0".into());
        for (id, result) in checks {
            observation.checks.insert((*id).into(), Seen { title: format!("check {id}"), result: result.clone() });
        }
        for (kind, id, name) in things {
            observation.inventory.things.entry((*kind).into()).or_default().insert((*id).into(), (*name).into());
        }
        observation
    }

    #[test]
    fn every_change_of_a_check_has_its_outcome() {
        let word = |before: Option<SeenResult>, now: Option<SeenResult>| {
            let side = |result: Option<SeenResult>| match result {
                Some(result) => observed(&[("a", result)], &[]),
                None => observed(&[], &[]),
            };
            let verdict = compare(&side(before), &side(now));
            verdict.items.iter().find(|item| item.id == "a").map_or("nothing", |item| item.outcome.word().0)
        };
        let (pass, bad, odd) = (|| Some(SeenResult::Pass), || Some(fail("b")), || Some(error("e")));
        let table = [
            (pass(), pass(), "pass"),
            (pass(), bad(), "fail"),
            (pass(), odd(), "error"),
            (pass(), None, "inconclusive"),
            (bad(), pass(), "pass"),
            (bad(), bad(), "known bad"),
            (bad(), odd(), "known bad"),
            (bad(), None, "changed"),
            (odd(), pass(), "pass"),
            (odd(), bad(), "inconclusive"),
            (odd(), odd(), "known bad"),
            (odd(), None, "changed"),
            (None, pass(), "pass"),
            (None, bad(), "new and bad"),
            (None, odd(), "new and bad"),
        ];
        for (before, now, expected) in table {
            assert_eq!(word(before.clone(), now.clone()), expected, "{before:?} -> {now:?}");
        }
    }

    #[test]
    fn a_person_reads_which_page_of_which_app() {
        let title = "page `Orders` of app `Shop`";
        let at = |result| {
            let mut seen = observed(&[], &[("application", "a1", "Shop"), ("datasource", "d1", "warehouse")]);
            seen.checks.insert("app:a1/page:p1".into(), Seen { title: title.into(), result });
            seen
        };
        let mut after = at(fail("its part `pageWithMigratedDsl` failed: AE-APP-4027"));
        after.inventory.things.remove("datasource");
        let verdict = compare(&at(SeenResult::Pass), &after);
        assert!(!verdict.is_pass());
        let expected = "1 passed, 2 failed, 0 warned\n\
                        fail: page `Orders` of app `Shop`: its part `pageWithMigratedDsl` failed: AE-APP-4027\n\
                        fail: datasource `warehouse`: it is gone";
        assert_eq!(verdict.to_string(), expected);
    }

    #[test]
    fn another_database_under_the_same_roof_is_found() {
        let before = observed(&[], &[]);
        let mut after = before.clone();
        after.inventory.instance_id = Some("65a1".into());
        assert!(compare(&before, &after).to_string().contains("its id was `64f0` and is `65a1`"));
        after.inventory.instance_id = None;
        assert!(!compare(&before, &after).is_pass());
    }

    #[test]
    fn a_page_that_shows_nothing_any_more_fails_and_one_that_differs_warns() {
        let with = |structure| observed(&[], &[("page", "p", "Orders"), (STRUCTURE_KIND, "p", structure)]);
        let verdict = |now| compare(&with("BUTTON_WIDGET×2"), &with(now));
        assert!(verdict("BUTTON_WIDGET×3").is_pass());
        assert_eq!(verdict("BUTTON_WIDGET×3").warnings().count(), 1);
        assert!(!verdict(EMPTY_STRUCTURE).is_pass());
        assert!(verdict(EMPTY_STRUCTURE).to_string().contains("what page `Orders` shows"));
    }

    #[test]
    fn what_belongs_to_the_version_or_to_a_right_only_warns() {
        let kinds = [(PLUGIN_KIND, "postgres-plugin", "PostgreSQL"), (ON_LOAD_KIND, "p", "getAll")];
        let mut before = observed(&[], &[&kinds[..], &[("page", "p", "Home"), ("application", "a", "Shop")]].concat());
        before.inventory.git.insert("a".into(), GitState { branch: Some("main".into()), ..GitState::default() });
        let mut after = before.clone();
        after.inventory.git.clear();
        after.inventory.things.insert(PLUGIN_KIND.into(), BTreeMap::new());
        after.inventory.things.insert(ON_LOAD_KIND.into(), [("p".to_owned(), "nothing".to_owned())].into());
        let verdict = compare(&before, &after);
        assert!(verdict.is_pass(), "{verdict}");
        let expected = "1 passed, 0 failed, 3 warned\n\
                        changed: Git of application `Shop`: it was branch `main` of ?, and is not connected any more\n\
                        changed: what page `Home` runs when it is opened: it was getAll, it is nothing\n\
                        changed: plugin `PostgreSQL`: it is gone";
        assert_eq!(verdict.to_string(), expected);
        after.inventory.things.remove(PLUGIN_KIND);
        assert!(compare(&before, &after).to_string().contains("the plugins: they cannot be listed any more"));
    }

    #[test]
    fn a_member_who_vanished_fails_and_one_with_another_role_warns() {
        let with = |roles: &[(&str, &str)]| {
            let mut seen = observed(&[], &[("workspace", "w", "Team")]);
            let of = seen.inventory.members.entry("w".into()).or_default();
            for (role, user) in roles {
                of.entry((*role).to_owned()).or_default().insert((*user).to_owned());
            }
            seen
        };
        let before = with(&[("Developer", "ann"), ("Developer", "bob")]);
        let verdict = compare(&before, &with(&[("Developer", "ann"), ("App Viewer", "new")]));
        assert!(verdict.to_string().contains("fail: the members of workspace `Team`: gone: bob"), "{verdict}");
        assert!(!verdict.is_pass());
        let verdict = compare(&before, &with(&[("Developer", "ann"), ("App Viewer", "bob")]));
        assert!(verdict.is_pass() && verdict.to_string().contains("bob was Developer and is App Viewer"), "{verdict}");
        let mut unread = before.clone();
        unread.inventory.members.clear();
        let verdict = compare(&before, &unread);
        assert!(verdict.is_pass() && verdict.warnings().count() == 1, "{verdict}");
        unread.inventory.things.clear();
        assert_eq!(compare(&before, &unread).blocking().count(), 1, "only the workspace");
    }

    #[test]
    fn without_a_baseline_the_app_must_at_least_answer() {
        let nothing = Observation::default();
        assert!(compare(&nothing, &observed(&[(READY_CHECK, SeenResult::Pass), ("a", fail("x"))], &[])).is_pass());
        assert!(!compare(&nothing, &observed(&[(READY_CHECK, fail("502"))], &[])).is_pass());
    }

    #[test]
    fn an_app_that_does_not_answer_is_one_failure_not_hundreds() {
        let things = [("application", "1", "A"), ("application", "2", "B")];
        let before = observed(&[(READY_CHECK, SeenResult::Pass), ("app:1/page:1", SeenResult::Pass)], &things);
        let mut after = observed(&[(READY_CHECK, fail("its backend answers 502"))], &[]);
        after.inventory = Inventory::default();
        let verdict = compare(&before, &after);
        assert_eq!(verdict.lines(), ["0 passed, 1 failed, 0 warned", "fail: check ready: its backend answers 502"]);
        after.checks.clear();
        assert!(!compare(&before, &after).is_pass());
    }

    fn results() -> impl Strategy<Value = SeenResult> {
        prop_oneof![Just(SeenResult::Pass), Just(fail("f")), Just(error("e"))]
    }

    fn observations() -> impl Strategy<Value = Observation> {
        let checks = btree_map("([a-d]{1,2}|ready)", results(), 0..8);
        let things = btree_map("(application|page|datasource)", btree_map("[0-9]{1,2}", "[A-Z]{1,3}", 0..5), 0..3);
        (checks, things, proptest::option::of("[a-f]{4}")).prop_map(|(checks, things, instance_id)| Observation {
            inventory: Inventory { instance_id, things, ..Inventory::default() },
            checks: checks.into_iter().map(|(id, result)| (id.clone(), Seen { title: id, result })).collect(),
            took_ms: BTreeMap::new(),
        })
    }

    proptest! {
        /// Whatever else differs, a check that passed and now fails is never waved through.
        /// behalfbot#76: a check that could never fail.
        #[test]
        fn what_worked_and_fails_now_fails_the_verdict(before in observations(), after in observations(), odd in any::<bool>()) {
            let (mut before, mut after) = (before, after);
            let seen = |result| Seen { title: "page".into(), result };
            before.checks.insert("app:1/page:2".into(), seen(SeenResult::Pass));
            after.checks.insert("app:1/page:2".into(), seen(if odd { error("x") } else { fail("x") }));
            prop_assert!(!compare(&before, &after).is_pass());
        }

        /// Whatever else differs, a thing that was there and is not any more is never waved through.
        #[test]
        fn what_vanished_fails_the_verdict(before in observations(), after in observations()) {
            let (mut before, mut after) = (before, after);
            before.inventory.things.entry("application".into()).or_default().insert("lost".into(), "Shop".into());
            after.inventory.things.entry("application".into()).or_default().remove("lost");
            prop_assert!(!compare(&before, &after).is_pass());
        }

        /// New things, new checks of any result, and new names never fail it.
        #[test]
        fn noise_never_fails_the_verdict(
            before in observations(),
            new_checks in vec(("new-[a-z]{1,3}", results()), 0..5),
            new_things in vec(("(application|page|workspace)", "new-[0-9]{1,3}"), 0..5),
        ) {
            let mut after = before.clone();
            for (id, result) in new_checks {
                after.checks.insert(id.clone(), Seen { title: id, result });
            }
            for (kind, id) in new_things {
                after.inventory.things.entry(kind).or_default().insert(id, "New".into());
            }
            after.took_ms.insert("a".into(), 600_000);
            for name in after.inventory.things.values_mut().flat_map(BTreeMap::values_mut) {
                name.push_str(" II");
            }
            let verdict = compare(&before, &after);
            prop_assert!(verdict.is_pass(), "{verdict}");
        }

        /// A thing judged against itself passes.
        #[test]
        fn nothing_changed_is_a_pass(before in observations()) {
            prop_assert!(compare(&before, &before).is_pass());
        }

        /// What gets well is never held against it.
        #[test]
        fn what_was_mended_never_fails_the_verdict(before in observations()) {
            let mut after = before.clone();
            after.checks.values_mut().for_each(|seen| seen.result = SeenResult::Pass);
            prop_assert!(compare(&before, &after).is_pass());
        }
    }
}
