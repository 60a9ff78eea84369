//! Runs the queries that the configuration names, and no others: each is a real query on a real database.

use serde_json::{Value, json};

use super::answer::ApiError;
use super::api::Api;
use super::execution::judge;
use super::listing::{Action, Thing};
use super::observe::{Found, FoundApp, note};
use crate::model::observation::{Observation, Seen, SeenResult};
use crate::smoke::query::QueryCheck;

/// How many names an error lists.
const NAMED: usize = 10;

/// Runs each once, one after the other. Fails only where nothing more can be asked.
pub async fn run_all(api: &Api, found: &Found, checks: &[QueryCheck], seen: &mut Observation) -> Result<(), ApiError> {
    for check in checks {
        let (id, title) = (check.id(), check.title());
        let asked = find(check, found).and_then(|action| Ok((action, request(check, action)?)));
        let parts = match asked {
            Ok((_, parts)) => parts,
            Err(reason) => {
                seen.checks.insert(id, Seen { title, result: SeenResult::Error { reason } });
                continue;
            }
        };
        match api.execute(&parts, check.limit).await {
            Ok(data) => {
                let took_ms = u64::try_from(data.took.as_millis()).unwrap_or(u64::MAX);
                seen.took_ms.insert(id.clone(), took_ms);
                seen.checks.insert(id, Seen { title, result: judge(check, &data.value, data.took) });
            }
            Err(error) => note(seen, &id, &title, error)?,
        }
    }
    Ok(())
}

/// The one query that is meant, or what there is instead.
fn find<'f>(check: &QueryCheck, found: &'f Found) -> Result<&'f Action, String> {
    let app = one_of("application", &check.app, &found.applications, |app: &FoundApp| {
        (&app.thing, format!("of workspace `{}`", app.workspace))
    });
    let app = app.map_err(|why| match &found.gap {
        Some(gap) => format!("the applications could not be listed: {gap}"),
        None => why,
    })?;
    let page = match &check.page {
        Some(page) => Some(one_of("page", page, &app.pages, |page: &Thing| (page, String::new()))?),
        None => None,
    };
    let is_on =
        |action: &&Action, page: &Thing| action.page.as_deref().is_some_and(|id| id == page.id || id == page.base_id);
    let queries: Vec<&Action> =
        app.queries.iter().filter(|action| page.is_none_or(|page| is_on(action, page))).collect();
    let of_page = |action: &&Action| {
        let page = app.pages.iter().find(|page| is_on(action, page));
        page.map_or_else(String::new, |page| format!("on page `{}`", page.name))
    };
    one_of("query", &check.query, &queries, |action| (&action.thing, of_page(action))).copied()
}

/// The one that is called so, or has that id.
fn one_of<'t, T>(
    what: &str,
    wanted: &str,
    all: &'t [T],
    about: impl Fn(&'t T) -> (&'t Thing, String),
) -> Result<&'t T, String> {
    let is_meant = |thing: &Thing| thing.name == wanted || thing.id == wanted || thing.base_id == wanted;
    let meant: Vec<&'t T> = all.iter().filter(|one: &&'t T| is_meant(about(one).0)).collect();
    match meant.as_slice() {
        [one] => Ok(one),
        [] => {
            let mut names: Vec<&str> = all.iter().map(|one| about(one).0.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            let there_is =
                if names.is_empty() { "there is none".to_owned() } else { format!("there is {}", some(names)) };
            Err(format!("no {what} is called `{wanted}`; {there_is}"))
        }
        several => {
            let mut each: Vec<String> = several
                .iter()
                .map(|one| {
                    let (thing, place) = about(one);
                    format!("`{}` {place}", thing.base_id).trim_end().to_owned()
                })
                .collect();
            each.sort_unstable();
            let each = each.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            Err(format!("{} are called `{wanted}`; name one by its id: {each}", several.len()))
        }
    }
}

fn some(names: Vec<&str>) -> String {
    let shown = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED { format!("{shown} and {} more", names.len() - NAMED) } else { shown }
}

/// The parts of the form. Every binding must have a value, and every value its binding.
fn request(check: &QueryCheck, action: &Action) -> Result<Vec<(String, String)>, String> {
    let params = &check.params.0;
    let ticked = |names: Vec<&String>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let missing: Vec<&String> = action.bindings.iter().filter(|binding| !params.contains_key(*binding)).collect();
    if !missing.is_empty() {
        return Err(format!("it needs a value in `params` for {}", ticked(missing)));
    }
    let unused: Vec<&String> = params.keys().filter(|binding| !action.bindings.contains(binding)).collect();
    if !unused.is_empty() {
        let uses = if action.bindings.is_empty() { "nothing".into() } else { ticked(action.bindings.iter().collect()) };
        return Err(format!("`params` has {}, but it uses {uses}", ticked(unused)));
    }
    let mut properties = serde_json::Map::new();
    let mut map = serde_json::Map::new();
    let mut values = Vec::new();
    for (index, (binding, value)) in params.iter().enumerate() {
        let (key, (kind, text)) = (format!("k{index}"), datum(value));
        properties.insert(key.clone(), json!({"datatype": kind, "blobIdentifiers": []}));
        map.insert(binding.clone(), Value::String(key.clone()));
        values.push((key, text));
    }
    let dto = json!({"actionId": action.thing.id, "viewMode": true, "paramProperties": properties});
    let mut parts = vec![("executeActionDTO".to_owned(), dto.to_string())];
    // A form without values has no map of them in the product's own client, either.
    if !values.is_empty() {
        parts.push(("parameterMap".to_owned(), Value::Object(map).to_string()));
        parts.extend(values);
    }
    Ok(parts)
}

/// A value as the form has it: its type and its text.
fn datum(value: &Value) -> (&'static str, String) {
    match value {
        Value::String(text) => ("string", text.clone()),
        Value::Number(number) => ("number", number.to_string()),
        Value::Bool(truth) => ("boolean", truth.to_string()),
        other => ("string", other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::smoke::query::Params;

    fn thing(id: &str, base_id: &str, name: &str) -> Thing {
        Thing { id: id.into(), base_id: base_id.into(), name: name.into() }
    }

    fn action(id: &str, page: &str, name: &str, bindings: &[&str]) -> Action {
        let bindings = bindings.iter().map(|binding| (*binding).to_owned()).collect();
        Action { thing: thing(id, &format!("{id}-base"), name), page: Some(page.into()), bindings }
    }

    fn found() -> Found {
        let app = |id: &str, name: &str, workspace: &str| FoundApp {
            thing: thing(id, id, name),
            workspace: workspace.into(),
            pages: vec![thing("p1", "p1", "Home"), thing("p2-branch", "p2", "Details")],
            queries: vec![
                action("q1", "p1", "getOrders", &[]),
                action("q2", "p2-branch", "getOrders", &["Input1.text", "Limit.value"]),
                action("q3", "p1", "getUsers", &[]),
            ],
        };
        let applications = vec![app("a1", "Orders", "Ops"), app("a2", "Twin", "Ops"), app("a3", "Twin", "Care")];
        Found { applications, ..Found::default() }
    }

    fn check(app: &str, page: Option<&str>, query: &str) -> QueryCheck {
        QueryCheck {
            name: "c".into(),
            app: app.into(),
            page: page.map(str::to_owned),
            query: query.into(),
            params: Params::default(),
            min_rows: None,
            max_rows: None,
            expect: None,
            max_latency: None,
            limit: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_query_is_found_by_names_or_ids_and_only_where_there_is_one() {
        let found = found();
        let id = |app, page, query| find(&check(app, page, query), &found).map(|action| action.thing.id.clone());
        assert_eq!(id("Orders", None, "getUsers").unwrap(), "q3");
        assert_eq!(id("Orders", Some("Details"), "getOrders").unwrap(), "q2");
        assert_eq!(id("a3", Some("p2"), "q2-base").unwrap(), "q2");
        let wrong = |app, page, query| id(app, page, query).unwrap_err();
        assert_eq!(wrong("Order", None, "x"), "no application is called `Order`; there is `Orders`, `Twin`");
        assert_eq!(
            wrong("Twin", None, "x"),
            "2 are called `Twin`; name one by its id: `a2` of workspace `Ops`, `a3` of workspace `Care`"
        );
        assert_eq!(wrong("Orders", Some("Hom"), "x"), "no page is called `Hom`; there is `Details`, `Home`");
        assert_eq!(
            wrong("Orders", None, "getOrders"),
            "2 are called `getOrders`; name one by its id: `q1-base` on page `Home`, `q2-base` on page `Details`"
        );
        assert_eq!(wrong("Orders", Some("Home"), "x"), "no query is called `x`; there is `getOrders`, `getUsers`");
        let unknown = Found { gap: Some("it answers 500".into()), ..Found::default() };
        let reason = find(&check("Orders", None, "x"), &unknown).unwrap_err();
        assert_eq!(reason, "the applications could not be listed: it answers 500");
    }

    #[test]
    fn the_form_has_each_value_under_its_key() {
        let params = [("Input1.text", json!("x y")), ("Limit.value", json!(5))];
        let params = Params(params.into_iter().map(|(binding, value)| (binding.to_owned(), value)).collect());
        let check = QueryCheck { params, ..check("Orders", None, "x") };
        let parts = request(&check, &action("q2", "p", "x", &["Input1.text", "Limit.value"])).unwrap();
        let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["executeActionDTO", "parameterMap", "k0", "k1"]);
        let json_of = |index: usize| serde_json::from_str::<Value>(&parts[index].1).unwrap();
        let property = |kind: &str| json!({"datatype": kind, "blobIdentifiers": []});
        let dto = json!({"actionId": "q2", "viewMode": true,
            "paramProperties": {"k0": property("string"), "k1": property("number")}});
        assert_eq!(json_of(0), dto);
        assert_eq!(json_of(1), json!({"Input1.text": "k0", "Limit.value": "k1"}));
        assert_eq!((parts[2].1.as_str(), parts[3].1.as_str()), ("x y", "5"));

        let reason = request(&check, &action("q2", "p", "x", &["Input1.text"])).unwrap_err();
        assert_eq!(reason, "`params` has `Limit.value`, but it uses `Input1.text`");
        let more = action("q2", "p", "x", &["Input1.text", "Limit.value", "Other.text"]);
        assert_eq!(request(&check, &more).unwrap_err(), "it needs a value in `params` for `Other.text`");
    }
}
