//! What the contract leaves open (its section H), as far as it can be seen from outside: each point with both
//! possibilities, so that a client can be tried against either.

use std::str::FromStr;

/// The open points, as a container has them. `STANDIN_OPEN=basic-auth:on,mongock-lock:300` changes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Open {
    /// `basic-auth:on|off`: REST takes HTTP Basic in place of a session.
    pub basic_auth: bool,
    /// `mongock-lock:SECS`: how long a lock that a killed backend left behind keeps the next one waiting, at scale 1.
    pub mongock_lock_secs: f64,
    /// `ee-programs:on|off`: the enterprise edition's programs run, too.
    pub ee_programs: bool,
    /// `test-limit:shared|own`: failing queries count for the limit of data source tests, or do not.
    pub shared_test_limit: bool,
    /// `git-followup:changed|always`: the commit that follows a pull is made where the import changed a file, or always.
    pub empty_followup: bool,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            basic_auth: false,
            mongock_lock_secs: 60.0,
            ee_programs: false,
            shared_test_limit: true,
            empty_followup: false,
        }
    }
}

impl FromStr for Open {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut open = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let wrong = || format!("`{word}` is no open point with one of its possibilities");
            match word.split_once(':').ok_or_else(wrong)? {
                ("basic-auth", choice) => open.basic_auth = one_of(choice, "on", "off").ok_or_else(wrong)?,
                ("ee-programs", choice) => open.ee_programs = one_of(choice, "on", "off").ok_or_else(wrong)?,
                ("test-limit", choice) => open.shared_test_limit = one_of(choice, "shared", "own").ok_or_else(wrong)?,
                ("git-followup", choice) => {
                    open.empty_followup = one_of(choice, "always", "changed").ok_or_else(wrong)?;
                }
                ("mongock-lock", secs) => {
                    let parsed = secs.parse().ok().filter(|secs: &f64| (0.0..1e6).contains(secs));
                    open.mongock_lock_secs = parsed.ok_or_else(wrong)?;
                }
                _ => return Err(wrong()),
            }
        }
        Ok(open)
    }
}

fn one_of(choice: &str, yes: &str, no: &str) -> Option<bool> {
    if choice == yes { Some(true) } else { (choice == no).then_some(false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_has_both_possibilities_and_nothing_else() {
        assert_eq!("".parse::<Open>().unwrap(), Open::default());
        let open: Open =
            "basic-auth:on,ee-programs:on,git-followup:always,mongock-lock:300,test-limit:own".parse().unwrap();
        assert!(open.empty_followup && open.basic_auth && open.ee_programs && !open.shared_test_limit);
        assert_eq!(open.mongock_lock_secs, 300.0);
        assert_eq!("basic-auth:off".parse::<Open>().unwrap(), Open::default());
        for wrong in ["basic-auth", "basic-auth:maybe", "mongock-lock:soon", "colour:red"] {
            assert!(wrong.parse::<Open>().is_err(), "{wrong}");
        }
    }
}
