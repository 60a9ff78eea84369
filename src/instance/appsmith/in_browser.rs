//! Which deployed pages are opened in a browser although no check names them, and how. Pure.

use std::time::Duration;

use super::listing::Thing;
use super::observe::{Found, FoundApp};
use crate::model::observation::Inventory;
use crate::model::verdict::{EMPTY_STRUCTURE, STRUCTURE_KIND};
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
    /// The oldest: most often the one that users come to. Lists have no order to rely on, and ids begin with a time.
    First,
    /// All.
    All,
}

impl PagesInBrowser {
    /// The checks of what was found, always in the same order. Their ids stay the same while the pages' do.
    pub(super) fn of(self, found: &Found, inventory: &Inventory) -> Vec<BrowserCheck> {
        let count = match self.which {
            Which::None => 0,
            Which::First => 1,
            Which::All => usize::MAX,
        };
        let mut checks = Vec::new();
        for app in &found.applications {
            let mut pages: Vec<&Thing> = app.pages.iter().collect();
            pages.sort_by_key(|page| &page.base_id);
            checks
                .extend(pages.into_iter().take(count).map(|page| self.check(app, page, has_widgets(inventory, page))));
        }
        checks.sort_by(|one, other| one.name.cmp(&other.name));
        checks
    }

    /// An address has names in it for people only: the page is found by its id. A page that has widgets must show one: its
    /// header alone is there also when nothing else is.
    fn check(self, app: &FoundApp, page: &Thing, has_widgets: bool) -> BrowserCheck {
        let wait_for = if has_widgets { WaitFor::Selector(WIDGET.into()) } else { WaitFor::NetworkIdle };
        BrowserCheck {
            name: format!("app:{}/page:{}", app.thing.base_id, page.base_id),
            title: Some(format!("page `{}` of app `{}` in a browser", page.name, app.thing.name)),
            url: format!("/app/{}/{}-{}", slug(&app.thing.name), slug(&page.name), page.base_id),
            wait_for,
            limit: self.limit,
            allow: Vec::new(),
            logged_in: true,
        }
    }
}

/// What Appsmith's front end draws for each widget has a class such as `t--widget-tablewidgetv2`, by which its own tests find
/// it, too.
const WIDGET: &str = "[class*='t--widget-']";

fn has_widgets(inventory: &Inventory, page: &Thing) -> bool {
    let structure = inventory.things.get(STRUCTURE_KIND).and_then(|pages| pages.get(&page.base_id));
    structure.is_some_and(|structure| structure != EMPTY_STRUCTURE)
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
            // In no order.
            pages: vec![thing(&format!("{id}2"), "Alle Größen & mehr!"), thing(&format!("{id}1"), "Home")],
            queries: Vec::new(),
        };
        Found { applications: vec![app("b", "Shop"), app("a", "***")], ..Found::default() }
    }

    #[test]
    fn pages_are_chosen_and_found_by_their_base_ids() {
        let urls = |which| {
            let pages = PagesInBrowser { which, limit: Duration::from_secs(60) };
            pages.of(&found(), &Inventory::default()).into_iter().map(|check| check.url).collect::<Vec<_>>()
        };
        assert_eq!(urls(Which::None), Vec::<String>::new());
        assert_eq!(urls(Which::First), ["/app/page/home-a1", "/app/shop/home-b1"]);
        assert_eq!(urls(Which::All)[3], "/app/shop/alle-größen-mehr-b2");
        let mut inventory = Inventory::default();
        let structures =
            [("a1", "BUTTON_WIDGET×1"), ("b1", EMPTY_STRUCTURE)].map(|(id, what)| (id.into(), what.into()));
        inventory.things.insert(STRUCTURE_KIND.into(), structures.into());
        let pages = PagesInBrowser { which: Which::First, limit: Duration::from_secs(60) }.of(&found(), &inventory);
        let waits: Vec<bool> = pages.iter().map(|check| check.wait_for == WaitFor::Selector(WIDGET.into())).collect();
        assert_eq!(waits, [true, false], "what shows nothing by its makers' will is not waited for");
        assert_eq!(
            (pages[0].id().as_str(), pages[1].title().as_str()),
            ("browser:app:a/page:a1", "page `Home` of app `Shop` in a browser")
        );
    }
}
