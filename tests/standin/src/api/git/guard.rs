//! Around each operation: the lock of its application, faults on purpose, and independence of the client.

use super::ask::Ask;
use super::errors;
use crate::api::envelope::{Answer, ApiError};
use crate::broken::Broken;
use crate::time::millis_since_epoch;
use crate::world::{World, lock};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often a held lock is asked for, and the seconds between.
const TRIES: u32 = 20;
const BETWEEN_SECS: f64 = 1.0;
/// The seconds after which a lock is free again, whoever holds it.
const EXPIRES_SECS: f64 = 120.0;
/// How often an operation looks whether its backend still lives.
const WATCH: Duration = Duration::from_millis(25);

/// Runs an operation that goes on when its client has gone, and ends with the backend.
pub async fn detached<F, T>(world: &Arc<World>, operation: F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
    T: Send + 'static,
{
    let (world, life) = (Arc::clone(world), world.backend_ends.load(Ordering::SeqCst));
    let task = tokio::spawn(async move {
        let ended = async {
            while world.backend_ends.load(Ordering::SeqCst) == life {
                tokio::time::sleep(WATCH).await;
            }
        };
        tokio::select! {
            done = operation => done,
            () = ended => Err(ApiError::internal()),
        }
    });
    task.await.unwrap_or_else(|_| Err(ApiError::internal()))
}

/// [`detached`], for what answers a request.
pub async fn answer<F>(ask: Ask, operation: impl FnOnce(Ask) -> F) -> Answer
where
    F: Future<Output = Answer> + Send + 'static,
{
    let world = Arc::clone(&ask.world);
    detached(&world, operation(ask)).await
}

/// Runs an operation under the lock of its application. Who is killed in it leaves the lock behind, until it expires.
pub async fn locked<T>(
    world: &World,
    verb: &'static str,
    base: &str,
    operation: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    take_lock(world, base).await?;
    let done = match fault(world, verb).await {
        Ok(()) => operation.await,
        Err(error) => Err(error),
    };
    if let Err(error) = &done {
        world.log("backend", &format!("ERROR git {verb} of {base}: {}: {}", error.code(), error.message()));
    }
    let keeps = world.behaviour.is(&Broken::GitLock) && lock(&world.git_faults).insert(format!("lock {base}"));
    if !keeps {
        world.redis().as_mut().map(|redis| redis.unlock_git(base));
    }
    done
}

async fn take_lock(world: &World, base: &str) -> Result<(), ApiError> {
    let pace = world.behaviour.pace;
    let lasts = u64::try_from(pace.secs(EXPIRES_SECS).as_millis()).unwrap_or(u64::MAX);
    for turn in 0..=TRIES {
        let now = millis_since_epoch();
        let taken = world.redis().as_mut().map(|redis| redis.lock_git(base, now, now.saturating_add(lasts)));
        match taken {
            Some(Ok(true)) => return Ok(()),
            Some(Ok(false)) if turn < TRIES => tokio::time::sleep(pace.secs(BETWEEN_SECS)).await,
            Some(Ok(false)) => break,
            Some(Err(_)) | None => return Err(ApiError::internal()),
        }
    }
    let message = "Git command failed: another Git operation is in progress for this application. Please retry later.";
    Err(errors::coded("AE-GIT-5020", message))
}

/// What is to go wrong on purpose, before anything is done.
pub async fn fault(world: &World, verb: &str) -> Result<(), ApiError> {
    for way in &world.behaviour.broken {
        match way {
            Broken::GitSlow(meant, seconds) if meant == verb => {
                tokio::time::sleep(Duration::from_secs_f64(*seconds)).await;
            }
            Broken::GitFails(meant, code, once) if meant == verb => {
                let first = lock(&world.git_faults).insert(way.to_string());
                if first || !once {
                    return Err(errors::coded(code, format!("git {verb} failed. \nDetails: as it was told to")));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::data::redis::Redis;
    use crate::options::Options;
    use crate::paths::Volume;

    fn world(broken: &str) -> (tempfile::TempDir, World) {
        let dir = tempfile::tempdir().unwrap();
        let baked = Baked::take(&mut Options::read(&[]).unwrap()).unwrap();
        let behaviour = baked.in_environment(None, Some(broken)).unwrap();
        let world = World::new(Volume::at(dir.path()), behaviour, String::new(), Default::default());
        *world.redis() = Some(Redis::open(&dir.path().join("dump.rdb")).unwrap());
        (dir, world)
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_lock_is_waited_for_and_then_refused() {
        let (_dir, world) = world("");
        let began = tokio::time::Instant::now();
        let inner = locked(&world, "pull", "a", locked(&world, "pull", "a", async { Ok(()) })).await;
        assert_eq!(inner.unwrap_err().code(), "AE-GIT-5020");
        assert_eq!(began.elapsed(), Duration::from_secs(20));
        locked(&world, "pull", "a", async { Ok(()) }).await.unwrap();
        let both = locked(&world, "pull", "a", locked(&world, "pull", "b", async { Ok(()) })).await;
        both.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn faults_come_once_or_always_and_only_for_their_verb() {
        let (_dir, world) = world("git-fails:pull:AE-GIT-4047:once,git-fails:merge:AE-GIT-5016,git-slow:commit:3");
        let run =
            async |verb: &'static str| locked(&world, verb, "a", async { Ok(()) }).await.err().map(|it| it.code());
        assert_eq!([run("pull").await, run("pull").await], [Some("AE-GIT-4047"), None]);
        assert_eq!([run("merge").await, run("merge").await], [Some("AE-GIT-5016"), Some("AE-GIT-5016")]);
        let began = tokio::time::Instant::now();
        assert_eq!(run("commit").await, None);
        assert_eq!(began.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_not_given_back_is_so_once() {
        let (_dir, world) = world("git-lock");
        locked(&world, "status", "a", async { Ok(()) }).await.unwrap();
        assert!(locked(&world, "status", "a", async { Ok(()) }).await.is_err());
        world.redis().as_mut().unwrap().unlock_git("a").unwrap();
        for _ in 0..2 {
            locked(&world, "status", "a", async { Ok(()) }).await.unwrap();
        }
    }
}
