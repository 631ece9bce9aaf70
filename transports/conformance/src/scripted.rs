//! A gate whose peers do what a test says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{BufMut, Bytes, BytesMut};
use throughline_link::{Advice, Fault, Gate, LinkEnd, LinkRequest, Peer, Transmit};
use throughline_wire::{CloseCode, Codec};
use tokio::sync::{Notify, mpsc};

/// A gate for tests: hands the other half of each peer to whoever asks [`next`](Self::next).
#[derive(Clone, Default, Debug)]
pub struct ScriptedGate {
    opened: Arc<Opened>,
    opening: Arc<Mutex<Opening>>,
}

/// The scripts that nobody has asked for yet.
#[derive(Default, Debug)]
struct Opened {
    scripts: Mutex<VecDeque<Script>>,
    more: Notify,
}

/// What each peer is born with.
#[derive(Default, Debug)]
struct Opening {
    frames: Vec<Bytes>,
    close: Option<(Bytes, Advice)>,
    tag: Option<u64>,
}

impl ScriptedGate {
    /// The script of the link opened next.
    pub async fn next(&self) -> Script {
        loop {
            if let Some(script) = lock(&self.opened.scripts).pop_front() {
                return script;
            }
            self.opened.more.notified().await;
        }
    }

    /// Peers opened from now on begin with this frame.
    pub fn begin_with(&self, frame: &str) {
        lock(&self.opening).frames.push(Bytes::copy_from_slice(frame.as_bytes()));
    }

    /// Peers opened from now on close at once.
    pub fn refuse_all(&self, message: &str, advice: Advice) {
        lock(&self.opening).close = Some((Bytes::copy_from_slice(message.as_bytes()), advice));
    }

    /// Peers opened from now on have a resume tag: how many frames they have transmitted.
    pub fn with_tags(&self) {
        lock(&self.opening).tag = Some(0);
    }
}

impl Gate for ScriptedGate {
    type Peer = ScriptedPeer;

    fn open(&self, link: LinkRequest) -> ScriptedPeer {
        let opening = lock(&self.opening);
        let state = State {
            frames: opening.frames.iter().cloned().collect(),
            datagrams: VecDeque::new(),
            close: opening.close.clone(),
            tag: opening.tag,
            is_resting: false,
            pulls: 0,
            waker: None,
        };
        let state = Arc::new(Mutex::new(state));
        let (events, heard) = mpsc::unbounded_channel();
        let peer = ScriptedPeer { codec: link.codec, state: Arc::clone(&state), events };
        lock(&self.opened.scripts).push_back(Script { request: link, state, heard });
        self.opened.more.notify_one();
        peer
    }
}

/// What an adapter did to a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Delivered a message.
    Received(Bytes),
    /// Delivered a datagram.
    ReceivedDatagram(Bytes),
    /// Said that one could not be delivered.
    Refused(Fault),
    /// Ended the link.
    Ended(LinkEnd),
}

/// The test's half of a peer.
#[derive(Debug)]
pub struct Script {
    /// How the link was opened.
    pub request: LinkRequest,
    state: Arc<Mutex<State>>,
    heard: mpsc::UnboundedReceiver<Event>,
}

impl Script {
    /// Has a frame to send. Frames that wait go out in one message, as far as its budget allows.
    pub fn say(&self, frame: impl Into<Bytes>) {
        let mut state = lock(&self.state);
        state.frames.push_back(frame.into());
        state.wake();
    }

    /// Has a frame to send that may be lost. Goes before other frames that wait.
    pub fn say_what_may_be_lost(&self, frame: impl Into<Bytes>) {
        let mut state = lock(&self.state);
        state.datagrams.push_back(frame.into());
        state.wake();
    }

    /// Ends the link when all frames are out.
    pub fn close(&self, message: &str, advice: Advice) {
        let mut state = lock(&self.state);
        state.close = Some((Bytes::copy_from_slice(message.as_bytes()), advice));
        state.wake();
    }

    /// Takes no message until it is told to again.
    pub fn rest(&self, is_resting: bool) {
        let mut state = lock(&self.state);
        state.is_resting = is_resting;
        state.wake();
    }

    /// What the adapter did next.
    pub async fn next(&mut self) -> Event {
        self.heard.recv().await.expect("the last event is the link's end")
    }

    /// Whether the adapter did nothing that was not asked for yet.
    pub fn is_quiet(&self) -> bool {
        self.heard.is_empty()
    }

    /// How many messages were pulled.
    pub fn pulls(&self) -> usize {
        lock(&self.state).pulls
    }

    /// How many frames wait.
    pub fn waiting(&self) -> usize {
        lock(&self.state).frames.len()
    }
}

/// The adapter's half of a peer.
///
/// A fault is answered by closing as [`refusal`] says.
#[derive(Debug)]
pub struct ScriptedPeer {
    codec: Codec,
    state: Arc<Mutex<State>>,
    events: mpsc::UnboundedSender<Event>,
}

#[derive(Debug)]
struct State {
    frames: VecDeque<Bytes>,
    datagrams: VecDeque<Bytes>,
    close: Option<(Bytes, Advice)>,
    tag: Option<u64>,
    /// Whether it takes no message at the moment.
    is_resting: bool,
    pulls: usize,
    waker: Option<Waker>,
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Peer for ScriptedPeer {
    fn receive(&mut self, message: &[u8]) {
        let _ = self.events.send(Event::Received(Bytes::copy_from_slice(message)));
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if !state.is_resting {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn receive_datagram(&mut self, datagram: &[u8]) {
        let _ = self.events.send(Event::ReceivedDatagram(Bytes::copy_from_slice(datagram)));
    }

    fn refuse(&mut self, fault: Fault) {
        let _ = self.events.send(Event::Refused(fault));
        let mut state = lock(&self.state);
        state.close = Some(refusal(fault));
        state.wake();
    }

    fn poll_transmit(
        &mut self,
        context: &mut Context<'_>,
        budget_bytes: usize,
        buffer: &mut BytesMut,
    ) -> Poll<Transmit> {
        let mut state = lock(&self.state);
        if let Some(frame) = state.datagrams.pop_front() {
            buffer.extend_from_slice(&frame);
            return Poll::Ready(Transmit::Datagram);
        }
        let start = buffer.len();
        while let Some(frame) = state.frames.front() {
            let is_first = buffer.len() == start;
            if !is_first && buffer.len() - start + frame.len() >= budget_bytes {
                break;
            }
            if self.codec.is_text() && !is_first {
                buffer.put_u8(b'\n');
            }
            buffer.extend_from_slice(frame);
            state.frames.pop_front();
            state.tag = state.tag.map(|tag| tag + 1);
        }
        if buffer.len() > start {
            state.pulls += 1;
            return Poll::Ready(Transmit::Message);
        }
        if let Some((message, advice)) = state.close.take() {
            buffer.extend_from_slice(&message);
            return Poll::Ready(Transmit::Close(advice));
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn write_resume_tag(&self, buffer: &mut BytesMut) {
        if let Some(tag) = lock(&self.state).tag {
            buffer.extend_from_slice(format!("tag-{tag}").as_bytes());
        }
    }

    fn end(self, reason: LinkEnd) {
        let _ = self.events.send(Event::Ended(reason));
    }
}

impl Drop for ScriptedPeer {
    /// Comes after every other event; a test takes the first end that it hears.
    fn drop(&mut self) {
        let _ = self.events.send(Event::Ended(LinkEnd::Lost));
    }
}

/// How a scripted peer answers a fault.
pub fn refusal(fault: Fault) -> (Bytes, Advice) {
    let code = match fault {
        Fault::TooLarge => CloseCode::TOO_LARGE,
        Fault::WrongCodec => CloseCode::UNSUPPORTED_DATA,
        Fault::TooSlow => CloseCode::SILENCE,
        Fault::Protocol => CloseCode::PROTOCOL_ERROR,
    };
    let advice = Advice { error: Some(fault.code()), ..advice_after(code, fault.code().as_str(), 1_500) };
    (Bytes::from_static(fault.code().as_str().as_bytes()), advice)
}

/// Advice to come back after this many milliseconds.
pub const fn advice_after(code: CloseCode, reason: &'static str, milliseconds: u64) -> Advice {
    Advice { code, reason, error: None, retry_after_ms: Some(milliseconds), is_final: false }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
