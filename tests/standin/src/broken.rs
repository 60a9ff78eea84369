//! The ways in which an image can be broken on purpose. A new way is a new variant here, and nothing else to register.

use std::fmt;
use std::str::FromStr;

/// One way of being broken. Baked into an image with `--broken`, or given to a container in `STANDIN_BROKEN`.
#[derive(Clone, Debug, PartialEq)]
pub enum Broken {
    /// `app:<name>`: the deployed page of that application cannot be read, under an outer 200.
    App(String),
    /// `lose-app:<name>`: a migration drops that application.
    LoseApp(String),
    /// `never-ready`: the backend runs, and its migration never ends.
    NeverReady,
    /// `exit`: the entry point exits 1.
    Exit,
    /// `backend-fatal`: the backend dies at each start, until supervisord gives up.
    BackendFatal,
    /// `health-flap`: healthy for a moment, then the backend exits; again and again.
    HealthFlap,
    /// `login`: every login is refused.
    Login,
    /// `slow-start:SECS`: the entry point takes that much longer, in real seconds.
    SlowStart(f64),
    /// `slow-stop:SECS`: process 1 waits that long before it stops the programs, in real seconds.
    SlowStop(f64),
    /// `slow-mongod`: mongod needs longer than supervisord gives it, so it is killed and its data is unclean.
    SlowMongod,
}

impl FromStr for Broken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, argument) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        let name = || argument.filter(|name| !name.is_empty()).map(str::to_owned).ok_or(format!("{kind} needs a name"));
        let seconds = || {
            let parsed = argument.and_then(|text| text.parse::<f64>().ok()).filter(|s| (0.0..1e6).contains(s));
            parsed.ok_or(format!("{kind} needs a number of seconds"))
        };
        match kind {
            "app" => Ok(Self::App(name()?)),
            "lose-app" => Ok(Self::LoseApp(name()?)),
            "never-ready" => Ok(Self::NeverReady),
            "exit" => Ok(Self::Exit),
            "backend-fatal" => Ok(Self::BackendFatal),
            "health-flap" => Ok(Self::HealthFlap),
            "login" => Ok(Self::Login),
            "slow-start" => Ok(Self::SlowStart(seconds()?)),
            "slow-stop" => Ok(Self::SlowStop(seconds()?)),
            "slow-mongod" => Ok(Self::SlowMongod),
            _ => Err(format!("`{text}` is no way to be broken")),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(name) => write!(f, "app:{name}"),
            Self::LoseApp(name) => write!(f, "lose-app:{name}"),
            Self::NeverReady => f.write_str("never-ready"),
            Self::Exit => f.write_str("exit"),
            Self::BackendFatal => f.write_str("backend-fatal"),
            Self::HealthFlap => f.write_str("health-flap"),
            Self::Login => f.write_str("login"),
            Self::SlowStart(seconds) => write!(f, "slow-start:{seconds}"),
            Self::SlowStop(seconds) => write!(f, "slow-stop:{seconds}"),
            Self::SlowMongod => f.write_str("slow-mongod"),
        }
    }
}

/// Reads `STANDIN_BROKEN`: a comma-separated list that adds to `baked`. The word `none` forgets what came before it.
pub fn with_environment(baked: &[Broken], given: &str) -> Result<Vec<Broken>, String> {
    let mut ways = baked.to_vec();
    for word in given.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if word == "none" { ways.clear() } else { ways.push(word.parse()?) }
    }
    Ok(ways)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_survives_being_written_and_read() {
        let all = [
            "app:Support Desk",
            "lose-app:Orders",
            "never-ready",
            "exit",
            "backend-fatal",
            "health-flap",
            "login",
            "slow-start:2.5",
            "slow-stop:30",
            "slow-mongod",
        ];
        for text in all {
            assert_eq!(text.parse::<Broken>().unwrap().to_string(), text);
        }
        for text in ["app", "app:", "slow-stop:soon", "slow-start:-1", "sleepy"] {
            assert!(text.parse::<Broken>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_environment_adds_and_can_clear() {
        let baked = [Broken::Login];
        assert_eq!(with_environment(&baked, "exit").unwrap(), [Broken::Login, Broken::Exit]);
        assert_eq!(with_environment(&baked, "none,never-ready").unwrap(), [Broken::NeverReady]);
        assert!(with_environment(&baked, "nonsense").is_err());
    }
}
