//! The ways in which an image can be broken on purpose. A new way is a new variant here, and nothing else to register.

use std::fmt;
use std::str::FromStr;

/// One way of being broken. Baked into an image with `--broken`, or given to a container in `STANDIN_BROKEN`.
///
/// A name of something inside an application may be `NAME`, which means every one of that name, or `APP/NAME`.
#[derive(Clone, Debug, PartialEq)]
pub enum Broken {
    /// `app:<name>`: the deployed page of that application cannot be read, under an outer 200.
    App(String),
    /// `edit:<name>`: the same in the editor; the deployed page is well.
    Edit(String),
    /// `lose-…:<name>`, `empty-page:<name>`: the first start of a version spoils the data.
    Spoil(Spoil, String),
    /// `query:<name>`: runs to `isExecutionSuccess: false`, under an outer 200.
    Query(String),
    /// `slow-query:<name>:SECS`: takes that long, in real seconds, and fails where its own limit is shorter.
    SlowQuery(String, f64),
    /// `datasource:<name>`: its credentials cannot be decrypted; its test and its queries fail.
    Datasource(String),
    /// `blank-page`: the API is well, and the browser shows nothing.
    BlankPage,
    /// `console-error`: the API is well, and the page throws in the browser.
    ConsoleError,
    /// `missing-asset`: the API is well, and a script of the page is not there.
    MissingAsset,
    /// `migration-log:<word>`: the log tells of a change unit that was `ABORTED`, and the API answers all the same.
    MigrationLog(String),
    /// `restart-loop:<program>`: that program exits a moment after it is RUNNING, again and again.
    RestartLoop(String),
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
    /// `dump-cut`: a backup holds only the beginning of its dump, and succeeds.
    DumpCut,
    /// `backup-fails`: taking a backup fails after the dump.
    BackupFails,
    /// `backup-lies`: a backup says that it is done, and nothing was made.
    BackupLies,
    /// `backup-full`: there is too little room for a backup.
    BackupFull,
    /// `slow-backup:SECS`: a backup takes that much longer before its archive is whole, in real seconds.
    SlowBackup(f64),
    /// `restore-fails`: loading a backup's dump fails half way.
    RestoreFails,
    /// `restore-lies`: a restore does nothing and exits 0.
    RestoreLies,
    /// `git-slow:VERB:SECS`: that Git operation takes so much longer, in real seconds; it goes on without its client.
    GitSlow(String, f64),
    /// `git-fails:VERB:CODE`: that Git operation is refused with that code; with `:once`, the first time.
    GitFails(String, String, bool),
    /// `git-lock`: the first Git operation of each application does not give its lock back.
    GitLock,
    /// `git-no-followup-push`: the commit that follows a pull stays here.
    GitNoFollowupPush,
    /// `git-private-limit:N`: every repository is private, and only so many may be connected.
    GitPrivateLimit(usize),
    /// `noisy-…`: nothing is broken, and not everything is as before. No check may fail for it.
    Noisy(Noisy),
}

/// How the first start of a version spoils the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// The application is gone.
    LoseApp,
    /// The page is gone.
    LosePage,
    /// The query is gone.
    LoseQuery,
    /// The JS object is gone.
    LoseJs,
    /// The data source is gone.
    LoseDatasource,
    /// The account is gone.
    LoseUser,
    /// The plugin (by its package name or shown name) is gone.
    LosePlugin,
    /// The page has no widget any more, as deployed.
    EmptyPage,
}

/// How a healthy instance may differ from one look to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noisy {
    /// Each answer takes longer.
    Slow,
    /// The first start of a version adds an application, pages, queries and a plugin; answers have unknown fields.
    Extra,
    /// Every list comes in another order at each call.
    Order,
    /// The first start of a version adds a plugin.
    Plugin,
}

/// The kinds that are a word and a name.
const SPOILS: [(&str, Spoil); 8] = [
    ("lose-app", Spoil::LoseApp),
    ("lose-page", Spoil::LosePage),
    ("lose-query", Spoil::LoseQuery),
    ("lose-js", Spoil::LoseJs),
    ("lose-datasource", Spoil::LoseDatasource),
    ("lose-user", Spoil::LoseUser),
    ("lose-plugin", Spoil::LosePlugin),
    ("empty-page", Spoil::EmptyPage),
];

/// The kinds that are one word.
const WORDS: [(&str, Broken); 21] = [
    ("blank-page", Broken::BlankPage),
    ("console-error", Broken::ConsoleError),
    ("missing-asset", Broken::MissingAsset),
    ("never-ready", Broken::NeverReady),
    ("exit", Broken::Exit),
    ("backend-fatal", Broken::BackendFatal),
    ("health-flap", Broken::HealthFlap),
    ("login", Broken::Login),
    ("slow-mongod", Broken::SlowMongod),
    ("dump-cut", Broken::DumpCut),
    ("backup-fails", Broken::BackupFails),
    ("backup-lies", Broken::BackupLies),
    ("backup-full", Broken::BackupFull),
    ("restore-fails", Broken::RestoreFails),
    ("restore-lies", Broken::RestoreLies),
    ("git-lock", Broken::GitLock),
    ("git-no-followup-push", Broken::GitNoFollowupPush),
    ("noisy-slow", Broken::Noisy(Noisy::Slow)),
    ("noisy-extra", Broken::Noisy(Noisy::Extra)),
    ("noisy-order", Broken::Noisy(Noisy::Order)),
    ("noisy-plugin", Broken::Noisy(Noisy::Plugin)),
];

/// The Git operations that can be slow or fail.
pub const GIT_VERBS: [&str; 15] = [
    "auto-commit",
    "checkout",
    "commit",
    "connect",
    "create",
    "delete",
    "discard",
    "disconnect",
    "fetch",
    "import",
    "merge",
    "merge-status",
    "pull",
    "push",
    "status",
];

/// The codes of Git's errors, with their HTTP status.
pub const GIT_CODES: [(&str, u16); 17] = [
    ("AE-GIT-4031", 400),
    ("AE-GIT-4032", 400),
    ("AE-GIT-4033", 400),
    ("AE-GIT-4036", 406),
    ("AE-GIT-4037", 406),
    ("AE-GIT-4040", 400),
    ("AE-GIT-4043", 402),
    ("AE-GIT-4044", 400),
    ("AE-GIT-4046", 400),
    ("AE-GIT-4047", 400),
    ("AE-GIT-4048", 400),
    ("AE-GIT-4050", 400),
    ("AE-GIT-4051", 404),
    ("AE-GIT-5013", 503),
    ("AE-GIT-5014", 504),
    ("AE-GIT-5016", 400),
    ("AE-GIT-5020", 500),
];

fn git_code(code: &str) -> Result<String, String> {
    let known = GIT_CODES.iter().any(|(each, _)| *each == code);
    if known { Ok(code.to_owned()) } else { Err(format!("`{code}` is no code such as AE-GIT-4044")) }
}

fn git_verb(verb: &str) -> Result<String, String> {
    let known = GIT_VERBS.contains(&verb);
    if known { Ok(verb.to_owned()) } else { Err(format!("`{verb}` is none of {}", GIT_VERBS.join(", "))) }
}

impl FromStr for Broken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, way)) = WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(way.clone());
        }
        let (kind, argument) = text.split_once(':').unwrap_or((text, ""));
        let name = || if argument.is_empty() { Err(format!("{kind} needs a name")) } else { Ok(argument.to_owned()) };
        let seconds = |text: &str| {
            let parsed = text.parse::<f64>().ok().filter(|secs| (0.0..1e6).contains(secs));
            parsed.ok_or(format!("{kind} needs a number of seconds"))
        };
        if let Some((_, spoil)) = SPOILS.iter().find(|(word, _)| *word == kind) {
            return Ok(Self::Spoil(*spoil, name()?));
        }
        match kind {
            "app" => Ok(Self::App(name()?)),
            "edit" => Ok(Self::Edit(name()?)),
            "query" => Ok(Self::Query(name()?)),
            "datasource" => Ok(Self::Datasource(name()?)),
            "migration-log" => Ok(Self::MigrationLog(name()?)),
            "restart-loop" => Ok(Self::RestartLoop(name()?)),
            "slow-start" => Ok(Self::SlowStart(seconds(argument)?)),
            "slow-stop" => Ok(Self::SlowStop(seconds(argument)?)),
            "slow-backup" => Ok(Self::SlowBackup(seconds(argument)?)),
            "slow-query" => {
                let (name, secs) = argument.rsplit_once(':').ok_or("slow-query needs a name and seconds")?;
                Ok(Self::SlowQuery(name.to_owned(), seconds(secs)?))
            }
            "git-slow" => {
                let (verb, secs) = argument.split_once(':').ok_or("git-slow needs a verb and seconds")?;
                Ok(Self::GitSlow(git_verb(verb)?, seconds(secs)?))
            }
            "git-fails" => {
                let (verb, code) = argument.split_once(':').ok_or("git-fails needs a verb and a code")?;
                let once = code.strip_suffix(":once");
                Ok(Self::GitFails(git_verb(verb)?, git_code(once.unwrap_or(code))?, once.is_some()))
            }
            "git-private-limit" => {
                Ok(Self::GitPrivateLimit(argument.parse().map_err(|_| "git-private-limit needs a number")?))
            }
            _ => Err(format!("`{text}` is no way to be broken")),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((word, _)) = WORDS.iter().find(|(_, way)| way == self) {
            return f.write_str(word);
        }
        match self {
            Self::App(name) => write!(f, "app:{name}"),
            Self::Edit(name) => write!(f, "edit:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::SlowQuery(name, seconds) => write!(f, "slow-query:{name}:{seconds}"),
            Self::Datasource(name) => write!(f, "datasource:{name}"),
            Self::MigrationLog(word) => write!(f, "migration-log:{word}"),
            Self::RestartLoop(program) => write!(f, "restart-loop:{program}"),
            Self::SlowStart(seconds) => write!(f, "slow-start:{seconds}"),
            Self::SlowStop(seconds) => write!(f, "slow-stop:{seconds}"),
            Self::SlowBackup(seconds) => write!(f, "slow-backup:{seconds}"),
            Self::Spoil(spoil, name) => {
                let word = SPOILS.iter().find(|(_, each)| each == spoil).map_or("lose-app", |(word, _)| *word);
                write!(f, "{word}:{name}")
            }
            Self::GitSlow(verb, seconds) => write!(f, "git-slow:{verb}:{seconds}"),
            Self::GitFails(verb, code, once) => {
                write!(f, "git-fails:{verb}:{code}{}", if *once { ":once" } else { "" })
            }
            Self::GitPrivateLimit(limit) => write!(f, "git-private-limit:{limit}"),
            // All the others are among the words.
            _ => Ok(()),
        }
    }
}

/// Does `given` (`NAME` or `APP/NAME`) mean the thing of that name in that application?
pub fn means(given: &str, application: &str, name: &str) -> bool {
    given == name || given.strip_prefix(application).and_then(|rest| rest.strip_prefix('/')) == Some(name)
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
        let named =
            ["app:Support Desk", "edit:Orders", "query:getHome", "datasource:Orders DB", "migration-log:ABORTED"];
        let timed = [
            "git-slow:pull:2.5",
            "git-fails:push:AE-GIT-4048",
            "git-fails:pull:AE-GIT-5020:once",
            "git-private-limit:3",
            "slow-start:2.5",
            "slow-stop:30",
            "slow-backup:1.5",
            "slow-query:Orders/getHome:3",
            "restart-loop:rts",
        ];
        let mut all: Vec<String> = named.iter().chain(&timed).map(ToString::to_string).collect();
        all.extend(WORDS.iter().map(|(word, _)| word.to_string()));
        all.extend(SPOILS.iter().map(|(word, _)| format!("{word}:Home")));
        for text in all {
            assert_eq!(text.parse::<Broken>().unwrap().to_string(), text);
        }
        for text in [
            "app",
            "app:",
            "slow-stop:soon",
            "slow-start:-1",
            "slow-query:x",
            "lose-page",
            "sleepy",
            "git-slow:dance:1",
            "git-fails:pull",
            "git-fails:pull:AE-X",
        ] {
            assert!(text.parse::<Broken>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_may_say_its_application() {
        assert!(means("Home", "Orders", "Home") && means("Orders/Home", "Orders", "Home"));
        assert!(!means("Returns/Home", "Orders", "Home") && !means("Orders/Home", "Orders", "Details"));
    }

    #[test]
    fn the_environment_adds_and_can_clear() {
        let baked = [Broken::Login];
        assert_eq!(with_environment(&baked, "exit").unwrap(), [Broken::Login, Broken::Exit]);
        assert_eq!(with_environment(&baked, "none,never-ready").unwrap(), [Broken::NeverReady]);
        assert!(with_environment(&baked, "nonsense").is_err());
    }
}
