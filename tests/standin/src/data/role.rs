//! What an account may do in a workspace.

use super::documents::text;
use super::ids::Numbers;
use serde_json::{Value, json};

/// A role of one workspace; a later one may do all that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees deployed applications.
    Viewer,
    /// Edits and deploys them.
    Developer,
    /// Decides who has which role.
    Administrator,
}

impl Role {
    /// All of them, as the interface lists them.
    pub const ALL: [Self; 3] = [Self::Administrator, Self::Developer, Self::Viewer];

    /// As the interface calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "App Viewer",
            Self::Developer => "Developer",
            Self::Administrator => "Administrator",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The role behind the id of a workspace's permission group.
    pub fn of_group(workspace: &Value, group: &str) -> Option<Self> {
        let mut groups = workspace["permissionGroups"].as_array()?.iter();
        Self::named(text(groups.find(|each| text(each, "id") == group)?, "role"))
    }

    /// The role of an account in a workspace.
    pub fn of_user(workspace: &Value, user: &str) -> Option<Self> {
        let mut members = workspace["members"].as_array()?.iter();
        Self::named(text(members.find(|member| text(member, "userId") == user)?, "role"))
    }
}

/// The permission groups of a new workspace, one a role.
pub fn groups(numbers: &mut Numbers) -> Value {
    let group = |role: &Role| json!({"id": numbers.object_id(), "role": role.name()});
    Role::ALL.iter().map(group).collect()
}

/// Gives an account a role, takes the one that it had, or both.
pub fn assign(workspace: &mut Value, user: &str, role: Option<Role>) {
    let Some(members) = workspace["members"].as_array_mut() else { return };
    members.retain(|member| text(member, "userId") != user);
    members.extend(role.map(|role| json!({"userId": user, "role": role.name()})));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::documents;

    #[test]
    fn an_account_has_one_role_and_groups_are_found_by_id() {
        let mut workspace = documents::workspace(&mut Numbers::seeded(1), "Team");
        assign(&mut workspace, "u", Some(Role::Developer));
        assign(&mut workspace, "u", Some(Role::Viewer));
        assert_eq!(Role::of_user(&workspace, "u"), Some(Role::Viewer));
        let group = workspace["permissionGroups"][0]["id"].as_str().unwrap();
        assert_eq!(Role::of_group(&workspace, group), Some(Role::Administrator));
        assign(&mut workspace, "u", None);
        assert_eq!(Role::of_user(&workspace, "u"), None);
        assert!(Role::Viewer < Role::Developer && Role::Developer < Role::Administrator);
    }
}
