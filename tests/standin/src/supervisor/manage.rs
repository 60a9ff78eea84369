//! One manager a program: it runs the program's future, and turns calls and deaths into states.

use super::spec::{START_RETRIES, STOP_WAIT_SECS, Spec};
use super::state::View;
use super::{Fault, State, log, quit};
use crate::programs::{self, Death};
use crate::world::World;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// What a client wants of one program.
#[derive(Debug)]
pub enum Call {
    /// Start it; answered when it is RUNNING or has failed.
    Start(oneshot::Sender<Fault>),
    /// Stop it; answered when it has ended.
    Stop(oneshot::Sender<Fault>),
}

/// The manager of one program.
#[derive(Debug)]
pub struct Manager {
    pub spec: Spec,
    pub world: Arc<World>,
    pub view: View,
    pub orders: mpsc::Receiver<Call>,
    pub pid: u32,
}

/// How one life of the program ended.
enum Ended {
    /// On request.
    Stopped,
    /// By itself, before `startsecs`.
    TooEarly,
    /// By itself, after it was RUNNING.
    Later,
}

impl Manager {
    /// Starts the program at once and manages it until nobody can call any more.
    pub async fn run(mut self) {
        let mut starter = None;
        loop {
            if !self.keep_alive(&mut starter).await {
                return;
            }
            // Stopped or given up: wait for somebody to start it again.
            loop {
                match self.orders.recv().await {
                    None => return,
                    Some(Call::Stop(answer)) => tell(answer, Fault::NotRunning),
                    Some(Call::Start(answer)) => {
                        starter = Some(answer);
                        break;
                    }
                }
            }
        }
    }

    /// Restarts the program until it is stopped or given up. False when nobody can call any more.
    async fn keep_alive(&mut self, starter: &mut Option<oneshot::Sender<Fault>>) -> bool {
        let mut failures = 0;
        loop {
            match self.live(starter).await {
                None => return false,
                Some(Ended::Stopped) => return true,
                Some(Ended::Later) => failures = 0,
                Some(Ended::TooEarly) => {
                    failures += 1;
                    if let Some(answer) = starter.take() {
                        tell(answer, Fault::AbnormalTermination);
                    }
                    if failures > START_RETRIES {
                        self.view.enters(State::Fatal);
                        let name = self.spec.name;
                        log(
                            "INFO",
                            &format!("gave up: {name} entered FATAL state, too many start retries too quickly"),
                        );
                        return true;
                    }
                    self.view.enters(State::Backoff);
                    if !self.back_off(self.world.behaviour.pace.secs(f64::from(failures))).await {
                        return true;
                    }
                }
            }
        }
    }

    /// Waits before the next attempt. False if the program was stopped meanwhile.
    async fn back_off(&mut self, time: Duration) -> bool {
        let mut end = pin!(sleep(time));
        loop {
            tokio::select! {
                () = &mut end => return true,
                call = self.orders.recv() => match call {
                    Some(Call::Start(answer)) => tell(answer, Fault::AlreadyStarted),
                    Some(Call::Stop(answer)) => {
                        self.view.enters(State::Stopped);
                        tell(answer, Fault::Success);
                        return false;
                    }
                    None => return false,
                },
            }
        }
    }

    /// One life of the program. `None` when nobody can call any more.
    async fn live(&mut self, starter: &mut Option<oneshot::Sender<Fault>>) -> Option<Ended> {
        let (spec, pace) = (self.spec, self.world.behaviour.pace);
        self.pid += 1;
        self.view.starts(self.pid);
        log("INFO", &format!("spawned: '{}' with pid {}", spec.name, self.pid));
        let (bell, quit) = quit::bell();
        // Dropping this future is the SIGKILL of the stand-in: nothing of the program runs after it.
        let mut process = pin!(programs::run_or_fail(spec, Arc::clone(&self.world), self.pid, quit));
        let mut proven = pin!(sleep(pace.secs(spec.start_secs)));
        loop {
            let starting = self.view.state() == State::Starting;
            tokio::select! {
                biased;
                () = &mut proven, if starting => {
                    self.view.enters(State::Running);
                    let secs = spec.start_secs;
                    log("INFO", &format!("success: {} entered RUNNING state, process has stayed up for > than {secs} seconds (startsecs)", spec.name));
                    if let Some(answer) = starter.take() {
                        tell(answer, Fault::Success);
                    }
                }
                Death(code) = &mut process => {
                    let expected = if code == 0 { "expected" } else { "not expected" };
                    log("WARN", &format!("exited: {} (exit status {code}; {expected})", spec.name));
                    if starting {
                        return Some(Ended::TooEarly);
                    }
                    self.view.enters(State::Exited);
                    return Some(Ended::Later);
                }
                call = self.orders.recv() => match call? {
                    Call::Start(answer) => tell(answer, Fault::AlreadyStarted),
                    Call::Stop(answer) => {
                        self.view.enters(State::Stopping);
                        bell.ring();
                        log("INFO", &format!("waiting for {} to die", spec.name));
                        if timeout(pace.secs(STOP_WAIT_SECS), &mut process).await.is_err() {
                            log("WARN", &format!("killing '{}' ({}) with SIGKILL", spec.name, self.pid));
                            log("WARN", &format!("stopped: {} (terminated by SIGKILL)", spec.name));
                        } else {
                            log("INFO", &format!("stopped: {} (terminated by {})", spec.name, spec.stop_signal));
                        }
                        self.view.enters(State::Stopped);
                        if let Some(starter) = starter.take() {
                            tell(starter, Fault::AbnormalTermination);
                        }
                        tell(answer, Fault::Success);
                        return Some(Ended::Stopped);
                    }
                },
            }
        }
    }
}

/// A client that went away meanwhile needs no answer.
fn tell(answer: oneshot::Sender<Fault>, fault: Fault) {
    let _ = answer.send(fault);
}
