//! How fast the stand-in lives: every delay of the contract times one factor.

use std::str::FromStr;
use std::time::Duration;

/// The time scale. 1 is the pace of the real container, 0.05 that of the tests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace(f64);

impl Pace {
    /// The pace of the real container.
    pub const REAL: Self = Self(1.0);

    /// The duration that `seconds` of the contract take here.
    pub fn secs(self, seconds: f64) -> Duration {
        Duration::try_from_secs_f64(seconds * self.0).unwrap_or_default()
    }

    /// The bare factor.
    pub fn factor(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Pace {
    type Error = String;

    fn try_from(factor: f64) -> Result<Self, String> {
        let sound = factor.is_finite() && (0.0..=100.0).contains(&factor);
        if sound { Ok(Self(factor)) } else { Err(format!("a time scale lies between 0 and 100, not at {factor}")) }
    }
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let factor: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
        factor.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shortens_every_delay() {
        let pace: Pace = "0.05".parse().unwrap();
        assert_eq!(pace.secs(20.0), Duration::from_secs(1));
        assert!("-1".parse::<Pace>().is_err());
        assert!("soon".parse::<Pace>().is_err());
    }
}
