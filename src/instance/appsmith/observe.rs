//! Everything the checks look at, once: what is there, and whether each deployed page loads.
//!
//! # How many calls that is
//!
//! Calls are 20 ms apart (`client.rs`), half of what the server lets through, so 30 s have room for 1500.
//!
//! ```text
//! once              2  for the login, 1 tenant, 1 workspaces, 1 plugins; about 4 more see whether it is ready
//! each workspace    3  applications, data sources, members
//! each application  1  in the editor                                  its pages as edited come with it
//!                   1  for each deployed page                         the list of pages, all queries and all JS
//!                                                                     objects of the application come with the first
//! ```
//!
//! 200 applications of 5 pages in 20 workspaces: 9 + 60 + 200 × 6 = 1269 calls, 25.4 s. As many at once as [`AT_ONCE`]
//! keep that pace while an answer takes 160 ms. Versions before the consolidated view (v1.9.58) need 4 more for each
//! application. A test counts them: `tests/it/instance/many.rs`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;

use super::answer::ApiError;
use super::api::{Api, PAGE_PART, View, pages_in};
use super::listing::{self, Action, Application, Datasource, Thing};
use super::structure::{on_load, structure};
use crate::model::observation::{Observation, Seen, SeenResult};
use crate::model::verdict::{ON_LOAD_KIND, PLUGIN_KIND, STRUCTURE_KIND};

/// Applications looked at at once. Each holds one answer in memory, of 16 MiB at most.
const AT_ONCE: usize = 8;

/// So many answers that came too late end a look: each of the rest may take as long.
const SLOW_MAX: usize = 20;

/// What later checks need to find what they are about.
#[derive(Debug, Default)]
pub struct Found {
    /// The applications, in no order.
    pub applications: Vec<FoundApp>,
    /// The data sources, each with its workspace's id.
    pub datasources: Vec<(String, Datasource)>,
    /// Why not all of the applications are known, if that is so.
    pub gap: Option<String>,
}

/// An application with its deployed pages and queries.
#[derive(Debug)]
pub struct FoundApp {
    /// Its ids and name.
    pub thing: Thing,
    /// Its workspace's name.
    pub workspace: String,
    /// As deployed.
    pub pages: Vec<Thing>,
    /// As deployed.
    pub queries: Vec<Action>,
}

/// One look.
struct Look<'a> {
    api: &'a Api,
    /// The server has no consolidated view.
    one_by_one: AtomicBool,
    /// Answers that came too late.
    slow_count: AtomicUsize,
}

/// Adds the inventory and the checks of all applications. Fails only where nothing more can be asked; whatever else
/// goes wrong is a check that fails. What the user has no right to see is left out.
pub async fn look_at_everything(api: &Api, seen: &mut Observation) -> Result<Found, ApiError> {
    seen.inventory.instance_id = api.tenant().await?.instance_id;
    let mut found = Found::default();
    if !api.has_login() {
        return Ok(found);
    }
    let workspaces = match api.workspaces().await {
        Ok(workspaces) => workspaces,
        Err(error) => {
            found.gap = Some(error.to_string());
            note(seen, "inventory", "the list of workspaces and applications", error)?;
            return Ok(found);
        }
    };
    for kind in ["workspace", "application", "page", "query", "js-object", "datasource"] {
        seen.inventory.things.entry(kind.to_owned()).or_default();
    }
    if let Some((first, _)) = workspaces.first() {
        match api.plugins(&first.id).await {
            Ok(plugins) => seen.inventory.things.extend(plugins.map(|plugins| (PLUGIN_KIND.to_owned(), plugins))),
            Err(error) => note(seen, "plugins", "the list of plugins", error)?,
        }
    }
    let look = Look { api, one_by_one: AtomicBool::new(false), slow_count: AtomicUsize::new(0) };
    for (workspace, _) in &workspaces {
        look.workspace(workspace, seen, &mut found).await?;
    }
    let mut applications = Vec::new();
    for (workspace, of_it) in workspaces {
        applications.extend(of_it.into_iter().map(|application| (workspace.clone(), application)));
    }
    let mut findings = stream::iter(applications).map(|(of, it)| look.application(of, it)).buffer_unordered(AT_ONCE);
    while let Some(one) = findings.next().await {
        let (application, one) = one?;
        found.applications.push(application);
        seen.checks.extend(one.checks);
        seen.took_ms.extend(one.took_ms);
        seen.inventory.holders.extend(one.inventory.holders);
        seen.inventory.git.extend(one.inventory.git);
        for (kind, things) in one.inventory.things {
            seen.inventory.things.entry(kind).or_default().extend(things);
        }
    }
    Ok(found)
}

impl Look<'_> {
    /// What a workspace has beside its applications.
    async fn workspace(&self, workspace: &Thing, seen: &mut Observation, found: &mut Found) -> Result<(), ApiError> {
        let (id, name) = (&workspace.id, &workspace.name);
        add(seen, "workspace", workspace, None);
        match self.patient(self.api.datasources(id)).await {
            Ok(datasources) => {
                for datasource in datasources {
                    add(seen, "datasource", &datasource.thing, Some(&workspace.base_id));
                    found.datasources.push((id.clone(), datasource));
                }
            }
            Err(error) => {
                let title = format!("the data sources of workspace `{name}`");
                self.note(seen, &format!("workspace:{id}/datasources"), &title, error)?;
            }
        }
        match self.patient(self.api.members(workspace)).await {
            Ok(members) => {
                seen.inventory.members.extend(members.map(|members| (workspace.base_id.clone(), members)));
                Ok(())
            }
            Err(error) => {
                let title = format!("the members of workspace `{name}`");
                self.note(seen, &format!("workspace:{id}/members"), &title, error)
            }
        }
    }

    /// One application: in the editor, and each page as deployed.
    async fn application(&self, workspace: Thing, app: Application) -> Result<(FoundApp, Observation), ApiError> {
        let mut seen = Observation::default();
        let (app, thing) = (&app, &app.thing);
        add(&mut seen, "application", thing, Some(&workspace.base_id));
        seen.inventory.git.extend(app.git.clone().map(|git| (thing.base_id.clone(), git)));
        if app.may_edit != Some(false) {
            self.edited(app, &mut seen).await?;
        }
        let mut found =
            FoundApp { thing: thing.clone(), workspace: workspace.name, pages: Vec::new(), queries: Vec::new() };
        let id = format!("app:{}", thing.base_id);
        let title = format!("app `{}`", thing.name);
        let mut first = self.first_view(app).await?;
        let listed = first.as_ref().and_then(|(_, view)| pages_in(view.part("pages")?).ok());
        let listed = match listed {
            Some(pages) => Ok(pages),
            None => self.patient(self.api.pages(app, "PUBLISHED")).await,
        };
        let pages = match listed {
            Ok(pages) => pages,
            Err(error) => {
                self.note(&mut seen, &id, &title, error)?;
                return Ok((found, seen));
            }
        };
        seen.checks.insert(id, Seen { title, result: SeenResult::Pass });
        found.pages.clone_from(&pages);
        for page in &pages {
            add(&mut seen, "page", page, Some(&thing.base_id));
        }
        let mut knows_actions = false;
        for page in &pages {
            let view = match first.take_if(|(id, _)| *id == page.base_id) {
                Some((_, view)) => Ok(view),
                None => self.view(app, page).await,
            };
            if let Some(view) = self.deployed_page(app, page, view, &mut seen)? {
                knows_actions = knows_actions || keep_actions(&view, &mut found, &mut seen);
            }
        }
        if !knows_actions && self.one_by_one.load(Ordering::Relaxed) {
            self.actions_alone(app, &mut found, &mut seen).await?;
        }
        Ok((found, seen))
    }

    /// What a person sees who opens it in the editor. appsmith#41504: after an update only that was broken.
    async fn edited(&self, app: &Application, seen: &mut Observation) -> Result<(), ApiError> {
        let thing = &app.thing;
        let id = format!("app:{}/edit", thing.base_id);
        let title = format!("app `{}` in the editor", thing.name);
        let view = match self.one_by_one.load(Ordering::Relaxed) {
            true => None,
            false => match self.patient(self.api.editor(app)).await {
                // Before v1.9.58, or with more widgets than we want to hold.
                Err(error) if error.is_missing() || matches!(error, ApiError::TooLarge { .. }) => None,
                view => Some(view),
            },
        };
        let (pages, result) = match view {
            Some(Ok(view)) => {
                seen.took_ms.insert(id.clone(), millis(view.took));
                (view.part("pages").and_then(|part| pages_in(part).ok()).unwrap_or_default(), judge(&view, "pages"))
            }
            Some(Err(error)) => return self.note(seen, &id, &title, error),
            None => match self.patient(self.api.pages(app, "EDIT")).await {
                Ok(pages) => (pages, SeenResult::Pass),
                Err(error) => return self.note(seen, &id, &title, error),
            },
        };
        pages.iter().for_each(|page| add(seen, "page", page, Some(&thing.base_id)));
        seen.checks.insert(id, Seen { title, result });
        Ok(())
    }

    /// The page that the application opens with: the list of all its deployed pages comes with it. `None` where that
    /// page is not known, or the server has no such view; what is wrong with the page is found when it is asked for
    /// by the list.
    async fn first_view(&self, app: &Application) -> Result<Option<(String, View)>, ApiError> {
        let Some(page) = app.first_page.as_ref().filter(|_| !self.one_by_one.load(Ordering::Relaxed)) else {
            return Ok(None);
        };
        match self.patient(self.api.view(app, page)).await {
            Ok(view) => Ok(Some((page.clone(), view))),
            Err(error) if error.is_hopeless() => Err(error),
            Err(error) => {
                if error.is_missing() {
                    self.one_by_one.store(true, Ordering::Relaxed);
                }
                Ok(None)
            }
        }
    }

    async fn view(&self, app: &Application, page: &Thing) -> Result<View, ApiError> {
        if !self.one_by_one.load(Ordering::Relaxed) {
            match self.patient(self.api.view(app, &page.base_id)).await {
                Err(error) if error.is_missing() => self.one_by_one.store(true, Ordering::Relaxed),
                view => return view,
            }
        }
        self.patient(self.api.page_alone(app, page)).await
    }

    fn deployed_page(
        &self,
        app: &Application,
        page: &Thing,
        view: Result<View, ApiError>,
        seen: &mut Observation,
    ) -> Result<Option<View>, ApiError> {
        let id = format!("app:{}/page:{}", app.thing.base_id, page.base_id);
        let title = format!("page `{}` of app `{}`", page.name, app.thing.name);
        let view = match view {
            Ok(view) => view,
            Err(error) => return self.note(seen, &id, &title, error).map(|()| None),
        };
        if let Some(data) = view.part(PAGE_PART) {
            let mut keep = |kind: &str, what: Option<String>| {
                let of_kind = seen.inventory.things.entry(kind.to_owned()).or_default();
                of_kind.extend(what.map(|what| (page.base_id.clone(), what)));
            };
            keep(STRUCTURE_KIND, structure(data));
            keep(ON_LOAD_KIND, on_load(data));
        }
        seen.took_ms.insert(id.clone(), millis(view.took));
        seen.checks.insert(id, Seen { title, result: judge(&view, PAGE_PART) });
        Ok(Some(view))
    }

    /// The queries and JS objects, for versions in which they do not come with a page.
    async fn actions_alone(
        &self,
        app: &Application,
        found: &mut FoundApp,
        seen: &mut Observation,
    ) -> Result<(), ApiError> {
        let (id, name) = (&app.thing.base_id, &app.thing.name);
        match self.patient(self.api.queries(app)).await {
            Ok(queries) => {
                add_actions(seen, "query", found, &queries);
                found.queries = queries;
            }
            Err(error) => {
                self.note(seen, &format!("app:{id}/queries"), &format!("the queries of app `{name}`"), error)?
            }
        }
        match self.patient(self.api.js_objects(app)).await {
            Ok(objects) => add_actions(seen, "js-object", found, &objects),
            Err(error) => {
                self.note(seen, &format!("app:{id}/js-objects"), &format!("the JS objects of app `{name}`"), error)?
            }
        }
        Ok(())
    }

    /// Asks only while it makes sense.
    async fn patient<T>(&self, asked: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        match self.slow_count.load(Ordering::Relaxed) {
            slow_count if slow_count >= SLOW_MAX => Err(ApiError::NotAsked { slow_count }),
            _ => asked.await,
        }
    }

    fn note(&self, seen: &mut Observation, id: &str, title: &str, error: ApiError) -> Result<(), ApiError> {
        if matches!(error, ApiError::TooSlow { .. }) {
            self.slow_count.fetch_add(1, Ordering::Relaxed);
        }
        note(seen, id, title, error)
    }
}

/// Takes the queries and JS objects of the whole application from a view of one of its pages. Says whether they were
/// there.
fn keep_actions(view: &View, found: &mut FoundApp, seen: &mut Observation) -> bool {
    let read = |part, what| view.part(part).and_then(|rows| listing::actions(rows, what).ok());
    let Some(queries) = read("publishedActions", "queries") else { return false };
    add_actions(seen, "query", found, &queries);
    found.queries = queries;
    if let Some(objects) = read("publishedActionCollections", "JS objects") {
        add_actions(seen, "js-object", found, &objects);
    }
    true
}

fn add_actions(seen: &mut Observation, kind: &str, found: &FoundApp, actions: &[Action]) {
    for action in actions {
        let is_on = |page: &&Thing| action.page.as_deref().is_some_and(|id| page.id == id || page.base_id == id);
        let holder = found.pages.iter().find(is_on).unwrap_or(&found.thing);
        add(seen, kind, &action.thing, Some(&holder.base_id));
    }
}

/// Every part must be well by its own envelope, and the one that matters must be among them.
fn judge(view: &View, needed: &str) -> SeenResult {
    let mut wrong: Vec<String> = Vec::new();
    for (name, part) in &view.parts {
        if let Err(error) = part {
            wrong.push(format!("its part `{name}` failed: {error}"));
        }
    }
    if !view.parts.iter().any(|(name, _)| name == needed) {
        wrong.push(format!("its part `{needed}` is missing"));
    }
    if wrong.is_empty() { SeenResult::Pass } else { SeenResult::Fail { reason: wrong.join("; ") } }
}

fn add(seen: &mut Observation, kind: &str, thing: &Thing, holder: Option<&str>) {
    let inventory = &mut seen.inventory;
    inventory.things.entry(kind.to_owned()).or_default().insert(thing.base_id.clone(), thing.name.clone());
    inventory.holders.extend(holder.map(|holder| (thing.base_id.clone(), holder.to_owned())));
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// Notes a check that did not pass, or gives up where no other would, either.
pub fn note(seen: &mut Observation, id: &str, title: &str, error: ApiError) -> Result<(), ApiError> {
    if error.is_hopeless() {
        return Err(error);
    }
    let reason = error.to_string();
    let result = match error {
        ApiError::Refused { .. } | ApiError::Unauthorized | ApiError::TooSlow { .. } => SeenResult::Fail { reason },
        _ => SeenResult::Error { reason },
    };
    seen.checks.insert(id.to_owned(), Seen { title: title.to_owned(), result });
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::answer::open;
    use super::*;

    fn view(parts: &[(&str, bool)]) -> View {
        let error = json!({"code": "AE-APP-4027", "message": "Unable to find page"});
        let part = |(name, success): &(&str, bool)| {
            let meta = if *success { json!({"success": true}) } else { json!({"success": false, "error": error}) };
            ((*name).to_owned(), open(json!({"responseMeta": meta, "data": {}}), 200))
        };
        View { parts: parts.iter().map(part).collect(), took: Duration::ZERO }
    }

    #[test]
    fn a_page_is_as_well_as_its_worst_part() {
        let judge = |parts: &[(&str, bool)]| judge(&view(parts), PAGE_PART);
        assert_eq!(judge(&[(PAGE_PART, true), ("pages", true)]), SeenResult::Pass);
        let SeenResult::Fail { reason } = judge(&[(PAGE_PART, true), ("publishedActions", false)]) else { panic!() };
        assert!(reason.contains("`publishedActions` failed") && reason.contains("AE-APP-4027: Unable to find page"));
        let SeenResult::Fail { reason } = judge(&[("pages", true)]) else { panic!() };
        assert_eq!(reason, "its part `pageWithMigratedDsl` is missing");
    }

    #[test]
    fn one_slow_page_is_a_failure_of_its_own_and_silence_ends_the_look() {
        let mut seen = Observation::default();
        note(&mut seen, "app:1/page:2", "page", ApiError::TooSlow { seconds: 30 }).unwrap();
        note(&mut seen, "app:1/page:3", "page", ApiError::Throttled).unwrap();
        assert!(matches!(seen.checks["app:1/page:2"].result, SeenResult::Fail { .. }));
        assert!(matches!(seen.checks["app:1/page:3"].result, SeenResult::Error { .. }));
        note(&mut seen, "app:1/page:4", "page", ApiError::NotUp { why: "502".into() }).unwrap_err();
    }

    #[tokio::test]
    async fn a_server_that_answers_nothing_in_time_is_not_asked_for_hours() {
        let api = Api::new(super::super::client::Client::new("http://127.0.0.1:1").unwrap(), None);
        let look = Look { api: &api, one_by_one: AtomicBool::new(false), slow_count: AtomicUsize::new(0) };
        let mut seen = Observation::default();
        for _ in 0..SLOW_MAX {
            look.patient(async { Ok(()) }).await.unwrap();
            look.note(&mut seen, "a", "a", ApiError::TooSlow { seconds: 30 }).unwrap();
        }
        let error = look.patient(async { Ok(()) }).await.unwrap_err();
        look.note(&mut seen, "b", "b", error).unwrap();
        let SeenResult::Error { reason } = &seen.checks["b"].result else { panic!() };
        assert_eq!(reason, "it was not asked: 20 others were not answered in time");
    }
}
