//! The verdict over an instance in which one app was promoted: another set of pages is what was wanted.

use crate::model::observation::{Inventory, Observation};

use super::{Item, Outcome, Verdict};

/// Longer than things hold each other.
const HOLDERS_MAX: usize = 8;

impl Verdict {
    /// Of the promoted app, `base_id`: what is gone from it was taken away by people, and is only named. But what it has
    /// must work, the new no less than the old. Of all others the verdict stays as it is.
    pub fn of_promoted(mut self, base_id: &str, before: &Observation, now: &Observation) -> Self {
        for item in &mut self.items {
            if !is_of(base_id, item, before, now) {
                continue;
            }
            let is_checked_now = now.checks.contains_key(&item.id);
            item.outcome = match std::mem::replace(&mut item.outcome, Outcome::Pass) {
                Outcome::NewAndBad { reason } => {
                    Outcome::Fail { reason: format!("it came with the promotion: {reason}") }
                }
                Outcome::Fail { reason } | Outcome::Inconclusive { reason } if !is_checked_now => {
                    Outcome::Changed { reason: format!("{reason}, as the promotion wants it") }
                }
                outcome => outcome,
            };
        }
        self.sorted()
    }
}

/// Whether a check or a thing belongs to an app: by its id, or by what holds it.
fn is_of(base_id: &str, item: &Item, before: &Observation, now: &Observation) -> bool {
    if item.id.split('/').next() == Some(&format!("app:{base_id}")) {
        return true;
    }
    let Some((_, id)) = item.id.split_once(':') else { return false };
    [&before.inventory, &now.inventory].iter().any(|inventory| is_in(base_id, id, inventory))
}

fn is_in(base_id: &str, id: &str, inventory: &Inventory) -> bool {
    let mut at = id;
    for _ in 0..HOLDERS_MAX {
        let Some(holder) = inventory.holders.get(at) else { return false };
        if holder == base_id {
            return true;
        }
        at = holder;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::{READY_CHECK, compare};
    use super::*;
    use crate::model::observation::{Seen, SeenResult};

    /// Two apps with a page each, and a query on each page.
    fn seen(pages: &[(&str, &str)], checks: &[(&str, bool)]) -> Observation {
        let mut seen = Observation::default();
        seen.inventory.instance_id = Some("i".into());
        for (page, app) in pages {
            seen.inventory.things.entry("page".into()).or_default().insert((*page).into(), (*page).into());
            seen.inventory.things.entry("application".into()).or_default().insert((*app).into(), (*app).into());
            seen.inventory.holders.insert((*page).into(), (*app).into());
        }
        for (id, is_well) in checks.iter().chain([&(READY_CHECK, true)]) {
            let result = if *is_well { SeenResult::Pass } else { SeenResult::Fail { reason: "it is broken".into() } };
            seen.checks.insert((*id).into(), Seen { title: (*id).into(), result });
        }
        seen
    }

    fn judged(before: &Observation, now: &Observation) -> Vec<String> {
        compare(before, now).of_promoted("a", before, now).blocking().map(|item| item.id.clone()).collect()
    }

    #[test]
    fn what_a_promotion_takes_away_is_wanted_and_what_it_brings_must_work() {
        let before = seen(
            &[("old", "a"), ("home", "a"), ("other", "b")],
            &[("app:a/page:old", true), ("app:b/page:other", true)],
        );
        let now = seen(
            &[("new", "a"), ("home", "a"), ("other", "b")],
            &[("app:a/page:new", true), ("app:b/page:other", true)],
        );
        assert!(judged(&before, &now).is_empty());
        let broken = seen(
            &[("new", "a"), ("home", "a"), ("other", "b")],
            &[("app:a/page:new", false), ("app:b/page:other", true)],
        );
        assert_eq!(judged(&before, &broken), ["app:a/page:new"]);
    }

    #[test]
    fn other_apps_must_be_as_they_were() {
        let before = seen(&[("home", "a"), ("other", "b")], &[("app:a/page:home", true), ("app:b/page:other", true)]);
        let gone = seen(&[("home", "a")], &[("app:a/page:home", true)]);
        assert_eq!(judged(&before, &gone), ["application:b", "page:other", "app:b/page:other"]);
        let broken = seen(&[("home", "a"), ("other", "b")], &[("app:a/page:home", false), ("app:b/page:other", true)]);
        assert_eq!(judged(&before, &broken), ["app:a/page:home"], "a page that stays must go on working");
    }
}
