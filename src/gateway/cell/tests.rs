//! What is done under the lock of a session, and so in the order in which it happens.

use std::{
    future::{Future as _, Ready, ready},
    pin::pin,
    sync::atomic::{AtomicU8, Ordering},
    task::{Context, Wake as WakeTask, Waker},
};

use throughline_wire::{Codec, UpFrame, frame::Hello};

use super::*;
use crate::{
    Gateway,
    session::{LinkKind, LinkSpec, Opening, Via},
};

/// A teller of lives that waits. As it is woken it looks whether the cell is locked: by the one who wakes it.
struct Teller {
    cell: Arc<Cell>,
    found: AtomicU8,
}

const UNLOCKED: u8 = 1;
const LOCKED: u8 = 2;

impl WakeTask for Teller {
    fn wake(self: Arc<Self>) {
        let found = if self.cell.session.is_locked() { LOCKED } else { UNLOCKED };
        self.found.store(found, Ordering::Relaxed);
    }
}

fn cell(shared: &Arc<Shared>) -> (Arc<Cell>, LinkId) {
    let wake = Arc::new(Wake::default());
    let opening = Opening {
        id: SessionId::from_random([1; 16]),
        user: None,
        payer: None,
        info: None,
        credentials_end_at_ms: None,
        config: Arc::clone(&shared.session),
        listener: Arc::clone(&wake) as _,
        reason: None,
    };
    let hello = Hello { instance: "i".into(), attach: Some(1), ..Hello::default() };
    let spec = LinkSpec::new("polling", Codec::Json, LinkKind::Answer);
    let (session, link) = Session::open(clock::now(), opening, &hello, spec).expect("it may be opened");
    let holding = shared.limits.open(None, None).map_err(|(limit, _)| limit).expect("there is room");
    (Cell::new(session, wake, holding, Arc::clone(shared)), link)
}

#[tokio::test]
async fn the_life_of_a_session_is_handed_on_while_its_lock_is_held() {
    let nobody = tower::service_fn(|_| -> Ready<Result<(), String>> { ready(Ok(())) });
    let gateway = Gateway::builder().lifecycle(nobody).build();
    let shared = gateway.handle().shared;
    let (cell, link) = cell(&shared);
    let teller = Arc::new(Teller { cell: Arc::clone(&cell), found: AtomicU8::new(0) });
    let lives = shared.lives.as_ref().expect("somebody listens");
    // The gateway's own tellers are tasks that have had no turn yet: this one is the first.
    let mut telling = pin!(Arc::clone(lives).tell());
    let waker = Waker::from(Arc::clone(&teller));
    assert!(telling.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let knows = UpFrame::Ping { nonce: None };
    cell.change(|session| session.handle_frame(clock::now(), Via::Post(link), knows, false))
        .expect("a frame");
    assert_eq!(teller.found.load(Ordering::Relaxed), LOCKED, "another change could have overtaken it");
}
