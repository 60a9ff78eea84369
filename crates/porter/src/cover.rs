//! Which paths a [`Cover`] means.

use crate::error::Trouble;
use crate::path::Rel;
use crate::protocol::{Cover, FOLDER, MARKER};

/// A cover with its paths read.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    rules: Vec<(Rel, bool)>,
}

impl Rules {
    /// Checks the paths.
    pub fn new(cover: &Cover) -> Result<Self, Trouble> {
        let mut rules = Vec::new();
        for (paths, include) in [(&cover.include, true), (&cover.exclude, false)] {
            for text in paths {
                let path = Rel::parse(text)?;
                if include && is_ours(&path) {
                    return Err(Trouble::refused(format!("`{text}` belongs to Tidegate and is never covered")));
                }
                rules.push((path, include));
            }
        }
        Ok(Self { rules })
    }

    /// The most specific rule decides; where the same path is included and excluded, it is included.
    pub fn covers(&self, path: &Rel) -> bool {
        if is_ours(path) {
            return false;
        }
        let holds = self.rules.iter().filter(|(rule, _)| path.is_at_or_below(rule));
        holds.max_by_key(|(rule, include)| (rule.depth(), *include)).is_some_and(|(_, include)| *include)
    }

    /// Some rule speaks of what is below this folder, so it has to be looked into and stays where it is.
    pub fn look_into(&self, path: &Rel) -> bool {
        path.depth() == 0 || self.rules.iter().any(|(rule, _)| rule.is_below(path))
    }

    /// Something below this path is meant although other rules may leave the path itself out.
    pub fn includes_below(&self, path: &Rel) -> bool {
        self.rules.iter().any(|(rule, include)| *include && rule.is_below(path))
    }
}

/// Tidegate's own folder and marker, which lie at a mount's root and are never covered.
pub(crate) fn is_ours(path: &Rel) -> bool {
    path.parts().next().is_some_and(|first| first == FOLDER.as_bytes() || first == MARKER.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(include: &[&str], exclude: &[&str]) -> Rules {
        let own = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Rules::new(&Cover { include: own(include), exclude: own(exclude) }).unwrap()
    }

    #[test]
    fn the_most_specific_rule_decides() {
        let path = |text| Rel::parse(text).unwrap();
        let rules = rules(&["", "a/b/c"], &["a/b"]);
        assert!(rules.covers(&path("a/x")));
        assert!(!rules.covers(&path("a/b")));
        assert!(!rules.covers(&path("a/b/x")));
        assert!(rules.covers(&path("a/b/c/x")));
        assert!(!rules.covers(&path(".tidegate/x")));
        assert!(rules.look_into(&path("a")));
        assert!(!rules.look_into(&path("b")));
    }

    /// Two parts of one mount: the first leaves out what the second holds. Together they cover it.
    #[test]
    fn a_path_that_one_part_leaves_out_and_another_holds_is_covered() {
        let both = rules(&["", "data"], &["data"]);
        assert!(both.covers(&Rel::parse("data/x").unwrap()));
    }

    #[test]
    fn our_own_folder_cannot_be_asked_for() {
        let cover = Cover { include: vec![".tidegate/run".into()], exclude: vec![] };
        assert!(Rules::new(&cover).is_err());
    }
}
