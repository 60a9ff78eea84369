//! What was there, against what is there.

use std::collections::BTreeMap;

use super::{EMPTY_STRUCTURE, Item, ON_LOAD_KIND, Outcome, PLUGIN_KIND, STRUCTURE_KIND};
use crate::model::observation::{Inventory, Roles};

pub(super) fn same_database(before: &Inventory, now: &Inventory) -> Option<Item> {
    let was = before.instance_id.as_ref()?;
    let outcome = match &now.instance_id {
        Some(is) if is == was => Outcome::Pass,
        Some(is) => Outcome::Fail { reason: format!("it is another database: its id was `{was}` and is `{is}`") },
        None => Outcome::Error { reason: "its id cannot be read any more".into() },
    };
    Some(Item { id: "instance".into(), title: "the instance's database".into(), outcome })
}

/// Says nothing about what is as it was, so that a large instance gives a short verdict.
pub(super) fn judge_things(before: &Inventory, now: &Inventory) -> Vec<Item> {
    let nothing = BTreeMap::new();
    let mut items = Vec::new();
    for (kind, were) in &before.things {
        if kind == PLUGIN_KIND && !now.things.contains_key(kind) {
            let outcome = Outcome::Changed { reason: "they cannot be listed any more".into() };
            items.push(Item { id: PLUGIN_KIND.into(), title: "the plugins".into(), outcome });
            continue;
        }
        let are = now.things.get(kind).unwrap_or(&nothing);
        for (id, was) in were {
            let outcome = match (kind.as_str(), are.get(id)) {
                (_, Some(is)) if is == was => continue,
                (STRUCTURE_KIND, is) => match judge_structure(was, is) {
                    Some(outcome) => outcome,
                    None => continue,
                },
                // A page that vanished is reported as a page.
                (ON_LOAD_KIND, None) => continue,
                (ON_LOAD_KIND, Some(is)) => Outcome::Changed { reason: format!("it was {was}, it is {is}") },
                (PLUGIN_KIND, None) => Outcome::Changed { reason: "it is gone".into() },
                (_, Some(is)) => Outcome::Changed { reason: format!("it is now called `{is}`") },
                (_, None) => Outcome::Fail { reason: "it is gone".into() },
            };
            items.push(Item { id: format!("{kind}:{id}"), title: title(before, kind, id), outcome });
        }
    }
    items
}

/// What a person calls a thing of an inventory, also where its name is not a name.
pub(in crate::model) fn title(inventory: &Inventory, kind: &str, id: &str) -> String {
    match kind {
        STRUCTURE_KIND => format!("what {} shows", inventory.page_title(id)),
        ON_LOAD_KIND => format!("what {} runs when it is opened", inventory.page_title(id)),
        _ => inventory.title(kind, id),
    }
}

/// How many members a verdict names of one workspace.
const MEMBERS_NAMED: usize = 5;

/// One item a workspace at most for those who vanished, and one for those whose role is another.
pub(super) fn judge_members(before: &Inventory, now: &Inventory) -> Vec<Item> {
    let mut items = Vec::new();
    for (workspace, were) in &before.members {
        let item = |outcome| Item {
            id: format!("members:{workspace}"),
            title: format!("the members of {}", before.title("workspace", workspace)),
            outcome,
        };
        let Some(are) = now.members.get(workspace) else {
            // A workspace that vanished is reported as a workspace.
            if now.things.get("workspace").is_some_and(|all| all.contains_key(workspace)) {
                items.push(item(Outcome::Changed { reason: "they cannot be listed any more".into() }));
            }
            continue;
        };
        let (were, are) = (by_user(were), by_user(are));
        let gone: Vec<&str> = were.keys().filter(|user| !are.contains_key(*user)).copied().collect();
        if !gone.is_empty() {
            items.push(item(Outcome::Fail { reason: format!("gone: {}", some_of(&gone)) }));
        }
        let moved = were.iter().filter_map(|(user, roles)| {
            let now = are.get(user).filter(|now| *now != roles)?;
            Some(format!("{user} was {roles} and is {now}"))
        });
        let moved: Vec<String> = moved.collect();
        if !moved.is_empty() {
            let moved: Vec<&str> = moved.iter().map(String::as_str).collect();
            items.push(item(Outcome::Changed { reason: some_of(&moved) }));
        }
    }
    items
}

/// Each user with his roles, such as `Developer`.
pub(in crate::model) fn by_user(roles: &Roles) -> BTreeMap<&str, String> {
    let mut users: BTreeMap<&str, String> = BTreeMap::new();
    for (role, names) in roles {
        for name in names {
            users.entry(name).and_modify(|roles| roles.push_str(&format!(" and {role}"))).or_insert(role.clone());
        }
    }
    users
}

fn some_of(all: &[&str]) -> String {
    let named = all[..all.len().min(MEMBERS_NAMED)].join(", ");
    if all.len() > MEMBERS_NAMED { format!("{named} and {} more", all.len() - MEMBERS_NAMED) } else { named }
}

pub(super) fn judge_git(before: &Inventory, now: &Inventory) -> Vec<Item> {
    let item = |(app, was): (&String, _)| {
        let reason = match now.git.get(app) {
            Some(is) if is == was => return None,
            Some(is) => format!("it was {was}, it is {is}"),
            // An application that vanished is reported as an application.
            None => {
                now.things.get("application")?.get(app)?;
                format!("it was {was}, and is not connected any more")
            }
        };
        let title = format!("Git of {}", before.title("application", app));
        Some(Item { id: format!("git:{app}"), title, outcome: Outcome::Changed { reason } })
    };
    before.git.iter().filter_map(item).collect()
}

/// A page that vanished is reported as a page; here only what it shows counts.
fn judge_structure(was: &str, is: Option<&String>) -> Option<Outcome> {
    let is = is?;
    let reason = format!("it was {was}, it is {is}");
    Some(if is == EMPTY_STRUCTURE { Outcome::Fail { reason } } else { Outcome::Changed { reason } })
}
