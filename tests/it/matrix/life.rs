//! One process of Tidegate: everything that it does to the world passes here, and at each of these points it may
//! die, or what it asked for may fail.

use std::sync::{Arc, Mutex};

use tidegate::workflow::{Event, EventSink};
use tokio_util::sync::CancellationToken;

/// What a point is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call of the container engine.
    Engine,
    /// A call of the store.
    Store,
    /// A record of the journal.
    Journal,
}

/// Where in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing happened yet.
    Before,
    /// A part of a transfer has arrived.
    Half,
    /// It happened, and the answer is on its way.
    After,
}

/// A moment in a process.
#[derive(Clone, Debug)]
pub struct Point {
    /// Counted from 0 in each process, over all points.
    pub index: usize,
    /// Of what.
    pub kind: Kind,
    /// Such as `start app-staging`, `put_stream parts/…` or `Started 3`.
    pub what: String,
    /// Where in the call.
    pub when: When,
    /// Whether the call changes something. To die around one that does not is to die around its neighbours.
    pub changes: bool,
    /// The step that is under way, with `undo ` before it where it is being undone.
    pub step: String,
}

impl Point {
    /// A process that dies here leaves a world that no other point leaves.
    pub fn is_lethal(&self) -> bool {
        self.changes
    }

    /// Whether this is in that step, such as `start staging` or `undo start staging`.
    pub fn is_in(&self, step: &str) -> bool {
        self.step == step && self.kind != Kind::Journal && !self.is_lock()
    }

    /// Whether it is about a lock, which is between the steps.
    fn is_lock(&self) -> bool {
        ["lock ", "lock_owner ", "unlock "].iter().any(|verb| self.what.starts_with(verb))
    }
}

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing special.
    Pass,
    /// The process is killed.
    Die,
    /// The call fails; at [`When::After`] its effect is there all the same.
    Fail,
    /// What is stored there is damaged.
    Damage,
    /// Somebody asks the run to stop.
    Cancel,
}

type Fate = Box<dyn Fn(&Point) -> Act + Send + Sync>;

/// One process. Clones are the same process.
#[derive(Clone)]
pub struct Life(Arc<Inner>);

struct Inner {
    points: Mutex<Vec<Point>>,
    step: Mutex<String>,
    fate: Fate,
    died: CancellationToken,
    cancel: CancellationToken,
    notes: Mutex<Vec<String>>,
}

impl Life {
    /// A process that meets this fate.
    pub fn new(fate: impl Fn(&Point) -> Act + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            points: Mutex::default(),
            step: Mutex::default(),
            fate: Box::new(fate),
            died: CancellationToken::new(),
            cancel: CancellationToken::new(),
            notes: Mutex::default(),
        }))
    }

    /// A process to which nothing happens.
    pub fn quiet() -> Self {
        Self::new(|_| Act::Pass)
    }

    /// One that dies at its `nth` lethal point, counted from 0.
    pub fn dies_at(nth: usize) -> Self {
        let passed = Mutex::new(0);
        Self::new(move |point| {
            let mut passed = passed.lock().unwrap();
            let due = point.is_lethal() && *passed == nth;
            *passed += usize::from(point.is_lethal());
            if due { Act::Die } else { Act::Pass }
        })
    }

    /// One to which that happens at its `nth` point, counted from 0.
    pub fn meets(nth: usize, act: Act) -> Self {
        Self::new(move |point| if point.index == nth { act } else { Act::Pass })
    }

    /// Passes a point: returns whether what was asked for fails, or never returns.
    pub async fn meet(&self, kind: Kind, what: &str, when: When, changes: bool) -> Act {
        let act = self.look(kind, what, when, changes);
        self.suffer(act).await;
        act
    }

    /// What will happen at a point, for those who have to prepare for it.
    pub fn look(&self, kind: Kind, what: &str, when: When, changes: bool) -> Act {
        let mut points = self.0.points.lock().unwrap();
        let step = self.0.step.lock().unwrap().clone();
        let point = Point { index: points.len(), kind, what: what.to_owned(), when, changes, step };
        points.push(point.clone());
        drop(points);
        let act = (self.0.fate)(&point);
        if act == Act::Cancel {
            self.0.cancel.cancel();
        }
        act
    }

    /// Dies, if that is its fate now: the future that waits here is dropped by who waits for [`Life::death`].
    pub async fn suffer(&self, act: Act) {
        if act == Act::Die {
            self.0.died.cancel();
            std::future::pending::<()>().await;
        }
    }

    /// Returns when the process has died.
    pub async fn death(&self) {
        self.0.died.cancelled().await;
    }

    /// Fires when somebody asks the run to stop.
    pub fn cancel(&self) -> CancellationToken {
        self.0.cancel.clone()
    }

    /// Every point so far.
    pub fn points(&self) -> Vec<Point> {
        self.0.points.lock().unwrap().clone()
    }

    /// How many points there were at which it could have died.
    pub fn lethal_count(&self) -> usize {
        self.points().iter().filter(|point| point.is_lethal()).count()
    }

    /// What it said to people.
    pub fn said(&self) -> Vec<String> {
        self.0.notes.lock().unwrap().clone()
    }
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Life").finish_non_exhaustive()
    }
}

impl EventSink for Life {
    fn emit(&self, event: Event) {
        match event {
            Event::StepStarted { step, undo, .. } => {
                *self.0.step.lock().unwrap() = if undo { format!("undo {step}") } else { step };
            }
            Event::Note { text, .. } => self.0.notes.lock().unwrap().push(text),
            Event::StepFailed { step, error, undo } => {
                self.0
                    .notes
                    .lock()
                    .unwrap()
                    .push(format!("failed: {}{step}: {error}", if undo { "undo " } else { "" }));
            }
            _ => {}
        }
    }
}
