//! The tick of the schedules: the only user of `tokio-cron-scheduler`.
//!
//! It says *look now* and nothing else. What is due is decided by [`crate::model::due`] from what was served, so a tick
//! that is lost, late or doubled changes nothing; the supervisor looks every 2 s even if none ever came.

use tokio::sync::mpsc::{self, Receiver};
use tokio_cron_scheduler::{Job, JobScheduler};

/// It cannot be started.
pub use tokio_cron_scheduler::JobSchedulerError as TickerError;

/// Every second: schedules may name one.
const EVERY_SECOND: &str = "* * * * * *";

/// Ticks until it is dropped.
pub struct Ticker {
    ticks: Receiver<()>,
    _scheduler: JobScheduler,
}

impl Ticker {
    /// Begins to tick.
    pub async fn start() -> Result<Self, TickerError> {
        // One is enough: two looks in a row see the same.
        let (poke, ticks) = mpsc::channel(1);
        let scheduler = JobScheduler::new().await?;
        let job = Job::new(EVERY_SECOND, move |_id, _scheduler| {
            let _one_waits_already = poke.try_send(());
        })?;
        scheduler.add(job).await?;
        scheduler.start().await?;
        Ok(Self { ticks, _scheduler: scheduler })
    }

    /// The next tick. Cancel safe. Never ends once the scheduler is gone.
    pub async fn tick(&mut self) {
        if self.ticks.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

impl std::fmt::Debug for Ticker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticker").finish_non_exhaustive()
    }
}
