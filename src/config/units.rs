//! Sizes and durations with their unit, so that nobody counts zeros.

use std::fmt;
use std::time::Duration;

/// A number of bytes, written as `"16 MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Binary units by their number of bytes, the greatest first.
const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Units by their number of milliseconds, the greatest first.
const DURATIONS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl ByteSize {
    /// Reads a whole number and one of B, KiB, MiB, GiB and TiB, with or without spaces between them.
    pub fn parse(text: &str) -> Option<Self> {
        number_and_unit(text, &SIZES).map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, bytes) = greatest(self.0, &SIZES);
        write!(f, "{} {unit}", self.0 / bytes)
    }
}

/// Reads a whole number and one of ms, s, m, h and d, with or without spaces between them.
pub fn parse_duration(text: &str) -> Option<Duration> {
    number_and_unit(text, &DURATIONS).map(Duration::from_millis)
}

/// As [`parse_duration`] reads it, in the greatest unit that holds it exactly. What is below a millisecond is left out.
pub fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, size) = greatest(millis, &DURATIONS);
    format!("{}{unit}", millis / size)
}

fn number_and_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, size) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*size)
}

fn greatest<'u>(number: u64, units: &[(&'u str, u64)]) -> (&'u str, u64) {
    // Zero takes the unit that a person would: seconds, bytes.
    let fits = |size: u64| if number == 0 { size == 1_000 || size == 1 } else { number.is_multiple_of(size) };
    units.iter().copied().find(|(_, size)| fits(*size)).unwrap_or(("", 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_is_a_number_with_a_binary_unit() {
        for (text, bytes) in [("16 MiB", 16 << 20), ("5GiB", 5 << 30), ("0 B", 0), ("1 TiB", 1 << 40)] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
        }
        for text in ["", "16", "16 MB", "1.5 GiB", "-1 B", "MiB", "16 MiB x", "99999999999 TiB", "１ B"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_is_a_number_with_a_unit() {
        for (text, millis) in [("90s", 90_000), ("2 h", 7_200_000), ("250ms", 250), ("7d", 604_800_000), ("0s", 0)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "90", "2x", "1h30m", "-1s", "1.5h", "s", "99999999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number: u64) {
            prop_assert_eq!(ByteSize::parse(&ByteSize(number).to_string()), Some(ByteSize(number)));
            let duration = Duration::from_millis(number);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
    }
}
