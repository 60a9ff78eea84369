//! Everything the checks look at, once: what is there, and whether each deployed page loads.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::stream;
use serde_json::Value;

use super::answer::ApiError;
use super::api::{Api, Application, PAGE_PART, PageParts, Thing};
use crate::model::observation::{Inventory, Observation, Seen, SeenResult};
use crate::model::verdict::{EMPTY_STRUCTURE, STRUCTURE_KIND};

/// Calls under way at once.
const AT_ONCE: usize = 4;

/// Adds the inventory and the checks of all applications. Fails only where nothing more can be asked; whatever else
/// goes wrong is a check that fails.
pub async fn look_at_everything(api: &Api, seen: &mut Observation) -> Result<(), ApiError> {
    seen.inventory.instance_id = api.tenant().await?.instance_id;
    if !api.has_login() {
        return Ok(());
    }
    let workspaces = match api.workspaces().await {
        Ok(workspaces) => workspaces,
        Err(error) => return note(seen, "inventory", "the list of workspaces and applications", error),
    };
    for (workspace, _) in &workspaces {
        add(&mut seen.inventory, "workspace", workspace);
        match api.datasources(&workspace.id).await {
            Ok(datasources) => datasources.iter().for_each(|it| add(&mut seen.inventory, "datasource", it)),
            Err(error) => {
                let title = format!("the data sources of workspace `{}`", workspace.name);
                note(seen, &format!("workspace:{}/datasources", workspace.id), &title, error)?;
            }
        }
    }
    let applications = workspaces.into_iter().flat_map(|(_, applications)| applications);
    let mut findings = stream::iter(applications).map(|it| application(api, it)).buffer_unordered(AT_ONCE);
    while let Some(found) = findings.next().await {
        let Observation { inventory, checks } = found?;
        checks.into_iter().for_each(|(id, check)| drop(seen.checks.insert(id, check)));
        for (kind, things) in inventory.things {
            seen.inventory.things.entry(kind).or_default().extend(things);
        }
    }
    Ok(())
}

/// One application: its pages as edited, and each page as deployed.
async fn application(api: &Api, application: Application) -> Result<Observation, ApiError> {
    let mut seen = Observation::default();
    let Application { thing: app, may_edit } = application;
    add(&mut seen.inventory, "application", &app);
    if may_edit != Some(false) {
        let id = format!("app:{}/edit", app.id);
        let title = format!("app `{}` in the editor", app.name);
        match api.pages(&app.id, "EDIT").await {
            Ok(pages) => {
                pages.iter().for_each(|page| add(&mut seen.inventory, "page", page));
                seen.checks.insert(id, Seen { title, result: SeenResult::Pass });
            }
            Err(error) => note(&mut seen, &id, &title, error)?,
        }
    }
    let id = format!("app:{}", app.id);
    let title = format!("app `{}`", app.name);
    let pages = match api.pages(&app.id, "PUBLISHED").await {
        Ok(pages) => pages,
        Err(error) => {
            note(&mut seen, &id, &title, error)?;
            return Ok(seen);
        }
    };
    seen.checks.insert(id, Seen { title, result: SeenResult::Pass });
    for page in &pages {
        deployed_page(api, &app, page, &mut seen).await?;
    }
    Ok(seen)
}

async fn deployed_page(api: &Api, app: &Thing, page: &Thing, seen: &mut Observation) -> Result<(), ApiError> {
    add(&mut seen.inventory, "page", page);
    let id = format!("app:{}/page:{}", app.id, page.id);
    let title = format!("page `{}` of app `{}`", page.name, app.name);
    let parts = match api.page_view(app, page).await {
        Ok(parts) => parts,
        Err(error) => return note(seen, &id, &title, error),
    };
    for query in list_of(&parts, "publishedActions") {
        add(&mut seen.inventory, "query", &query);
    }
    if let Some(structure) = structure_of(&parts) {
        seen.inventory.things.entry(STRUCTURE_KIND.into()).or_default().insert(page.id.clone(), structure);
    }
    seen.checks.insert(id, Seen { title, result: judge(&parts) });
    Ok(())
}

/// Every part must be well by its own envelope, and the page itself must be among them.
fn judge(parts: &PageParts) -> SeenResult {
    let mut wrong: Vec<String> = Vec::new();
    for (name, part) in parts {
        if let Err(error) = part {
            wrong.push(format!("its part `{name}` failed: {error}"));
        }
    }
    if !parts.iter().any(|(name, _)| name == PAGE_PART) {
        wrong.push(format!("its part `{PAGE_PART}` is missing"));
    }
    if wrong.is_empty() { SeenResult::Pass } else { SeenResult::Fail { reason: wrong.join("; ") } }
}

fn list_of(parts: &PageParts, wanted: &str) -> Vec<Thing> {
    let data = parts.iter().find(|(name, _)| name == wanted).and_then(|(_, part)| part.as_ref().ok());
    let text = |row: &Value, key| row.get(key).and_then(Value::as_str).map(str::to_owned);
    let thing = |row: &Value| {
        let id = text(row, "id")?;
        Some(Thing { base_id: id.clone(), name: text(row, "name").unwrap_or_else(|| id.clone()), id })
    };
    data.and_then(Value::as_array).into_iter().flatten().filter_map(thing).collect()
}

fn structure_of(parts: &PageParts) -> Option<String> {
    let (_, page) = parts.iter().find(|(name, _)| name == PAGE_PART)?;
    let layouts = page.as_ref().ok()?.get("layouts")?.as_array()?;
    let widgets = layouts.iter().filter_map(|layout| layout.get("dsl"));
    Some(structure(widgets))
}

/// The widgets of a page by type, such as `BUTTON_WIDGET×2 TABLE_WIDGET_V2×1`, without the canvas around them.
fn structure<'a>(roots: impl Iterator<Item = &'a Value>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let children = |widget: &'a Value| widget.get("children").and_then(Value::as_array).into_iter().flatten();
    let mut open: Vec<&Value> = roots.flat_map(children).collect();
    while let Some(widget) = open.pop() {
        let kind = widget.get("type").and_then(Value::as_str).unwrap_or("unknown");
        *counts.entry(kind).or_default() += 1;
        open.extend(children(widget));
    }
    if counts.is_empty() {
        return EMPTY_STRUCTURE.to_owned();
    }
    counts.into_iter().map(|(kind, count)| format!("{kind}×{count}")).collect::<Vec<_>>().join(" ")
}

fn add(inventory: &mut Inventory, kind: &str, thing: &Thing) {
    inventory.things.entry(kind.to_owned()).or_default().insert(thing.id.clone(), thing.name.clone());
}

/// Notes a check that did not pass, or gives up where no other would, either.
fn note(seen: &mut Observation, id: &str, title: &str, error: ApiError) -> Result<(), ApiError> {
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

    fn part(name: &str, success: bool, data: Value) -> (String, Result<Value, ApiError>) {
        let error = json!({"code": "AE-APP-4027", "message": "Unable to find page"});
        let meta = if success { json!({"success": true}) } else { json!({"success": false, "error": error}) };
        (name.into(), open(json!({"responseMeta": meta, "data": data}), 200))
    }

    #[test]
    fn a_page_is_as_well_as_its_worst_part() {
        let page = || part(PAGE_PART, true, json!({}));
        assert_eq!(judge(&vec![page(), part("pages", true, json!({}))]), SeenResult::Pass);
        let SeenResult::Fail { reason } = judge(&vec![page(), part("publishedActions", false, Value::Null)]) else {
            panic!()
        };
        assert!(reason.contains("`publishedActions` failed") && reason.contains("AE-APP-4027: Unable to find page"));
        let SeenResult::Fail { reason } = judge(&vec![part("pages", true, json!({}))]) else { panic!() };
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

    #[test]
    fn widgets_are_counted_by_type_at_any_depth() {
        let button = || json!({"type": "BUTTON_WIDGET"});
        let dsl = json!({"type": "CANVAS_WIDGET", "children": [
            button(), {"type": "CONTAINER_WIDGET", "children": [{"type": "CANVAS_WIDGET", "children": [button()]}]},
        ]});
        let parts = vec![part(PAGE_PART, true, json!({"layouts": [{"dsl": dsl}]}))];
        assert_eq!(structure_of(&parts).unwrap(), "BUTTON_WIDGET×2 CANVAS_WIDGET×1 CONTAINER_WIDGET×1");
        let bare = vec![part(PAGE_PART, true, json!({"layouts": [{"dsl": {"type": "CANVAS_WIDGET"}}]}))];
        assert_eq!(structure_of(&bare).unwrap(), EMPTY_STRUCTURE);
        assert_eq!(structure_of(&vec![part(PAGE_PART, false, Value::Null)]), None);
    }
}
