//! What the configuration says may change, and so does not keep a verdict from being a pass.

use super::verdict::{Item, Outcome, READY_CHECK, Verdict};

/// A change that an operator expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowChange {
    /// The id or the title of what may change; `*` stands for any text.
    pub check: String,
    /// Why, for whoever reads the verdict.
    pub reason: String,
}

impl AllowChange {
    fn covers(&self, item: &Item) -> bool {
        matches(&self.check, &item.id) || matches(&self.check, &item.title)
    }
}

impl Verdict {
    /// Lets pass what may change, as a warning with the reason. Whether the app answers at all is never allowed away.
    pub fn allowing(mut self, rules: &[AllowChange]) -> Self {
        for item in self.items.iter_mut().filter(|item| item.outcome.blocks() && item.id != READY_CHECK) {
            let Some(rule) = rules.iter().find(|rule| rule.covers(item)) else { continue };
            let (word, reason) = item.outcome.word();
            let reason = format!("{word}: {}; allowed: {}", reason.unwrap_or_default(), rule.reason);
            item.outcome = Outcome::Allowed { reason };
        }
        self.sorted()
    }
}

/// Whether a text is as the pattern says, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, others)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = others.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in
            [("a", "a"), ("*", ""), ("a*", "abc"), ("*c", "abc"), ("a*c", "ac"), ("a*b*b", "abxb"), ("**", "x")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("", "a"), ("a*b", "a"), ("ab*b", "ab"), ("a*b*b", "axb"), ("*a", "ab")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn only_what_blocks_and_is_named_is_allowed_and_readiness_never() {
        let item = |id: &str, outcome| Item { id: id.into(), title: format!("page `{id}`"), outcome };
        let fail = || Outcome::Fail { reason: "it is gone".into() };
        let verdict = Verdict {
            items: vec![item(READY_CHECK, fail()), item("a", fail()), item("b", fail()), item("c", Outcome::Pass)],
        };
        let rule = |check: &str| AllowChange { check: check.into(), reason: "it was deleted".into() };
        let allowed = verdict.clone().allowing(&[rule("a")]);
        assert_eq!(allowed.blocking().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["b", READY_CHECK]);
        assert_eq!(
            allowed.warnings().next().unwrap().to_string(),
            "allowed: page `a`: fail: it is gone; allowed: it was deleted"
        );
        let all = verdict.clone().allowing(&[rule("page*"), rule("*")]);
        assert_eq!(all.blocking().map(|item| item.id.as_str()).collect::<Vec<_>>(), [READY_CHECK]);
        assert!(all.items.contains(&item("c", Outcome::Pass)), "what passes stays a pass");
    }
}
