//! Exit codes and hints, looked up at the top from the types in the error's chain, so that no layer below has to
//! know what the commands are called.

mod git;

use std::error::Error;
use std::io::ErrorKind;

use super::find::NoSnapshot;
use super::report::NothingCompared;
use super::{NoConsent, Usage};
use crate::app::AppError;
use crate::config::ConfigError;
use crate::engine::EngineError;
use crate::instance::{InstanceError, NoWay};
use crate::model::ids::SnapshotId;
use crate::ops::UnknownInstance;
use crate::ops::approve::ApproveError;
use crate::ops::lock::LockError;
use crate::ops::restore::RestoreError;
use crate::ops::run::{RunError, RunReport};
use crate::ops::state::StateError;
use crate::ops::steps::{ChecksFailed, GateShut, HalfFilled, ImageGone, NotFit, OtherLayout, PorterFailed, WrongKeys};
use crate::ops::undo::UndoError;
use crate::ops::upgrade::UpgradeError;
use crate::repository::RepositoryError;
use crate::smoke::browser::BrowserError;
use crate::store::StoreError;
use crate::workflow::{JournalError, Outcome};

/// Done.
pub const DONE: u8 = 0;
/// Failed; nothing was changed, or what was changed is undone.
pub const FAILED: u8 = 1;
/// Usage or configuration.
pub const USAGE: u8 = 2;
/// Done in part.
pub const PARTLY: u8 = 3;
/// Waiting at a gate.
pub const WAITING: u8 = 4;
/// Failed and rolled back.
pub const ROLLED_BACK: u8 = 5;
/// Stuck, needs a person.
pub const STUCK: u8 = 6;
/// Docker or store not reachable.
pub const UNREACHABLE: u8 = 7;
/// Locked by another run.
pub const LOCKED: u8 = 8;
/// Checks failed or gate refused.
pub const REFUSED: u8 = 9;
/// No repository there.
pub const NO_REPOSITORY: u8 = 10;
/// No such snapshot.
pub const NO_SNAPSHOT: u8 = 12;
/// Gave way to a restore; try again later.
pub const AGAIN: u8 = 75;
/// Interrupted.
pub const INTERRUPTED: u8 = 130;

/// What `tidegate help exit-codes` prints.
pub const TABLE: &str = "\
Exit codes
    0  done
    1  failed
    2  usage or configuration
    3  done in part
    4  waiting at a gate
    5  failed and rolled back
    6  stuck, needs a person
    7  Docker or store not reachable
    8  locked by another run
    9  checks failed or gate refused
   10  no repository there
   11  wrong key
   12  no such snapshot
   75  try again later
  130  interrupted
";

/// The code of a command that failed.
pub fn code(error: &(dyn Error + 'static)) -> u8 {
    causes(error).find_map(code_of).unwrap_or(FAILED)
}

fn code_of(cause: &(dyn Error + 'static)) -> Option<u8> {
    if let Some(code) = git::code_of(cause) {
        return Some(code);
    }
    if cause.is::<NothingCompared>()
        || cause.is::<ConfigError>()
        || cause.is::<Usage>()
        || cause.is::<UnknownInstance>()
        || cause.is::<NoConsent>()
    {
        return Some(USAGE);
    }
    if let Some(error) = cause.downcast_ref::<UpgradeError>() {
        return match error {
            UpgradeError::NoImage { .. }
            | UpgradeError::MovingTag { .. }
            | UpgradeError::ForceNeedsOne
            | UpgradeError::NoStage { .. } => Some(USAGE),
            _ => None,
        };
    }
    if matches!(cause.downcast_ref(), Some(RestoreError::NoChoice { .. })) {
        return Some(NO_SNAPSHOT);
    }
    if cause.is::<NoWay>() || cause.is::<ChecksFailed>() || cause.is::<GateShut>() {
        return Some(REFUSED);
    }
    if matches!(cause.downcast_ref(), Some(ApproveError::Changed { .. })) {
        return Some(REFUSED);
    }
    if matches!(cause.downcast_ref(), Some(RunError::WaitsForNobody { .. })) {
        return Some(USAGE);
    }
    if matches!(cause.downcast_ref(), Some(EngineError::Unreachable { .. } | EngineError::LostAnswer { .. }))
        || matches!(
            cause.downcast_ref(),
            Some(
                StoreError::Unreachable { .. }
                    | StoreError::Untrusted { .. }
                    | StoreError::WrongRegion { .. }
                    | StoreError::Denied { .. }
                    | StoreError::NoBucket { .. }
            )
        )
    {
        return Some(UNREACHABLE);
    }
    if matches!(cause.downcast_ref(), Some(LockError::Held { .. } | LockError::Busy { .. } | LockError::Asked { .. }))
        || matches!(cause.downcast_ref(), Some(RunError::OpenRun { .. } | RunError::Waits { .. }))
    {
        return Some(LOCKED);
    }
    if matches!(cause.downcast_ref(), Some(StateError::DaemonRuns { .. })) {
        return Some(LOCKED);
    }
    match cause.downcast_ref() {
        Some(RepositoryError::NotThere { .. }) => return Some(NO_REPOSITORY),
        Some(
            RepositoryError::NoSuchSnapshot { .. }
            | RepositoryError::AmbiguousSnapshot { .. }
            | RepositoryError::BrokenManifest { .. },
        ) => return Some(NO_SNAPSHOT),
        _ => {}
    }
    None
}

/// The code of a run that ended.
pub fn of_run(report: &RunReport, warned: bool) -> u8 {
    let failure = report.failure.as_ref().map(|(_, error)| code(&**error));
    match report.outcome {
        None => WAITING,
        Some(Outcome::Completed) if warned => PARTLY,
        Some(Outcome::Completed) => DONE,
        Some(Outcome::Stuck) => STUCK,
        Some(Outcome::RolledBack) if report.gave_way => AGAIN,
        Some(Outcome::RolledBack) if report.cancelled => INTERRUPTED,
        Some(Outcome::RolledBack) if report.touched && failure != Some(LOCKED) => ROLLED_BACK,
        Some(Outcome::RolledBack) => failure.unwrap_or(FAILED),
    }
}

/// What a person can do about it.
pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    causes(error).find_map(hint_of)
}

fn hint_of(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(hint) = git::hint_of(cause) {
        return Some(hint);
    }
    let some = |text: &str| Some(text.to_owned());
    if let Some(error) = cause.downcast_ref::<EngineError>() {
        return match error {
            EngineError::Unreachable { address, .. } if has_io(error, &[ErrorKind::PermissionDenied]) => Some(format!(
                "this user may not open `{address}`: use sudo, or add the user to the docker group (`sudo usermod -aG docker USER`, then log in anew); whoever may open it can do as root on this host"
            )),
            EngineError::Unreachable { address, .. } => {
                Some(format!("is the engine running, and may this user open `{address}`? try `docker version`"))
            }
            EngineError::NoPorter { .. } => {
                some("build it with `scripts/build-porter`, or set TIDEGATE_PORTER to its path; nothing was touched")
            }
            EngineError::NoSuchImage { reference, .. } => {
                Some(format!("is the version right? `docker pull {reference}` shows what the registry says"))
            }
            EngineError::DiskFull { .. } => some("make room on the Docker host, then run it again"),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<ConfigError>() {
        return match error {
            ConfigError::Read { .. } => some(
                "name the file with --config or TIDEGATE_CONFIG; `tidegate config template` prints one to start from",
            ),
            ConfigError::Invalid { .. } => {
                some("`tidegate config check` says when all of it is right; nothing was touched")
            }
        };
    }
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return match error {
            StoreError::Unreachable { .. } => some(
                "look at `store.url` and `store.endpoint`: does that server answer from this host, is that folder mounted?",
            ),
            StoreError::Untrusted { .. } => some(
                "if that server is the right one, name the certificate of its authority in `store.ca_file`; nothing was sent to it",
            ),
            StoreError::WrongRegion { region: Some(region), .. } => {
                Some(format!("the bucket says that it is in `{region}`: set `store.region`"))
            }
            StoreError::WrongRegion { region: None, .. } => {
                some("set `store.region` (or AWS_REGION) to the bucket's, and look at `store.endpoint`")
            }
            StoreError::Denied { .. } => some(
                "look at the store's keys (AWS_ACCESS_KEY_ID, or `store.access_key_id`) and what they may do: \
                 they must read, write, list and delete",
            ),
            StoreError::NoBucket { bucket, .. } => Some(format!("make the bucket `{bucket}`, or correct `store.url`")),
            StoreError::Full { .. } => some("make room in the store, then run it again"),
            StoreError::TooManyParts { .. } => some("raise `store.part_size`"),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<RepositoryError>() {
        return match error {
            RepositoryError::NotThere { .. } => {
                some("is `store.url` the right one? the first `tidegate snapshot` makes a repository there")
            }
            RepositoryError::NotWhole { .. } => {
                some("`tidegate snapshots` lists the others; keep what is there until somebody has looked at it")
            }
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<RunError>() {
        return match error {
            RunError::OpenRun { open, .. } => Some(format!("`tidegate resume {}` ends it", open.run)),
            RunError::Waits { run, .. } => Some(super::upgrade::answers(run)),
            RunError::WaitsForNobody { .. } => some("`tidegate status` shows the runs that wait; nothing was touched"),
            RunError::Overtaken { .. } => {
                some("nothing was touched; if the old state is wanted, `tidegate restore` puts it back")
            }
            RunError::CutOff { run, .. } if has_io(error, FULL) => {
                Some(format!("make room on the disk of `state_dir`, then `tidegate resume {run}` takes it up"))
            }
            RunError::CutOff { run, .. } => Some(format!("`tidegate resume {run}` takes it up")),
            RunError::OtherVersion { run, .. } => {
                Some(format!("run the tidegate that began it, or look at the journal of {run}"))
            }
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<ApproveError>() {
        return match error {
            ApproveError::Shut { run, .. } => {
                Some(format!("`tidegate reject {run} --reason WHY` ends it; then upgrade again; nothing was touched"))
            }
            ApproveError::Changed { run, .. } => Some(format!(
                "`tidegate resume {run}` looks again, and puts what it sees now before you; nothing was touched"
            )),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<NotFit>() {
        return match error {
            NotFit::Unhealthy { instance, .. } => Some(format!(
                "mend `{instance}` first, or put it back: `tidegate restore {instance}`; it was not touched"
            )),
            NotFit::NoRoom { .. } | NotFit::NoInodes { .. } => some("make room on that disk; nothing was touched"),
            NotFit::NoRoomInStore { .. } => some("make room in the store, then run it again; nothing was touched"),
            NotFit::NoContainer { instance, .. } => Some(format!(
                "is `instances.{instance}.container` right? `docker ps -a` lists the containers; a snapshot can be put back without one: `tidegate restore {instance}`"
            )),
            NotFit::NotRunning { instance } => Some(format!(
                "start it, or take a cold one: `tidegate snapshot {instance} --mode cold`; nothing was touched"
            )),
            NotFit::NoHotTool { instance } => {
                Some(format!("take a cold one: `tidegate snapshot {instance} --mode cold`; nothing was touched"))
            }
            NotFit::NoRoomForArchive { instance, .. } => Some(format!(
                "make room on that disk, or take a cold one, which needs none there: `tidegate snapshot {instance} --mode cold`; nothing was touched"
            )),
            NotFit::AutoRemove { .. } => some("start it without --rm"),
            NotFit::CannotCreate { source: EngineError::NoSuchNetwork { network, .. }, .. } => {
                Some(format!("make it first: `docker network create {network}`; nothing was touched"))
            }
            NotFit::CannotCreate { .. } => some("nothing was touched"),
            NotFit::Lossy { instance, fields, .. } => Some(format!(
                "if it can do without, add {} to `instances.{instance}.acknowledge_fields`; nothing was touched",
                fields.iter().map(|field| format!("{field:?}")).collect::<Vec<_>>().join(", ")
            )),
            NotFit::OtherWriter { instance, writer, .. } => Some(format!(
                "stop it first, or add \"{writer}\" to `instances.{instance}.acknowledge_writers` if it may write while `{instance}` rests"
            )),
        };
    }
    if let Some(error) = cause.downcast_ref::<InstanceError>() {
        return of_instance(error);
    }
    if cause.is::<ChecksFailed>() {
        return some("`tidegate report --html FILE` shows all that was seen, with pages and pictures");
    }
    if let Some(error) = cause.downcast_ref::<BrowserError>() {
        return error.remedy().map(str::to_owned);
    }
    if let Some(OtherLayout { instance, .. }) = cause.downcast_ref() {
        return Some(format!(
            "mount in `{instance}` what is mounted in the other, then run it again; nothing was touched"
        ));
    }
    if let Some(WrongKeys { .. }) = cause.downcast_ref() {
        return some(
            "its keys are APPSMITH_ENCRYPTION_PASSWORD and _SALT, in its container's environment or else in docker.env; --no-checks opens it all the same, with data sources that do not work",
        );
    }
    if let Some(NoSnapshot { near, .. }) = cause.downcast_ref() {
        return Some(if near.is_empty() {
            "there is none yet; take one with `tidegate snapshot --all`".into()
        } else {
            let near: Vec<&str> = near.iter().map(SnapshotId::as_str).collect();
            format!("the nearest are {}; `tidegate snapshots` lists them all", near.join(", "))
        });
    }
    if let Some(RestoreError::NoChoice { instance, choices, .. }) = cause.downcast_ref() {
        return Some(if choices.is_empty() {
            format!("take one with `tidegate snapshot {instance}`")
        } else {
            let choices: Vec<String> = choices.iter().take(10).map(ToString::to_string).collect();
            format!("there are {}; `tidegate snapshots {instance}` shows them", choices.join(", "))
        });
    }
    if let Some(error) = cause.downcast_ref::<UndoError>() {
        return match error {
            UndoError::Nothing { .. } => {
                some("a restore can be undone on the host that did it; `tidegate runs --all` lists what was done here")
            }
            UndoError::Overtaken { instance, by, .. } => Some(format!(
                "`tidegate undo {by}` if that was a restore, else `tidegate restore {instance}`; nothing was touched"
            )),
            UndoError::NotARestore { .. } => some(
                "`tidegate runs` lists the restores; an upgrade is taken back by `tidegate restore INSTANCE before-upgrade`",
            ),
            UndoError::NoWayBack { .. } => {
                some("nothing was touched; `tidegate restore INSTANCE` goes to any snapshot")
            }
            _ => None,
        };
    }
    if let Some(ImageGone { reference, .. }) = cause.downcast_ref() {
        return Some(format!(
            "bring {reference} to this host (`docker load`, or its registry), then run it again; nothing was touched"
        ));
    }
    if let Some(unknown) = cause.downcast_ref::<UnknownInstance>() {
        let distance = |known: &&str| strsim::damerau_levenshtein(unknown.name.as_str(), known);
        let near = unknown.known.split(", ").min_by_key(distance).filter(|known| distance(known) <= 2);
        return Some(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`tidegate status` shows the instances; the configuration names them".into(),
        });
    }
    if let Some(HalfFilled { run, .. }) = cause.downcast_ref() {
        let run = run.split("-back").next().unwrap_or(run);
        return Some(format!("`tidegate resume {run}` ends that run, on the host that began it"));
    }
    if let Some(PorterFailed { disk_full: true, .. }) = cause.downcast_ref() {
        return some("make room on the Docker host, then run it again");
    }
    if let Some(NoConsent::NoTerminal { instance }) = cause.downcast_ref() {
        return Some(format!("add `--confirm {instance}`, or look first with `--dry-run`"));
    }
    if let Some(UpgradeError::NoImage { .. }) = cause.downcast_ref() {
        return some("set `pipeline.image`, such as `image = \"appsmith/appsmith-ce\"`");
    }
    if let Some(NothingCompared { .. }) = cause.downcast_ref() {
        return some("`tidegate runs` lists the runs, `tidegate smoke INSTANCE` runs the checks now");
    }
    if let Some(GateShut { shut, .. }) = cause.downcast_ref() {
        return shut.iter().find_map(|condition| condition.lifts.clone());
    }
    if let Some(LockError::Held { owner, .. }) = cause.downcast_ref() {
        return Some(format!(
            "wait for it to end; `tidegate runs` on {} shows what it does. Only if that host is gone for good: --take-over {}",
            owner.host, owner.run
        ));
    }
    if let Some(LockError::Asked { .. }) = cause.downcast_ref() {
        return some("try again once the restore is done");
    }
    if let Some(StateError::NoRoom { .. }) = cause.downcast_ref() {
        return some("make room on that disk, then run it again; nothing was touched");
    }
    if matches!(cause.downcast_ref(), Some(StateError::Io { source, .. }) if FULL.contains(&source.kind()))
        || matches!(cause.downcast_ref(), Some(JournalError::Io { source, .. }) if FULL.contains(&source.kind()))
        || matches!(cause.downcast_ref(), Some(LockError::File { source, .. }) if FULL.contains(&source.kind()))
    {
        return some("make room on the disk of `state_dir`, then run it again");
    }
    if let Some(StateError::DaemonRuns { .. }) = cause.downcast_ref() {
        return some("one daemon looks after all instances of a configuration; `systemctl status tidegate` shows it");
    }
    if let Some(error) = cause.downcast_ref::<AppError>() {
        return if has_io(error, FULL) {
            some("make room on the disk of `state_dir`, then run it again")
        } else {
            error.hint()
        };
    }
    None
}

fn of_instance(error: &InstanceError) -> Option<String> {
    match error {
        InstanceError::UncoveredMount { instance, mount, .. } => Some(format!(
            "if it holds nothing worth keeping, add \"{mount}\" to `instances.{instance}.acknowledge_mounts`; nothing was touched"
        )),
        InstanceError::LoginRefused { instance, earlier: None, .. } => Some(format!(
            "look at `instances.{instance}.login_user` and the password file; the same password is not sent again for a day, because Appsmith locks an account after 5 failures (a restore can do without: --no-checks)"
        )),
        InstanceError::LoginRefused { instance, earlier: Some(earlier), .. } => Some(format!(
            "write the right password to `instances.{instance}.login_password_file`, which is tried at once; if that is right and the account was mended: `rm {}`, else the same is tried again a day later (a restore can do without: --no-checks)",
            earlier.file.display()
        )),
        InstanceError::NoPassword { instance, .. } => Some(format!(
            "look at `instances.{instance}.login_password_file`: is it there, and may this user read it? nothing was sent"
        )),
        InstanceError::NotReady { instance, .. } => {
            Some(format!("`tidegate smoke {instance}` looks again, `tidegate logs` tells what was done last"))
        }
        InstanceError::Request { instance, .. } => Some(format!(
            "is `instances.{instance}.url` the right one, and does it answer? `tidegate doctor` looks at all of it"
        )),
        InstanceError::WouldNotStart { .. } => Some("mend that line, then run it again; nothing was touched".into()),
        InstanceError::NotHot { instance, .. } => {
            Some(format!("a cold one needs no tool of the app: `tidegate snapshot {instance} --mode cold`"))
        }
        InstanceError::CannotTake { .. } => Some("nothing was touched".into()),
        InstanceError::OutOfReach { .. }
        | InstanceError::CannotRest { .. }
        | InstanceError::NotLoaded { .. }
        | InstanceError::Engine(_) => None,
    }
}

/// What a disk without room says.
const FULL: &[ErrorKind] = &[ErrorKind::StorageFull, ErrorKind::QuotaExceeded];

fn has_io(error: &(dyn Error + 'static), kinds: &[ErrorKind]) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|error| kinds.contains(&error.kind()))
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}
