//! Lanes: what is to be done for one game, one after the other, beside all others.
//!
//! A lane is a task with a bounded queue before it. One whose work is slow fills up and refuses ([`Full`](Refused::Full));
//! the others never notice. It knows nothing of games.

use std::{future::Future, time::Duration};

use tokio::{sync::mpsc, time::sleep};

/// What a lane does.
pub(crate) trait Work: Send + 'static {
    /// One thing to do.
    type Job: Send + 'static;

    /// Does it.
    fn carry_out(&mut self, job: Self::Job) -> impl Future<Output = ()> + Send;

    /// How long until there is something to do that nobody asks for; `None` ends the lane.
    fn rest(&self) -> Option<Duration>;

    /// Does what nobody asks for.
    fn wake(&mut self) -> impl Future<Output = ()> + Send;
}

/// A way into a lane. The lane ends with its work, or with the last of these.
#[derive(Debug)]
pub(crate) struct Lane<J>(mpsc::Sender<J>);

/// Why a lane does not take a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// As many jobs wait as may. Later there is room.
    Full,
    /// The lane has ended.
    Over,
}

impl<J: Send + 'static> Lane<J> {
    /// Opens a lane in which at most `room` jobs wait.
    pub(crate) fn open(work: impl Work<Job = J>, room: usize) -> Self {
        let (to, jobs) = mpsc::channel(room);
        tokio::spawn(run(work, jobs));
        Self(to)
    }

    /// Puts a job at the lane's end. Never waits.
    ///
    /// # Errors
    /// [`Refused`]; the job is dropped.
    pub(crate) fn put(&self, job: J) -> Result<(), Refused> {
        self.0.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Full,
            mpsc::error::TrySendError::Closed(_) => Refused::Over,
        })
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_closed()
    }
}

async fn run<W: Work>(mut work: W, mut jobs: mpsc::Receiver<W::Job>) {
    while let Some(rest) = work.rest() {
        tokio::select! {
            // What was put here first goes first, also before a deadline that has passed meanwhile.
            biased;
            job = jobs.recv() => match job {
                Some(job) => work.carry_out(job).await,
                None => return,
            },
            () = sleep(rest) => work.wake().await,
        }
    }
}
