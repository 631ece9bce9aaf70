//! Lanes: in order, bounded, and each for itself.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc};

use crate::lanes::{Lane, Refused, Work};

/// Does a job for each permit, and tells which.
struct Gated {
    permits: Arc<Semaphore>,
    done: mpsc::UnboundedSender<u32>,
}

impl Work for Gated {
    type Job = u32;

    async fn carry_out(&mut self, job: u32) {
        self.permits.acquire().await.unwrap().forget();
        let _ = self.done.send(job);
    }

    fn rest(&self) -> Option<Duration> {
        Some(Duration::MAX)
    }

    async fn wake(&mut self) {
        pending().await
    }
}

fn gated(room: usize) -> (Lane<u32>, Arc<Semaphore>, mpsc::UnboundedReceiver<u32>) {
    let permits = Arc::new(Semaphore::new(0));
    let (done, jobs) = mpsc::unbounded_channel();
    (Lane::open(Gated { permits: Arc::clone(&permits), done }, room), permits, jobs)
}

#[tokio::test]
async fn a_lane_does_one_thing_after_the_other_in_order() {
    let (lane, permits, mut done) = gated(10);
    for job in 0..10 {
        lane.put(job).unwrap();
    }
    permits.add_permits(10);
    for job in 0..10 {
        assert_eq!(done.recv().await, Some(job));
    }
}

#[tokio::test]
async fn a_slow_lane_fills_up_and_refuses_and_stops_no_other() {
    let (slow, permits, mut slow_done) = gated(2);
    let (quick, others, mut quick_done) = gated(2);
    slow.put(1).unwrap();
    while slow.put(2).is_ok() {}
    assert_eq!(slow.put(3), Err(Refused::Full));
    others.add_permits(1);
    quick.put(7).unwrap();
    assert_eq!(quick_done.recv().await, Some(7), "another goes on");
    permits.add_permits(1);
    assert_eq!(slow_done.recv().await, Some(1));
}

/// Wakes after each rest, and ends when it has none.
struct Naps {
    rests: Vec<Duration>,
    woken: Arc<Mutex<usize>>,
}

impl Work for Naps {
    type Job = ();

    async fn carry_out(&mut self, (): ()) {}

    fn rest(&self) -> Option<Duration> {
        self.rests.last().copied()
    }

    async fn wake(&mut self) {
        self.rests.pop();
        *self.woken.lock().unwrap() += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_wakes_by_itself_and_ends_with_its_work() {
    let woken = Arc::default();
    let lane = Lane::open(
        Naps { rests: vec![Duration::from_secs(3_600), Duration::from_secs(1)], woken: Arc::clone(&woken) },
        1,
    );
    assert!(!lane.is_over());
    while !lane.is_over() {
        tokio::time::sleep(Duration::from_secs(60)).await; // of the paused clock
    }
    assert_eq!(*woken.lock().unwrap(), 2);
    assert_eq!(lane.put(()), Err(Refused::Over));
}
