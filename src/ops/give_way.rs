//! A restore goes before a snapshot: it asks the snapshot that holds the lock to give way.
//!
//! It asks by a file beside the lock file, which it keeps locked (`flock`) for as long as it asks: the kernel takes the
//! request back when the asker dies, so nobody ever gives way to a dead one. The holder looks at the file several
//! times a second, answers by writing its run id into it, undoes what it has done and gives its lock back. Upgrades and
//! restores do not look, and are not asked.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio_util::sync::CancellationToken;

use super::Tools;
use super::lock::{self, LockError, Locks};
use super::state::StateDir;
use crate::engine::LockOwner;
use crate::model::ids::{InstanceName, RunId};
use crate::workflow::{Event, EventSink};

/// How often the holder looks, and the asker looks again.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long an answer may take. A holder that is silent for so long does not know how to give way.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long the holder may take to undo what it has done, once it has answered: a start of the instance, and an engine
/// that restarts meanwhile.
const UNDO_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Takes the lock of `instance` for a restore; a snapshot that holds it is asked to give way first.
///
/// # Errors
/// [`LockError::Held`] at once where an upgrade, a restore or another host holds it, or where another restore asks
/// already; after 5 s where the snapshot does not answer.
pub(super) async fn take(
    tools: &Tools,
    run: &RunId,
    instance: &InstanceName,
    events: &dyn EventSink,
    cancel: &CancellationToken,
) -> Result<Locks, LockError> {
    let container = tools.container(instance);
    let mut give_up = Instant::now() + ANSWER_LIMIT;
    let (mut asked, mut answered): (Option<Ask>, bool) = (None, false);
    loop {
        let error = match Locks::take(tools, run, std::slice::from_ref(instance)).await {
            Ok(locks) => return Ok(locks),
            Err(error) => error,
        };
        match (&error, &asked) {
            (LockError::Held { owner, .. }, None) if gives_way(tools, owner) => {
                let Some(ask) = Ask::begin(&tools.state, container)? else { return Err(error) };
                let text = format!("{} holds `{instance}` and is asked to give way", owner.run);
                events.emit(Event::Note { text, warning: false });
                asked = Some(ask);
            }
            (LockError::Held { owner, .. }, Some(ask)) if gives_way(tools, owner) => {
                if !answered && ask.is_answered_by(owner) {
                    (answered, give_up) = (true, Instant::now() + UNDO_LIMIT);
                }
            }
            // Between two looks at it: about to be taken, or just given back.
            (LockError::Busy { .. }, _) => {}
            _ => return Err(error),
        }
        if Instant::now() > give_up || cancel.is_cancelled() {
            return Err(error);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether it is a snapshot of this host, which may be asked. Its id tells: there may be no journal yet.
pub fn gives_way(tools: &Tools, owner: &LockOwner) -> bool {
    owner.run.starts_with("snapshot-") && lock::is_of_this_host(tools, owner).unwrap_or(false)
}

/// Fails where a restore asks for the instance: a snapshot does not begin then.
pub(super) fn nobody_asks(tools: &Tools, instance: &InstanceName) -> Result<(), LockError> {
    let path = ask_file(&tools.state, tools.container(instance));
    match is_asked(&path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(LockError::Asked { instance: instance.clone() }),
        Err(source) => Err(LockError::File { path, source }),
    }
}

/// Ends once somebody asks `run` to give way, after the answer is written. A request that cannot be read or answered is
/// logged and looked at again. Cancel safe.
pub(super) async fn is_asked_to(tools: &Tools, run: &RunId, instance: &InstanceName) {
    let path = ask_file(&tools.state, tools.container(instance));
    loop {
        let answered =
            is_asked(&path).and_then(|asked| if asked { answer(&path, run).map(|()| true) } else { Ok(false) });
        match answered {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => tracing::warn!(%run, %error, "cannot look whether a restore asks"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn ask_file(state: &StateDir, container: &str) -> PathBuf {
    state.lock_file(container).with_extension("ask")
}

fn is_asked(path: &PathBuf) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_nobody) => Ok(false),
        Err((_, Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, errno)) => Err(errno.into()),
    }
}

fn answer(path: &PathBuf, run: &RunId) -> io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(run.as_str().as_bytes())
}

/// A request, taken back when dropped.
#[derive(Debug)]
struct Ask {
    path: PathBuf,
    _file: Flock<File>,
}

impl Ask {
    /// `None` where another restore asks already.
    fn begin(state: &StateDir, container: &str) -> Result<Option<Self>, LockError> {
        let path = ask_file(state, container);
        let failed = |source| LockError::File { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => {
                // An answer to an earlier request is none to this one.
                file.set_len(0).map_err(failed)?;
                Ok(Some(Self { path, _file: file }))
            }
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }

    fn is_answered_by(&self, owner: &LockOwner) -> bool {
        std::fs::read_to_string(&self.path).is_ok_and(|text| text == owner.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_lasts_as_long_as_its_asker() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let path = ask_file(&state, "app");
        assert!(!is_asked(&path).unwrap());
        let ask = Ask::begin(&state, "app").unwrap().unwrap();
        assert!(is_asked(&path).unwrap());
        assert!(Ask::begin(&state, "app").unwrap().is_none(), "one asks at a time");
        answer(&path, &RunId::new("snapshot-1").unwrap()).unwrap();
        let owner = |run: &str| LockOwner {
            run: run.into(),
            host: "h".into(),
            machine: String::new(),
            pid_namespace: String::new(),
            boot_id: "b".into(),
            pid: 1,
            pid_started: 1,
            taken_at: String::new(),
        };
        assert!(ask.is_answered_by(&owner("snapshot-1")) && !ask.is_answered_by(&owner("snapshot-2")));
        drop(ask);
        assert!(!is_asked(&path).unwrap(), "the answer is left, the request is not");
        let again = Ask::begin(&state, "app").unwrap().unwrap();
        assert!(!again.is_answered_by(&owner("snapshot-1")), "an old answer is none");
    }
}
