//! Queries and JS objects: lists of them, and running one.

use super::caller::{Anyone, User};
use super::envelope::{Answer, ApiError, ok};
use super::pages::application_id;
use super::views::{Eye, Side};
use super::{datasources, look, required};
use crate::broken::{Broken, means};
use crate::data::database::Collection;
use crate::data::documents::text;
use crate::world::World;
use axum::extract::{Multipart, Query, State};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Words = Query<HashMap<String, String>>;

/// The published queries of an application.
pub async fn published(State(world): State<Arc<World>>, caller: Anyone, Query(words): Words) -> Answer {
    let id = application_id(&words)?;
    ok(look(&world, &caller, |eye| list(eye, Collection::NewAction, id, Side::Published))?)
}

/// The queries of an application as its editors see them.
pub async fn edited(State(world): State<Arc<World>>, User(caller): User, Query(words): Words) -> Answer {
    let id = application_id(&words)?;
    ok(look(&world, &caller, |eye| list(eye, Collection::NewAction, id, Side::Edited))?)
}

/// The published JS objects of an application.
pub async fn js_objects(State(world): State<Arc<World>>, caller: Anyone, Query(words): Words) -> Answer {
    let id = application_id(&words)?;
    ok(look(&world, &caller, |eye| list(eye, Collection::ActionCollection, id, Side::Published))?)
}

/// The queries or JS objects of an application.
pub fn list(eye: &Eye<'_>, collection: Collection, id: &str, side: Side) -> Result<Value, ApiError> {
    let id = text(eye.application_for(id, side)?, "_id");
    let view = |document: &Value| match collection {
        Collection::NewAction => eye.action(document, side),
        _ => eye.js_object(document, side),
    };
    Ok(eye.database.matching(collection, "applicationId", id).map(view).collect())
}

/// Runs a query: 200 in any case; `isExecutionSuccess` tells.
pub async fn execute(State(world): State<Arc<World>>, caller: Anyone, mut parts: Multipart) -> Answer {
    let (mut request, mut given) = (Value::Null, Value::Null);
    while let Some(part) = parts.next_field().await.map_err(|_| ApiError::bad_request("The form cannot be read."))? {
        let name = part.name().unwrap_or_default().to_owned();
        let bytes = part.bytes().await.map_err(|_| ApiError::bad_request("The form cannot be read."))?;
        let parameter = name.strip_prefix('k').is_some_and(|rest| rest.parse::<u32>().is_ok());
        match name.as_str() {
            "executeActionDTO" => request = serde_json::from_slice(&bytes).unwrap_or_default(),
            "parameterMap" => given = serde_json::from_slice(&bytes).unwrap_or_default(),
            _ if parameter || name.starts_with("blob:") => {}
            other => return Err(ApiError::bad_request(&format!("Unexpected part {other}."))),
        }
    }
    let id = required(&request, "actionId")?;
    let side = if request["viewMode"] == true { Side::Published } else { Side::Edited };
    let (action, source, application) = look(&world, &caller, |eye| {
        let missing = || ApiError::not_found("action", id);
        let action = eye.document(Collection::NewAction, id).ok_or_else(missing)?;
        let application = eye.application_for(text(action, "applicationId"), side).map_err(|_| missing())?;
        let source = eye.database.get(Collection::Datasource, text(action, "datasourceId")).cloned();
        Ok((action.clone(), source.unwrap_or_default(), text(application, "name").to_owned()))
    })?;
    let result = run(&world, &action, &source, &application, &given).await;
    // A real query on a real database would have run now: tests count these lines.
    world.log(
        "backend",
        &format!(
            "INFO real query: application={application:?} name={:?} action={id} viewMode={} success={}",
            text(&action, "name"),
            side == Side::Published,
            result["isExecutionSuccess"]
        ),
    );
    ok(result)
}

async fn run(world: &World, action: &Value, source: &Value, application: &str, given: &Value) -> Value {
    let name = text(action, "name");
    let limit = Duration::from_millis(action["timeoutInMillisecond"].as_u64().unwrap_or(10_000));
    for way in &world.behaviour.broken {
        match way {
            Broken::SlowQuery(meant, secs) if means(meant, application, name) => {
                let takes = Duration::from_secs_f64(*secs);
                tokio::time::sleep(takes.min(limit)).await;
                if takes > limit {
                    let why = format!("{name} timed out in {} milliseconds", limit.as_millis());
                    return failed("AE-APP-5012", "Query timed out", "CONNECTIVITY_ERROR", &why);
                }
            }
            Broken::Query(meant) if means(meant, application, name) => {
                let why = "ERROR: relation does not exist";
                return failed("PE-PGS-5000", "Query execution error", "INTERNAL_ERROR", why);
            }
            _ => {}
        }
    }
    let (host, now, shared) = (text(source, "url"), Instant::now(), world.behaviour.open.shared_test_limit);
    if shared && world.connections.blocks(host, now) {
        let why = "Too many failed requests were made to this data source. Please try again later.";
        return failed("AE-TMR-4031", "Too many failed requests", "CONNECTIVITY_ERROR", why);
    }
    if !datasources::is_readable(world, source) {
        if shared {
            world.connections.count_failure(host, now, world.behaviour.pace);
        }
        let why = "the credentials of the data source cannot be decrypted";
        return failed("PE-DSE-4000", "Datasource configuration is invalid", "DATASOURCE_CONFIGURATION_ERROR", why);
    }
    let bound = action["jsonPathKeys"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = bound.clone().find(|key| given.get(*key).is_none()) {
        let why = format!("the value of {missing} was not given");
        return failed("PE-ARG-5000", "Query configuration is invalid", "ARGUMENT_ERROR", &why);
    }
    let rows = if text(action, "body").starts_with("SELECT") {
        (1..=3)
            .map(|number| json!({"id": number, "name": format!("{application} {number}"), "open": number == 1}))
            .collect()
    } else {
        json!([{"affectedRows": 1}])
    };
    json!({
        "isExecutionSuccess": true, "statusCode": "200 OK", "body": rows, "headers": {},
        "dataTypes": [{"dataType": "TABLE"}, {"dataType": "JSON"}, {"dataType": "RAW"}],
    })
}

fn failed(code: &str, title: &str, kind: &str, why: &str) -> Value {
    json!({
        "isExecutionSuccess": false, "statusCode": code, "title": title, "body": why, "errorType": kind,
        "readableError": why,
        "pluginErrorDetails": {"title": title, "errorType": kind, "appsmithErrorCode": code, "downstreamErrorMessage": why},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::data::database::Database;
    use crate::envfile::Settings;
    use crate::options::Options;
    use crate::paths::Volume;
    use crate::seed;
    use crate::world::lock;

    /// Runs a query of Orders in a seeded world that is broken in that way, as often as asked.
    async fn results(broken: &str, query: &str, given: Value, times: usize) -> Vec<Value> {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        let baked = Baked::take(&mut Options::read(&[]).unwrap()).unwrap();
        seed::fill(&volume, &baked, 1, None, 0, 7).unwrap();
        let behaviour = baked.in_environment(None, Some(broken)).unwrap();
        let settings = Settings::load(&volume, behaviour.version, &Default::default()).unwrap();
        let database = Database::open(&volume.mongodb()).unwrap();
        let world = World::new(volume, behaviour, String::new(), Default::default());
        *lock(&world.settings) = settings;
        let action = database.matching(Collection::NewAction, "name", query).next().unwrap();
        let source = database.get(Collection::Datasource, text(action, "datasourceId")).unwrap();
        let mut all = Vec::new();
        for _ in 0..times {
            all.push(run(&world, action, source, "Orders", &given).await);
        }
        all
    }

    async fn result(broken: &str, query: &str, given: Value) -> Value {
        results(broken, query, given, 1).await.remove(0)
    }

    #[tokio::test]
    async fn reading_gives_rows_and_writing_a_count() {
        assert_eq!(result("", "getHome", json!({})).await["body"].as_array().unwrap().len(), 3);
        assert_eq!(result("", "delete_order", json!({})).await["body"], json!([{"affectedRows": 1}]));
        let needs = result("", "updateHome", json!({})).await;
        assert_eq!((&needs["isExecutionSuccess"], &needs["errorType"]), (&json!(false), &json!("ARGUMENT_ERROR")));
        let given = json!({"Input1.text": "k0", "Table1.selectedRow.id": "k1"});
        assert_eq!(result("", "updateHome", given).await["isExecutionSuccess"], true);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_query_fails_and_a_slow_one_only_beyond_its_limit() {
        let ran = async |broken: &str| result(broken, "getHome", json!({})).await["isExecutionSuccess"] == true;
        assert!(!ran("query:getHome").await && !ran("query:Orders/getHome").await);
        assert!(ran("query:Returns/getHome").await && ran("query:getDetails").await);
        assert!(ran("slow-query:getHome:9").await && !ran("slow-query:getHome:11").await);
    }

    #[tokio::test]
    async fn credentials_that_cannot_be_read_block_their_host_after_three_tries() {
        let broken = "datasource:Orders DB,datasource:Events,datasource:Billing";
        let all = results(broken, "getHome", json!({}), 4).await;
        let codes: Vec<&str> = all.iter().map(|result| text(result, "statusCode")).collect();
        assert_eq!(codes, ["PE-DSE-4000", "PE-DSE-4000", "PE-DSE-4000", "AE-TMR-4031"]);
    }
}
