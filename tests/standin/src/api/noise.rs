//! What changes in the answers of a healthy but noisy instance. No check may fail for it.

use crate::broken::{Broken, Noisy};
use crate::data::ids::Numbers;
use crate::world::World;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How much longer each answer of a slow instance takes, in real milliseconds: from, and how much more at most.
const SLOWER_MILLIS: (u64, u64) = (150, 500);
const BODY_LIMIT_BYTES: usize = 64 << 20;

/// Makes the answer late, adds unknown fields, or gives lists another order.
pub async fn add(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let is = |noise| world.behaviour.is(&Broken::Noisy(noise));
    let (slow, extra, order) = (is(Noisy::Slow), is(Noisy::Extra), is(Noisy::Order));
    let is_export = request.uri().path().contains("/export/");
    let response = next.run(request).await;
    let mut numbers = Numbers::random();
    if slow {
        let (from, more) = SLOWER_MILLIS;
        tokio::time::sleep(Duration::from_millis(from + numbers.below(more))).await;
    }
    if !(extra || order) || is_export {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let bytes = to_bytes(body, BODY_LIMIT_BYTES).await.unwrap_or_default();
    let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(head, Body::from(bytes));
    };
    change(&mut value, extra, order, &mut numbers);
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(value.to_string()))
}

/// Lists of things with an id have no order that counts; others (widgets, rows, what runs on load) have.
fn change(value: &mut Value, extra: bool, order: bool, numbers: &mut Numbers) {
    match value {
        Value::Array(list) => {
            list.iter_mut().for_each(|each| change(each, extra, order, numbers));
            if order && list.iter().all(|each| each.get("id").is_some()) {
                shuffle(list, numbers);
            }
        }
        Value::Object(fields) => {
            fields.values_mut().for_each(|each| change(each, extra, order, numbers));
            if extra && (fields.contains_key("id") || fields.contains_key("success")) {
                fields.insert("newInThisRelease".to_owned(), json!({"policies": [], "number": numbers.below(1000)}));
            }
        }
        _ => {}
    }
}

fn shuffle(list: &mut [Value], numbers: &mut Numbers) {
    for end in (1..list.len()).rev() {
        let other = usize::try_from(numbers.below(end as u64 + 1)).unwrap_or(0);
        list.swap(end, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_of_things_change_their_order_and_nothing_gets_lost() {
        let things: Vec<Value> = (0..20).map(|number| json!({"id": number})).collect();
        let widgets: Vec<Value> = (0..20).map(|number| json!({"widgetId": number})).collect();
        let whole = json!({"data": things, "dsl": {"children": widgets}});
        let mut noisy = whole.clone();
        change(&mut noisy, false, true, &mut Numbers::seeded(1));
        assert_ne!(noisy["data"], whole["data"]);
        assert_eq!(noisy["dsl"], whole["dsl"]);
        noisy["data"].as_array_mut().unwrap().sort_by_key(|thing| thing["id"].as_u64());
        assert_eq!(noisy, whole);
    }

    #[test]
    fn unknown_fields_come_where_a_thing_is() {
        let mut answer = json!({"responseMeta": {"success": true}, "data": [{"id": "a"}, {"name": "b"}]});
        change(&mut answer, true, false, &mut Numbers::seeded(1));
        assert!(answer["responseMeta"].get("newInThisRelease").is_some());
        assert!(answer["data"][0].get("newInThisRelease").is_some());
        assert!(answer["data"][1].get("newInThisRelease").is_none());
    }
}
