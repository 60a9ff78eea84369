//! What the answer of an executed query means. Pure.
//!
//! A query that failed is answered with HTTP 200 and a success in the envelope; `isExecutionSuccess` alone tells.

use std::time::Duration;

use serde_json::Value;

use super::answer::short;
use crate::instance::secret::mask_addresses;
use crate::model::observation::SeenResult;
use crate::smoke::query::{Expect, QueryCheck};

/// How much of a value from an answer is shown: it may be anybody's data.
const SHOWN_CHARS: usize = 40;

/// Judges the data of an answer that came after `took`.
pub fn judge(check: &QueryCheck, data: &Value, took: Duration) -> SeenResult {
    let wrong = failure(data).or_else(|| {
        let body = data.get("body").unwrap_or(&Value::Null);
        wrong_rows(check, body)
            .or_else(|| check.expect.as_ref().and_then(|expect| unexpected(expect, body)))
            .or_else(|| too_slow(check, took))
    });
    wrong.map_or(SeenResult::Pass, |reason| SeenResult::Fail { reason })
}

/// Why the query itself failed, in the server's words.
fn failure(data: &Value) -> Option<String> {
    match data.get("isExecutionSuccess").and_then(Value::as_bool) {
        Some(true) => return None,
        Some(false) => {}
        None => return Some("its answer does not say whether it succeeded".into()),
    }
    let text = |pointer: &str| data.pointer(pointer).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let title = ["/title", "/pluginErrorDetails/title", "/errorType", "/statusCode"].into_iter().find_map(text);
    let details = [
        "/readableError",
        "/pluginErrorDetails/downstreamErrorMessage",
        "/pluginErrorDetails/appsmithErrorMessage",
        "/body",
    ];
    let detail = details.into_iter().find_map(text);
    let said: Vec<&str> = title.into_iter().chain(detail).collect();
    Some(if said.is_empty() { "it failed without a reason".into() } else { line(&said.join(": ")) })
}

fn wrong_rows(check: &QueryCheck, body: &Value) -> Option<String> {
    let (min, max) = (check.min_rows, check.max_rows);
    if min.is_none() && max.is_none() {
        return None;
    }
    let count = match body {
        Value::Null => 0,
        Value::Array(rows) => rows.len() as u64,
        other => return Some(format!("its answer is {}, not a list of rows", kind(other))),
    };
    if let Some(min) = min.filter(|min| count < *min) {
        return Some(format!("it has {count} rows, fewer than {min}"));
    }
    max.filter(|max| count > *max).map(|max| format!("it has {count} rows, more than {max}"))
}

fn unexpected(expect: &Expect, body: &Value) -> Option<String> {
    let pointer = &expect.pointer;
    let Some(found) = body.pointer(pointer) else {
        return Some(format!("its answer has nothing at `{pointer}`"));
    };
    let wanted = expect.equals.as_ref()?;
    if is_same(found, wanted) {
        return None;
    }
    Some(format!("at `{pointer}` it has {}, not {}", shown(found), shown(wanted)))
}

/// 1 and 1.0 are the same number.
fn is_same(one: &Value, other: &Value) -> bool {
    one == other || matches!((one.as_f64(), other.as_f64()), (Some(one), Some(other)) if one == other)
}

fn too_slow(check: &QueryCheck, took: Duration) -> Option<String> {
    let max = check.max_latency.filter(|max| took > *max)?;
    Some(format!("it took {} ms, more than {} ms", took.as_millis(), max.as_millis()))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => kind(value).into(),
        value => {
            let text = value.to_string();
            match text.char_indices().nth(SHOWN_CHARS) {
                Some((at, _)) => format!("`{}…`", &text[..at]),
                None => format!("`{text}`"),
            }
        }
    }
}

/// A text of a driver on one line, without what looks like a password.
pub fn line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    short(&hide_settings(&mask_addresses(&text)))
}

/// What a setting with a secret is called, in the texts of drivers, such as `…/db?user=a&password=b`.
const SECRET_SETTINGS: [&str; 6] = ["password", "passwd", "pwd", "secret", "token", "apikey"];

fn hide_settings(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(at + 1);
        clean.push_str(before);
        let name: String =
            before.chars().rev().skip(1).take_while(|c| !c.is_whitespace() && !"&?;,({".contains(*c)).collect();
        let name: String = name.chars().rev().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        rest = after;
        if SECRET_SETTINGS.iter().any(|secret| name.ends_with(secret)) {
            let value = after.trim_start();
            let end = value.find(|c: char| c.is_whitespace() || "&;,)}".contains(c)).unwrap_or(value.len());
            clean.push('…');
            rest = &value[end..];
        }
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub fn check() -> QueryCheck {
        QueryCheck {
            name: "orders".into(),
            app: "Orders".into(),
            page: None,
            query: "getOrders".into(),
            params: Default::default(),
            min_rows: None,
            max_rows: None,
            expect: None,
            max_latency: None,
            limit: Duration::from_secs(30),
        }
    }

    fn judged(check: QueryCheck, data: Value) -> String {
        match judge(&check, &data, Duration::from_millis(1500)) {
            SeenResult::Pass => "pass".into(),
            SeenResult::Fail { reason } => reason,
            SeenResult::Error { reason } => panic!("{reason}"),
        }
    }

    fn rows(count: usize) -> Value {
        json!({"isExecutionSuccess": true, "statusCode": "200 OK", "body": vec![json!({"id": 1, "state": "open"}); count]})
    }

    #[test]
    fn only_its_own_word_makes_a_success() {
        assert_eq!(judged(check(), rows(0)), "pass");
        let table = [
            (json!({"isExecutionSuccess": false}), "it failed without a reason"),
            (json!({}), "its answer does not say whether it succeeded"),
            (
                json!({"isExecutionSuccess": false, "title": "Query execution error", "readableError": "ERROR: relation\n  \"o\" is gone",
                    "body": "unused"}),
                "Query execution error: ERROR: relation \"o\" is gone",
            ),
            (
                json!({"isExecutionSuccess": false, "statusCode": "PE-DSE-4000", "body": "cannot be decrypted"}),
                "PE-DSE-4000: cannot be decrypted",
            ),
            (
                json!({"isExecutionSuccess": false, "errorType": "CONNECTIVITY_ERROR",
                    "pluginErrorDetails": {"downstreamErrorMessage": "refused"}}),
                "CONNECTIVITY_ERROR: refused",
            ),
        ];
        for (data, reason) in table {
            assert_eq!(judged(check(), data), reason);
        }
    }

    #[test]
    fn rows_are_counted() {
        let bounds = |min_rows, max_rows| QueryCheck { min_rows, max_rows, ..check() };
        assert_eq!(judged(bounds(Some(3), Some(3)), rows(3)), "pass");
        assert_eq!(judged(bounds(Some(4), None), rows(3)), "it has 3 rows, fewer than 4");
        assert_eq!(judged(bounds(None, Some(2)), rows(3)), "it has 3 rows, more than 2");
        assert_eq!(judged(bounds(Some(1), None), json!({"isExecutionSuccess": true})), "it has 0 rows, fewer than 1");
        let object = json!({"isExecutionSuccess": true, "body": {"a": 1}});
        assert_eq!(judged(bounds(Some(1), None), object), "its answer is an object, not a list of rows");
    }

    #[test]
    fn a_place_of_the_answer_is_compared() {
        let expect = |pointer: &str, equals: Option<Value>| QueryCheck {
            expect: Some(Expect { pointer: pointer.into(), equals }),
            ..check()
        };
        assert_eq!(judged(expect("/0/state", Some(json!("open"))), rows(1)), "pass");
        assert_eq!(judged(expect("/0/id", Some(json!(1.0))), rows(1)), "pass");
        assert_eq!(judged(expect("/0/id", None), rows(1)), "pass");
        assert_eq!(judged(expect("/1/id", None), rows(1)), "its answer has nothing at `/1/id`");
        assert_eq!(judged(expect("/0/id", Some(json!("1"))), rows(1)), "at `/0/id` it has `1`, not `\"1\"`");
        let long = json!({"isExecutionSuccess": true, "body": ["x".repeat(100)]});
        let reason = judged(expect("/0", Some(json!("y"))), long);
        assert!(reason.contains("x…`, not `\"y\"`") && reason.len() < 80, "{reason}");
    }

    #[test]
    fn latency_counts_only_where_a_bound_is_given() {
        let bound = |millis| QueryCheck { max_latency: Some(Duration::from_millis(millis)), ..check() };
        assert_eq!(judged(bound(1500), rows(1)), "pass");
        assert_eq!(judged(bound(1499), rows(1)), "it took 1500 ms, more than 1499 ms");
    }

    #[test]
    fn what_a_driver_says_is_shown_without_passwords() {
        let table = [
            (
                "jdbc:postgresql://db/app?user=a&password=hunter2&ssl=true",
                "jdbc:postgresql://db/app?user=a&password=…&ssl=true",
            ),
            ("mongodb://u:hunter2@db refused", "mongodb://…@db refused"),
            ("login with Password: hunter2 failed", "login with Password:… failed"),
            ("ERROR: column \"tokens\" = 5", "ERROR: column \"tokens\" = 5"),
            ("a\n  b", "a b"),
        ];
        for (text, expected) in table {
            assert_eq!(line(text), expected);
        }
        assert!(line(&"x".repeat(1000)).chars().count() < 210);
    }
}
