//! What goes down: the next message of a link, put together when the link can take it.
//!
//! A message is what there is to say beside items (welcome, errors, pongs, pings), then one batch of items. The
//! batch goes on where the link stands in the journal; once it has caught up, waiting items get their numbers, and
//! then events are pulled from the logs, channel by channel, while the window of unacknowledged events is open (`pull`).
//! What is said and not kept comes last (`volatile`).
//! Events are copied from the log's encoded form into the caller's buffer; nothing is allocated per delivery.

use bytes::BytesMut;
use throughline_wire::{
    Batch, Codec, DownFrame, Gap, GapReason, Item, Offset, Position,
    frame::{ErrorFrame, Welcome},
};

use super::{
    Ending, Goodbye, Link, LinkId, LinkKind, LinkSpec, Now, Parting, Phase, Session, Tally,
    journal::{Numbered, Run, slide},
    link::{Migration, Standing, WelcomeKind},
};

/// The first batch of a link, in bytes. Each that follows may be twice as large: on a network that cuts after so many
/// bytes, or forgets, what is sent again is small enough to get through in the end.
const FIRST_BATCH_BYTES: usize = 4_096;

/// The most items in one batch: enough to coalesce, few enough to share the lock.
const BATCH_ITEMS: u64 = 256;

/// What [`Session::transmit`] appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Nothing; an [`Effect::Wake`](super::Effect::Wake) or the listener says when to ask again.
    Idle,
    /// A message. `more` says that another is ready.
    Message {
        /// Whether another message is ready.
        more: bool,
    },
    /// One volatile alone, for a link that carries datagrams. `more` as above.
    Datagram {
        /// Whether something else is ready.
        more: bool,
    },
    /// The last message, possibly empty; the link is no longer the session's.
    Close(Goodbye),
}

impl Session {
    /// Appends the next message of a link to `buffer`. Stays below `budget_bytes` of items unless one is larger.
    ///
    /// An answer is one message: the link is no longer the session's after it, and a session without another link
    /// waits for its client from then on.
    pub fn transmit(&mut self, now: Now, id: LinkId, budget_bytes: usize, buffer: &mut BytesMut) -> Output {
        let Some(index) = self.link_index(id) else {
            return Output::Close(if self.is_ended() { Goodbye::Gone } else { Goodbye::Superseded });
        };
        let start = buffer.len();
        let budget_bytes = budget_bytes.min(FIRST_BATCH_BYTES << self.pace);
        if self.journal.is_exhausted() {
            self.end(Ending::Exhausted); // G5
        }
        if self.links[index].outbox.goodbye.is_some() {
            return self.transmit_goodbye(now, index, buffer);
        }
        let is_welcomed = self.links[index].outbox.welcome.is_some();
        self.transmit_outbox(now, index, buffer);
        let mut flow = match self.links[index].standing {
            Standing::Active => self.transmit_items(now, index, budget_bytes, buffer),
            Standing::Probe | Standing::Fenced => Flow::Done,
        };
        if self.journal.is_exhausted() {
            self.end(Ending::Exhausted);
            return self.transmit_goodbye(now, index, buffer);
        }
        let LinkSpec { kind, datagrams, .. } = self.links[index].spec;
        if flow == Flow::Done && !datagrams {
            flow = self.transmit_volatiles(now, index, budget_bytes, buffer);
        }
        let link = &mut self.links[index];
        let mut silent = buffer.len() == start;
        let is_over = link.outbox.answer && silent && kind == LinkKind::Answer;
        let acknowledges = std::mem::take(&mut link.outbox.ack);
        if acknowledges || is_over {
            let up_to = self.commands.received;
            link.spec.codec.encode_down(&DownFrame::Ack { up_to }, buffer);
            silent = false;
        }
        if flow == Flow::Done && link.standing == Standing::Active && self.may_leave() {
            return self.transmit_leave(now, index, buffer);
        }
        let is_due = !is_welcomed && self.heartbeat_passed(now);
        let link = &mut self.links[index];
        let is_newest = kind == LinkKind::Answer && link.standing == Standing::Active;
        if is_newest && !silent && is_due {
            // Polls are pinged no other way.
            let window_ms = Some(self.config.window.ms());
            link.spec.codec.encode_down(&DownFrame::Ping { nonce: None, window_ms }, buffer);
        }
        if kind != LinkKind::Answer {
            link.outbox.answer = false;
            if datagrams && flow == Flow::Done && link.standing == Standing::Active && self.has_volatiles() {
                if !silent {
                    return Output::Message { more: true };
                }
                let more = self.transmit_volatiles(now, index, budget_bytes, buffer) == Flow::More;
                return if buffer.len() == start { Output::Idle } else { Output::Datagram { more } };
            }
            return if silent { Output::Idle } else { Output::Message { more: flow == Flow::More } };
        }
        if silent {
            return Output::Idle;
        }
        self.remove_link(now, index, Parting::Answered.as_str());
        Output::Message { more: false }
    }

    /// Whether a heartbeat was due since the last poll was answered. One is due to all sessions together, as often as the
    /// clock has gone through another heartbeat's length, so that nothing has to be kept of which was the last.
    fn heartbeat_passed(&self, now: Now) -> bool {
        let Phase::Established { detached_ms } = self.phase else { return false };
        let heartbeats = |ms: u64| ms / self.config.heartbeat_ms.max(1);
        heartbeats(detached_ms) < heartbeats(now.mono_ms)
    }

    pub(super) fn transmit_goodbye(&mut self, now: Now, index: usize, buffer: &mut BytesMut) -> Output {
        let link = &mut self.links[index];
        let codec = link.spec.codec;
        let goodbye = link.outbox.goodbye.unwrap_or(Goodbye::Gone);
        let mut is_told = false;
        for error in link.outbox.errors.drain(..) {
            is_told |= error.fatal && Some(error.code) == goodbye.error();
            codec.encode_down(&DownFrame::Error(error), buffer);
        }
        if let Some(leave) = self.leave_of(index) {
            leave.encode(codec, buffer);
        } else if !is_told {
            encode_goodbye(codec, goodbye, None, buffer);
        } else if let Some(retry) = goodbye.retry() {
            codec.encode_down(&DownFrame::Retry(retry), buffer); // the error, with its detail, came before
        }
        self.remove_link(now, index, goodbye.as_str());
        Output::Close(goodbye)
    }

    fn transmit_outbox(&mut self, now: Now, index: usize, buffer: &mut BytesMut) {
        let welcome = self.links[index].outbox.welcome.take();
        if let Some(kind) = welcome {
            let welcome = DownFrame::Welcome(Box::new(self.welcome(now, &self.links[index], kind)));
            self.links[index].spec.codec.encode_down(&welcome, buffer);
        }
        let window_ms = Some(self.config.window.ms());
        let link = &mut self.links[index];
        let codec = link.spec.codec;
        for error in link.outbox.errors.drain(..) {
            codec.encode_down(&DownFrame::Error(error), buffer);
        }
        if let Some(nonce) = link.outbox.pong.take() {
            codec.encode_down(&DownFrame::Pong { nonce, window_ms }, buffer);
        }
        if let Some(nonce) = link.outbox.ping.take() {
            link.outbox.awaited_nonce = nonce.or(link.outbox.awaited_nonce);
            codec.encode_down(&DownFrame::Ping { nonce, window_ms }, buffer);
        }
        if let Some(migration) = link.outbox.migration.take() {
            let Migration { transports, delay_ms, spread_ms } = *migration;
            codec.encode_down(&DownFrame::Migrate { transports, delay_ms, spread_ms }, buffer);
        }
    }

    fn welcome(&self, now: Now, link: &Link, kind: WelcomeKind) -> Welcome {
        let config = &self.config;
        let (resumed, reason) = match kind {
            WelcomeKind::Opened(reason) => (false, reason),
            WelcomeKind::Resumed | WelcomeKind::ResumedInFull => (true, None),
        };
        let in_full = kind != WelcomeKind::Resumed;
        Welcome {
            session: self.id,
            token: config.keys.token(self.id, self.user.as_deref()),
            incarnation: self.incarnation,
            link: link.id.0,
            resumed,
            reason,
            next: link.next,
            received: self.commands.received,
            user: self.user.clone(),
            time: now.wall_ms,
            heartbeat_ms: config.heartbeat_ms,
            resume_window_ms: config.resume_window_ms,
            window_ms: config.window.ms(),
            backoff: config.backoff,
            auth_expires_in_ms: self.credentials.left_ms(now),
            limits: in_full.then_some(config.limits),
            transports: in_full.then(|| config.transports.now().to_vec()),
            features: in_full.then(Vec::new),
        }
    }

    fn transmit_items(&mut self, now: Now, index: usize, budget_bytes: usize, buffer: &mut BytesMut) -> Flow {
        let link = &mut self.links[index];
        let codec = link.spec.codec;
        if link.next <= self.journal.floor() {
            link.next = self.journal.floor() + 1; // acknowledged by way of another link
        }
        let mut batch = Batch::begin(codec, buffer, link.next);
        let mut out = Out { batch: &mut batch, codec, budget_bytes, tally: &mut self.tally };
        let mut flow = resend(&self.journal, link.next, &mut out);
        if flow == Flow::Done {
            flow = self.number_waiting(now, index, &mut batch, budget_bytes);
        }
        let link = &mut self.links[index];
        link.next += batch.len();
        self.tally.items_sent += batch.len() as u32;
        if flow == Flow::More && self.pace < 16 {
            self.pace += 1;
        }
        if batch.is_empty() {
            batch.abandon();
        } else {
            let ack = std::mem::take(&mut link.outbox.ack).then_some(self.commands.received);
            batch.finish(ack);
        }
        flow
    }

    /// Numbers what waits: first what is no event, so that `subscribed` comes before every event of its channel.
    fn number_waiting(&mut self, now: Now, index: usize, batch: &mut Batch<'_>, budget_bytes: usize) -> Flow {
        let codec = self.links[index].spec.codec;
        let plain = self.links[index].spec.kind.is_plain();
        let reserve = self.config.reserve_items.max(1) as u64;
        self.is_window_full = false;
        while let Some(item) = self.pending.pop_front() {
            if self.journal.is_exhausted() {
                return Flow::More;
            }
            if plain {
                slide(&mut self.journal, &mut self.slid, |journal| journal.controls() < reserve);
            }
            let item = self.journal.number_control(item);
            batch.push(&codec.encode_item(item));
            if is_full(batch, 0, budget_bytes) {
                return Flow::More;
            }
        }
        if self.pending.capacity() > 0 {
            self.pending = std::collections::VecDeque::new();
        }
        if self.presence.is_some()
            && self.tell_presence(now.mono_ms, codec, batch, budget_bytes) == Flow::More
        {
            return Flow::More;
        }
        let count = self.subscriptions.len();
        for turn in 0..count {
            let at = (self.scan_from + turn) % count;
            if !self.subscriptions[at].is_behind() {
                continue;
            }
            let before = batch.len();
            let flow = self.pull(at, plain, codec, batch, budget_bytes);
            if flow == Flow::WindowFull {
                self.is_window_full = true;
                self.tally.windows_full += 1;
            }
            if flow != Flow::Done {
                // Whoever had its turn goes to the end; whoever found no room keeps it.
                self.scan_from = if batch.len() > before { (at + 1) % count } else { at };
                // A window that is closed opens by an acknowledgement, which wakes the link.
                return if flow == Flow::More { Flow::More } else { Flow::Done };
            }
        }
        Flow::Done
    }
}

/// Encodes what a client is told when its link ends, or is refused: the error where there is one, and when to come
/// back.
pub fn encode_goodbye(codec: Codec, goodbye: Goodbye, slot: Option<Box<str>>, buffer: &mut BytesMut) {
    if let Some(code) = goodbye.error() {
        let error = ErrorFrame { code, message: code.message().into(), command: None, fatal: true };
        codec.encode_down(&DownFrame::Error(error), buffer);
    }
    if let Some(mut retry) = goodbye.retry() {
        retry.slot = slot;
        codec.encode_down(&DownFrame::Retry(retry), buffer);
    }
}

/// How far a batch got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// There is nothing more to say.
    Done,
    /// The batch is full.
    More,
    /// The window of unacknowledged events is closed.
    WindowFull,
}

/// Where items go.
struct Out<'a, 'b> {
    batch: &'a mut Batch<'b>,
    codec: Codec,
    budget_bytes: usize,
    tally: &'a mut Tally,
}

impl Out<'_, '_> {
    fn push(&mut self, encoded: &[u8]) -> bool {
        if is_full(self.batch, encoded.len(), self.budget_bytes) {
            return false;
        }
        self.batch.push(encoded);
        true
    }
}

pub(super) fn is_full(batch: &Batch<'_>, next_bytes: usize, budget_bytes: usize) -> bool {
    batch.len() >= BATCH_ITEMS || (!batch.is_empty() && batch.bytes() + next_bytes > budget_bytes)
}

/// Sends again what is numbered and not acknowledged, from item `next` on.
fn resend(journal: &super::Journal, next: u64, out: &mut Out<'_, '_>) -> Flow {
    for entry in journal.from(next) {
        let sent = match entry {
            Numbered::Control { item, .. } => {
                let encoded = out.codec.encode_item(item);
                out.push(&encoded)
            }
            Numbered::Presence { told, .. } => out.push(told.encoded(out.codec)),
            Numbered::Run(run) => resend_run(run, next.max(run.first), out),
        };
        if !sent {
            return Flow::More;
        }
    }
    Flow::Done
}

/// Sends events again. One that the log has dropped becomes a gap of exactly that event, under its number.
fn resend_run(run: &Run, from: u64, out: &mut Out<'_, '_>) -> bool {
    let log = run.channel.log();
    let same_epoch = log.head().epoch == run.epoch;
    for number in from..=run.last() {
        let offset = run.offset_of(number);
        let sent = match log.entry(offset).filter(|_| same_epoch) {
            Some(entry) => out.push(entry.encoded(out.codec)),
            None => {
                let reason = if same_epoch { GapReason::Trimmed } else { GapReason::Epoch };
                let sent = out.push(&out.codec.encode_item(&Item::Gap(lost(run, offset, reason))));
                if sent {
                    out.tally.gap(reason);
                }
                sent
            }
        };
        if !sent {
            return false;
        }
    }
    true
}

fn lost(run: &Run, offset: Offset, reason: GapReason) -> Gap {
    let before = Offset::new(offset.get() - 1).unwrap_or_default();
    let place = |offset| Position { epoch: run.epoch, offset };
    Gap {
        channel: Some(run.channel.name().clone()),
        from: Some(place(before)),
        to: place(offset),
        exact: true,
        reason,
    }
}
