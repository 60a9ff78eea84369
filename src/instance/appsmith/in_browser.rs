//! Which deployed pages are opened in a browser although no check names them, and how. Pure.

use std::time::Duration;

use super::listing::Thing;
use super::observe::{Found, FoundApp};
use crate::smoke::browser::{BrowserCheck, WaitFor};

/// Which deployed pages are opened in a browser although no check names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagesInBrowser {
    /// Which of them.
    pub which: Which,
    /// How long each may take.
    pub limit: Duration,
}

/// Which of an application's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// None.
    None,
    /// The first one that is listed: the one that users come to.
    First,
    /// All.
    All,
}

impl PagesInBrowser {
    /// The checks of what was found, always in the same order. Their ids stay the same while the pages' do.
    pub(super) fn of(self, found: &Found) -> Vec<BrowserCheck> {
        let count = match self.which {
            Which::None => 0,
            Which::First => 1,
            Which::All => usize::MAX,
        };
        let mut checks: Vec<BrowserCheck> = found
            .applications
            .iter()
            .flat_map(|app| app.pages.iter().take(count).map(|page| self.check(app, page)))
            .collect();
        checks.sort_by(|one, other| one.name.cmp(&other.name));
        checks
    }

    /// An address has names in it for people only: the page is found by its id. What a page complains of in its console is
    /// its makers' business and old; it is compared with before like all else.
    fn check(self, app: &FoundApp, page: &Thing) -> BrowserCheck {
        BrowserCheck {
            name: format!("app:{}/page:{}", app.thing.base_id, page.base_id),
            title: Some(format!("page `{}` of app `{}` in a browser", page.name, app.thing.name)),
            url: format!("/app/{}/{}-{}", slug(&app.thing.name), slug(&page.name), page.base_id),
            wait_for: WaitFor::NetworkIdle,
            limit: self.limit,
            allow: Vec::new(),
            logged_in: true,
        }
    }
}

/// A name as it stands in an address: letters and digits, the rest as one `-`. Never empty.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    match words.map(str::to_lowercase).collect::<Vec<_>>().join("-") {
        slug if slug.is_empty() => "page".into(),
        slug => slug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(id: &str, name: &str) -> Thing {
        Thing { id: format!("{id}-branch"), base_id: id.into(), name: name.into() }
    }

    fn found() -> Found {
        let app = |id: &str, name: &str| FoundApp {
            thing: thing(id, name),
            workspace: "Team".into(),
            pages: vec![thing(&format!("{id}1"), "Home"), thing(&format!("{id}2"), "Alle Größen & mehr!")],
            queries: Vec::new(),
        };
        Found { applications: vec![app("b", "Shop"), app("a", "***")], ..Found::default() }
    }

    #[test]
    fn pages_are_chosen_and_found_by_their_base_ids() {
        let urls = |which| {
            let pages = PagesInBrowser { which, limit: Duration::from_secs(60) };
            pages.of(&found()).into_iter().map(|check| check.url).collect::<Vec<_>>()
        };
        assert_eq!(urls(Which::None), Vec::<String>::new());
        assert_eq!(urls(Which::First), ["/app/page/home-a1", "/app/shop/home-b1"]);
        assert_eq!(urls(Which::All)[3], "/app/shop/alle-größen-mehr-b2");
        let pages = PagesInBrowser { which: Which::First, limit: Duration::from_secs(60) }.of(&found());
        assert_eq!(
            (pages[0].id().as_str(), pages[1].title().as_str()),
            ("browser:app:a/page:a1", "page `Home` of app `Shop` in a browser")
        );
    }
}
