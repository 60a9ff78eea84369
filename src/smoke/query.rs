//! A query of a deployed application that must succeed, and what its answer must be. Only says what is wanted; how it
//! is run is the app's business.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// A query of a deployed application that must succeed. Running it is a real query on a real database, so nothing runs
/// but what is named here: it must only read.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryCheck {
    /// Names it in verdicts; unique within an instance.
    pub name: String,
    /// The application, by its name or id.
    pub app: String,
    /// The page, by its name or id; without one, the query's name must be the only one in the application.
    pub page: Option<String>,
    /// The query, by its name or id.
    pub query: String,
    /// The values of its bindings.
    pub params: Params,
    /// The least count of rows that is well.
    pub min_rows: Option<u64>,
    /// The highest.
    pub max_rows: Option<u64>,
    /// What must be in the answer's body, at a place in the words of RFC 6901, such as `/0/status`.
    pub expect: Option<Expect>,
    /// How long the server may take. `None`: as long as `limit` lets it.
    pub max_latency: Option<Duration>,
    /// When to stop waiting. The query itself may go on then.
    pub limit: Duration,
}

/// What must be at a place of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// The place, a JSON Pointer.
    pub pointer: String,
    /// What must be there; `None`: anything.
    pub equals: Option<Value>,
}

/// Values by the binding that they stand for, such as `Input1.text`. Prints without the values.
#[derive(Clone, Default, PartialEq)]
pub struct Params(pub BTreeMap<String, Value>);

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl QueryCheck {
    /// The id of its result among an observation's checks.
    pub fn id(&self) -> String {
        format!("query:{}", self.name)
    }

    /// What a person calls it.
    pub fn title(&self) -> String {
        format!("query check `{}`", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_printed() {
        let params = Params([("Input1.text".to_owned(), Value::from("hunter2"))].into());
        assert_eq!(format!("{params:?}"), r#"{"Input1.text"}"#);
    }
}
