//! A small reader of `--name value` options, shared by the one-shot commands.

use crate::failure::{Failure, Result};
use std::str::FromStr;

/// The options of one call, taken out one by one; [`Options::finish`] refuses what is left.
#[derive(Debug)]
pub struct Options {
    pairs: Vec<(String, String)>,
}

impl Options {
    /// Splits `--name value` and `--name=value`.
    pub fn read(words: &[String]) -> Result<Self> {
        let mut pairs = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(option) = word.strip_prefix("--") else {
                return Err(Failure::new(format!("`{word}` is not expected here")));
            };
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option, words.next().map(String::as_str)),
            };
            let value = value.ok_or_else(|| Failure::new(format!("--{name} needs a value")))?;
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { pairs })
    }

    /// Was the option given?
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(given, _)| given == name)
    }

    /// Every value of an option that may be repeated.
    pub fn all<T: FromStr<Err: ToString>>(&mut self, name: &str) -> Result<Vec<T>> {
        let (taken, left): (Vec<_>, Vec<_>) = self.pairs.drain(..).partition(|(given, _)| given == name);
        self.pairs = left;
        let parse = |(_, text): (String, String)| {
            text.parse().map_err(|error: T::Err| Failure::new(format!("--{name} {text}: {}", error.to_string())))
        };
        taken.into_iter().map(parse).collect()
    }

    /// The last value of an option, if it was given.
    pub fn one<T: FromStr<Err: ToString>>(&mut self, name: &str) -> Result<Option<T>> {
        Ok(self.all(name)?.pop())
    }

    /// An option nobody asked for is a mistake of the caller.
    pub fn finish(self) -> Result<()> {
        match self.pairs.first() {
            Some((name, _)) => Err(Failure::new(format!("unknown option --{name}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_and_leftovers_refused() {
        let words: Vec<String> = ["--apps", "3", "--broken=exit", "--broken", "login"].map(String::from).to_vec();
        let mut options = Options::read(&words).unwrap();
        assert_eq!(options.one::<u32>("apps").unwrap(), Some(3));
        assert_eq!(options.all::<String>("broken").unwrap(), ["exit", "login"]);
        assert!(options.finish().is_ok());
        assert!(Options::read(&words).unwrap().finish().is_err());
        assert!(Options::read(&["apps".into()]).is_err());
    }
}
