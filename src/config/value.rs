//! The kinds of value that a key can have: how each is read, and how it is written back.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::units::{ByteSize, format_duration, parse_duration};
use crate::model::ids::{InstanceName, PartName};

/// A kind of value. The errors of its functions are what follows the key in a problem's text.
pub(super) trait Value: Sized {
    /// What it is, such as `a duration`.
    const WHAT: &'static str;
    /// What to write, such as ``write `true` or `false` ``.
    const HOW: &'static str;

    /// From the file.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String>;

    /// From a variable. A kind that is no string in TOML is written there as in the file.
    fn from_text(text: &str) -> Result<Self, String> {
        Self::from_toml(&DeValue::String(text.into()))
    }

    /// As the file would say it.
    fn to_toml(&self) -> String;
}

/// `"2x" is not a duration; write …`
pub(super) fn wrong_text<T: Value>(text: &str) -> String {
    format!("`{text:?}` is not {}; {}", T::WHAT, T::HOW)
}

/// `a whole number is not a duration; write …`. Does not show the value: it may stand there by mistake.
pub(super) fn wrong_type<T: Value>(value: &DeValue<'_>) -> String {
    format!("{} is not {}; {}", kind(value), T::WHAT, T::HOW)
}

/// What a person calls a value of that type.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A text in TOML's quotes.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A kind that is written as a string and read by a function.
macro_rules! from_string {
    ($type:ty, $what:expr, $how:expr, $read:expr, $write:expr) => {
        impl $crate::config::value::Value for $type {
            const WHAT: &'static str = $what;
            const HOW: &'static str = $how;
            fn from_toml(value: &::toml::de::DeValue<'_>) -> Result<Self, String> {
                let ::toml::de::DeValue::String(text) = value else {
                    return Err($crate::config::value::wrong_type::<Self>(value));
                };
                let read: fn(&str) -> Result<Self, String> = $read;
                read(text)
            }
            fn to_toml(&self) -> String {
                let write: fn(&Self) -> String = $write;
                $crate::config::value::quoted(&write(self))
            }
        }
    };
}
pub(super) use from_string;

/// A kind of which the texts are listed, each with its meaning.
macro_rules! one_of {
    ($type:ty, $what:expr, $how:expr, $($text:literal => $value:expr),+) => {
        $crate::config::value::from_string!(
            $type, $what, $how,
            |text| match text {
                $($text => Ok($value),)+
                other => Err($crate::config::value::wrong_text::<$type>(other)),
            },
            |value| { $(if *value == $value { return $text.to_owned(); })+ String::new() }
        );
    };
}
pub(super) use one_of;

from_string!(
    Duration,
    "a duration",
    "write a number and ms, s, m, h or d, such as `\"90s\"`",
    |text| parse_duration(text).ok_or_else(|| wrong_text::<Duration>(text)),
    |value| format_duration(*value)
);

from_string!(
    ByteSize,
    "a size",
    "write a number and B, KiB, MiB, GiB or TiB, such as `\"16 MiB\"`",
    |text| ByteSize::parse(text).ok_or_else(|| wrong_text::<ByteSize>(text)),
    ByteSize::to_string
);

from_string!(
    String,
    "a text",
    "write it in quotes",
    |text| if text.trim().is_empty() { Err("must not be empty".into()) } else { Ok(text.to_owned()) },
    |value| value.clone()
);

from_string!(
    PathBuf,
    "a path",
    "write it in quotes",
    |text| if text.trim().is_empty() { Err("must not be empty".into()) } else { Ok(text.into()) },
    |value| value.display().to_string()
);

from_string!(
    InstanceName,
    "an instance name",
    "write lower-case letters, digits and `-`, at most 32, in quotes",
    |text| InstanceName::new(text).map_err(|_| wrong_text::<InstanceName>(text)),
    InstanceName::to_string
);

from_string!(
    PartName,
    "a part name",
    "write lower-case letters, digits and `-`, at most 32, in quotes",
    |text| PartName::new(text).map_err(|_| wrong_text::<PartName>(text)),
    PartName::to_string
);

impl Value for bool {
    const WHAT: &'static str = "`true` or `false`";
    const HOW: &'static str = "write one of them, without quotes";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        if let DeValue::Boolean(value) = value { Ok(*value) } else { Err(wrong_type::<Self>(value)) }
    }
    fn from_text(text: &str) -> Result<Self, String> {
        as_in_file(text)
    }
    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for u16 {
    const WHAT: &'static str = "a whole number";
    const HOW: &'static str = "write it in digits, without quotes";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let DeValue::Integer(number) = value else { return Err(wrong_type::<Self>(value)) };
        whole(number).ok_or_else(|| format!("must be from `0` to `{}`", Self::MAX))
    }
    fn from_text(text: &str) -> Result<Self, String> {
        as_in_file(text)
    }
    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl<T: Value> Value for Vec<T> {
    const WHAT: &'static str = "a list";
    const HOW: &'static str = "write `[` and `]` around it";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let DeValue::Array(items) = value else { return Err(wrong_type::<Self>(value)) };
        let item = |(index, item): (usize, &toml::Spanned<DeValue<'_>>)| {
            T::from_toml(item.get_ref()).map_err(|text| format!("item {}: {text}", index + 1))
        };
        items.iter().enumerate().map(item).collect()
    }
    fn from_text(text: &str) -> Result<Self, String> {
        as_in_file(text)
    }
    fn to_toml(&self) -> String {
        format!("[{}]", self.iter().map(T::to_toml).collect::<Vec<_>>().join(", "))
    }
}

/// A whole number, if it fits.
pub(super) fn whole<T: TryFrom<i128>>(number: &DeInteger<'_>) -> Option<T> {
    T::try_from(i128::from_str_radix(number.as_str(), number.radix()).ok()?).ok()
}

/// A kind that is no string in TOML, from a variable.
pub(super) fn as_in_file<T: Value>(text: &str) -> Result<T, String> {
    match DeValue::parse(text) {
        Ok(value) => T::from_toml(value.get_ref()),
        Err(_) => Err(format!("this is not {}; {}", T::WHAT, T::HOW)),
    }
}
