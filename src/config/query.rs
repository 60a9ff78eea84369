//! A check of `type = "query"`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use toml::de::DeValue;

use super::section::Section;
use super::value::{Value, as_in_file, quoted, whole, wrong_type};

/// A query of a deployed application that must succeed. It is run on the real data: it must only read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryCheck {
    /// The application's name or id.
    pub app: String,
    /// The page's name or id; needed where the application has several queries of that name.
    pub page: Option<String>,
    /// The query's name or id.
    pub query: String,
    /// A value for each of its bindings.
    pub params: Params,
    /// The least count of rows that is well.
    pub min_rows: Option<u64>,
    /// The highest.
    pub max_rows: Option<u64>,
    /// A place in the answer where something must be.
    pub json_pointer: Option<String>,
    /// What must be there. Only beside a pointer.
    pub equals: Option<Scalar>,
    /// How long the server may take.
    pub max_latency: Option<Duration>,
}

/// A text, a number or a truth value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar(pub serde_json::Value);

/// Values by the binding that they stand for. Prints without the values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(pub BTreeMap<String, Scalar>);

impl QueryCheck {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Option<Self> {
        let app = section.required("app", "write the application's name", |_: &String| Ok(()));
        let page = section.optional("page");
        let query = section.required("query", "write the query's name", |_: &String| Ok(()));
        let params = section.get("params", Params::default());
        let min_rows = section.optional("min_rows");
        let max_rows = section.optional_checked("max_rows", |max: &u64| match min_rows {
            Some(min) if *max < min => Err(format!("must not be less than `min_rows`, which is `{min}`")),
            _ => Ok(()),
        });
        let json_pointer = section.optional_checked("json_pointer", |pointer: &String| {
            if pointer.starts_with('/') {
                Ok(())
            } else {
                Err("must start with `/`, such as `\"/0/status\"` for `status` of the first row".into())
            }
        });
        let equals = section.optional("equals");
        if equals.is_some() && !section.is_given("json_pointer") {
            section.missing("json_pointer", "`equals` says what must be there");
        }
        let max_latency =
            section.optional_checked(
                "max_latency",
                |max: &Duration| if max.is_zero() { Err("must not be 0".into()) } else { Ok(()) },
            );
        Some(Self { app: app?, page, query: query?, params, min_rows, max_rows, json_pointer, equals, max_latency })
    }
}

impl Value for u64 {
    const WHAT: &'static str = "a whole number";
    const HOW: &'static str = "write it in digits, without quotes";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let DeValue::Integer(number) = value else { return Err(wrong_type::<Self>(value)) };
        whole(number).ok_or_else(|| "must be a whole number that is not negative".into())
    }
    fn from_text(text: &str) -> Result<Self, String> {
        as_in_file(text)
    }
    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for Scalar {
    const WHAT: &'static str = "a text, a number or `true` or `false`";
    const HOW: &'static str = "write such a value; a text in quotes";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        use serde_json::{Number, Value as Json};
        let read = match value {
            DeValue::String(text) => Some(Json::from(text.as_ref())),
            DeValue::Boolean(truth) => Some(Json::from(*truth)),
            DeValue::Integer(number) => whole::<i64>(number).map(Json::from),
            DeValue::Float(number) => number.as_str().parse().ok().and_then(Number::from_f64).map(Json::from),
            _ => return Err(wrong_type::<Self>(value)),
        };
        read.map(Self).ok_or_else(|| "must be a number that fits into 64 bits".into())
    }
    fn from_text(text: &str) -> Result<Self, String> {
        as_in_file(text)
    }
    fn to_toml(&self) -> String {
        match &self.0 {
            serde_json::Value::String(text) => quoted(text),
            other => other.to_string(),
        }
    }
}

impl Value for Params {
    const WHAT: &'static str = "a table of values";
    const HOW: &'static str = "write such as `{ \"Input1.text\" = \"5\" }`";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let DeValue::Table(table) = value else { return Err(wrong_type::<Self>(value)) };
        let one = |(binding, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| -> Result<_, String> {
            let binding: &std::borrow::Cow<'_, str> = binding.get_ref();
            let value = Scalar::from_toml(value.get_ref()).map_err(|text| format!("`{binding}`: {text}"))?;
            Ok((binding.clone().into_owned(), value))
        };
        table.iter().map(one).collect::<Result<_, _>>().map(Self)
    }
    /// Without the values: they may be anybody's data.
    fn to_toml(&self) -> String {
        let pairs: Vec<String> = self.0.keys().map(|binding| format!("{} = …", quoted(binding))).collect();
        if pairs.is_empty() { "{}".into() } else { format!("{{ {} }}", pairs.join(", ")) }
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
