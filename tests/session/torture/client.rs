//! A client, written from the protocol alone: what it remembers, and what it makes of each message.
//!
//! It is strict where a client may be lenient: whatever the rules do not allow is a violation, told by a panic. How it
//! speaks is in [`speech`](super::speech).

use std::collections::{BTreeMap, BTreeSet};

use throughline_wire::{
    DownFrame, ErrorCode, Item, Payload, Reply, RetryReason, SessionId, Subscribed, Token, Unsubscribed,
    frame::{ErrorFrame, Items, Welcome},
};

use super::{
    coverage::{Coverage, Met},
    network::Kind,
    truth::{Place, Truth, number_in},
    view::View,
};

/// A client object.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) instance: String,
    pub(super) session: Option<Held>,
    /// The highest attach number that it used (L1).
    pub(super) attach: u64,
    /// The attach number of the last welcome that it followed (L12).
    followed: u64,
    /// The last item that it has.
    pub(super) after: u64,
    /// Each item of this incarnation that it has, from `seen_from` on.
    seen: Vec<Item>,
    seen_from: u64,
    /// The last command that it knows to be taken.
    pub(super) taken: u64,
    /// The number of its next command.
    pub(super) next_command: u64,
    /// Commands from the lowest without a reply on.
    pub(super) commands: BTreeMap<u64, Said>,
    pub(super) views: BTreeMap<usize, View>,
    /// Who takes part in which channel; `None`: it is to be told everybody first.
    pub(super) folds: BTreeMap<usize, Option<BTreeSet<SessionId>>>,
    /// The channels in whose presence it ever wanted to take part.
    pub(super) asked: BTreeSet<usize>,
    /// Whether it was asked for its positions.
    pub(super) is_asked: bool,
    /// Whether another client object has its token: their command numbers collide.
    pub(super) is_copied: bool,
    /// Whether it wants no more of this.
    pub(super) is_retired: bool,
    pub(super) ends: Vec<End>,
}

/// The session that a client believes to have.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: SessionId,
    pub(super) token: Token,
    pub(super) incarnation: u64,
    /// The link that was named last.
    pub(super) link: u64,
}

/// A command.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) what: What,
    /// Whether it ever left: only what never did may be numbered anew (C6).
    pub(super) was_sent: bool,
    pub(super) is_replied: bool,
}

/// What a command says.
#[derive(Clone, Debug)]
pub(super) enum What {
    Send { uid: u64 },
    Subscribe { channel: usize, from: From, issued: Place, presence: bool },
    Unsubscribe { channel: usize },
}

/// Where a subscription was asked to begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    Now,
    Last(u32),
    Place(Place),
}

/// The client's end of a connection.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) conn: usize,
    pub(super) kind: Kind,
    /// Its attach number; a probe has none yet.
    pub(super) attach: Option<u64>,
    pub(super) was_resume: bool,
    pub(super) stated: Stated,
    /// Its name at the gateway, once known.
    pub(super) link: Option<u64>,
    /// What to say back.
    pub(super) nonce: Option<u64>,
    /// Whether something came down it that can be confirmed.
    pub(super) is_proven: bool,
    /// Whether its attach arrived, as far as the client knows: one that went by post may be lost (L6).
    pub(super) is_settled: bool,
    /// What has been acknowledged on this link (L5).
    pub(super) acked: u64,
    /// The last command written to it.
    pub(super) sent: u64,
}

/// What a hello stated.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Stated {
    pub(super) after: u64,
    pub(super) low: u64,
    pub(super) positions: Option<BTreeMap<usize, Place>>,
}

/// What became of a connection by a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Open,
    /// Nothing more is wanted of this one.
    Close,
    /// A new session or incarnation: nothing is wanted of any other.
    CloseOthers,
    /// Nothing is wanted of any: attach again.
    CloseAll,
}

impl Client {
    pub(super) fn new(instance: String) -> Self {
        Self {
            instance,
            session: None,
            attach: 0,
            followed: 0,
            after: 0,
            seen: Vec::new(),
            seen_from: 1,
            taken: 0,
            next_command: 1,
            commands: BTreeMap::new(),
            views: BTreeMap::new(),
            folds: BTreeMap::new(),
            asked: BTreeSet::new(),
            is_asked: false,
            is_copied: false,
            is_retired: false,
            ends: Vec::new(),
        }
    }

    /// The lowest command without a reply.
    pub(super) fn low(&self) -> u64 {
        let unreplied = self.commands.iter().find(|(_, said)| !said.is_replied);
        unreplied.map_or(self.next_command, |(number, _)| *number)
    }

    /// How many commands have no reply.
    pub(super) fn unreplied(&self) -> u64 {
        self.commands.values().filter(|said| !said.is_replied).count() as u64
    }

    /// Whether commands that left for this session have no reply.
    pub(super) fn has_unreplied(&self, id: SessionId) -> bool {
        self.session.as_ref().is_some_and(|held| held.id == id)
            && self.commands.values().any(|said| said.was_sent && !said.is_replied)
    }

    /// What a hello would state now.
    pub(super) fn stated(&self) -> Stated {
        let positions =
            self.is_asked.then(|| self.views.iter().map(|(channel, view)| (*channel, view.place)).collect());
        Stated { after: self.after, low: self.low(), positions }
    }

    /// A frame came down one of its ends.
    pub(super) fn hear(
        &mut self,
        end: usize,
        frame: DownFrame,
        truth: &Truth,
        coverage: &mut Coverage,
    ) -> Verdict {
        match frame {
            DownFrame::Welcome(welcome) => self.hear_welcome(end, &welcome, coverage),
            DownFrame::Items(items) => self.hear_items(end, items, truth, coverage),
            DownFrame::Ack { up_to } => {
                self.hear_taken(up_to);
                Verdict::Open
            }
            DownFrame::Retry(retry) => self.hear_retry(end, retry.reason, retry.is_final),
            DownFrame::Error(error) => self.hear_error(end, &error),
            DownFrame::Ping { nonce, .. } => {
                if nonce.is_some() {
                    self.ends[end].nonce = nonce;
                    self.ends[end].is_proven = true;
                }
                Verdict::Open
            }
            DownFrame::Pong { .. } | DownFrame::Volatile(_) => Verdict::Open,
            other => panic!("the core says no {other:?}"),
        }
    }

    fn hear_welcome(&mut self, index: usize, welcome: &Welcome, coverage: &mut Coverage) -> Verdict {
        let end = &mut self.ends[index];
        assert!(end.was_resume || !welcome.resumed, "resumed, although nobody asked");
        assert_eq!(welcome.reason.is_some(), end.was_resume && !welcome.resumed, "why not resumed");
        end.link = Some(welcome.link);
        if end.attach.is_some_and(|attach| attach <= self.followed) {
            return Verdict::Close; // L12
        }
        let is_same = self.session.as_ref().is_some_and(|held| {
            welcome.resumed && held.id == welcome.session && held.incarnation == welcome.incarnation
        });
        let (attach, stated) = (end.attach, end.stated.clone());
        if let Some(held) = self.session.as_mut().filter(|_| welcome.resumed) {
            assert_eq!(held.token, welcome.token, "a token is stable");
            assert_eq!(held.id, welcome.session, "resumed, but another session");
        }
        if is_same {
            assert!(
                attach.is_none() || welcome.next > stated.after,
                "it has everything up to {}",
                stated.after
            );
            if let Some(held) = &mut self.session {
                held.link = welcome.link;
            }
            self.followed = attach.unwrap_or(self.followed);
            self.hear_taken(welcome.received);
            return Verdict::Open;
        }
        if welcome.resumed {
            assert!(stated.positions.is_some(), "rebuilt without positions (N3)");
            assert_eq!(welcome.next, stated.after + 1, "N3: next = after + 1");
            // What followed the hello may have been taken already.
            let received = welcome.received;
            assert!(received >= stated.low - 1, "N3: received = low - 1, not {received}, low {}", stated.low);
        } else {
            assert_eq!(welcome.next, 1, "a new session begins at one");
            assert!(!end.was_resume || welcome.received == 0, "C7: commands behind a resume that failed");
        }
        self.is_asked = self.session.is_some();
        if self.session.is_some() && stated != self.stated() {
            return Verdict::CloseAll; // N4: what was stated has moved
        }
        if welcome.resumed {
            coverage.met(Met::Rebuilt);
        } else {
            self.after = 0;
            if self.session.is_some() {
                self.number_anew();
            }
            self.is_copied = false;
        }
        self.session = Some(Held {
            id: welcome.session,
            token: welcome.token.clone(),
            incarnation: welcome.incarnation,
            link: welcome.link,
        });
        self.followed = attach.unwrap_or(self.followed);
        self.is_asked = false;
        self.seen.clear();
        self.seen_from = self.after + 1;
        self.taken = welcome.received;
        for view in self.views.values_mut() {
            view.is_confirmed = false;
        }
        self.take_part_again(welcome.resumed);
        let end = &mut self.ends[index];
        (end.acked, end.sent) = (self.after, self.taken);
        Verdict::CloseOthers
    }

    /// P8: positions do not say where it takes part, and what was taken away meanwhile may have taken the wish along.
    fn take_part_again(&mut self, is_resumed: bool) {
        for channel in self.folds.keys() {
            let Some(place) = self.views.get(channel).map(|view| view.place) else { continue };
            let (from, issued) = (From::Place(place), place);
            self.asked.insert(*channel);
            let what = What::Subscribe { channel: *channel, from, issued, presence: true };
            self.commands.insert(self.next_command, Said::new(what));
            self.next_command += 1;
        }
        if !is_resumed {
            self.folds.clear();
        }
        self.folds.values_mut().for_each(|fold| *fold = None);
    }

    /// C6: commands of a session that is gone. What may have been applied is not said again.
    fn number_anew(&mut self) {
        let old = std::mem::take(&mut self.commands);
        self.next_command = 1;
        for mut said in old.into_values() {
            let is_unknown = said.was_sent && matches!(said.what, What::Send { .. });
            if said.is_replied || is_unknown {
                continue;
            }
            said.was_sent = false;
            self.commands.insert(self.next_command, said);
            self.next_command += 1;
        }
    }

    /// L8: somebody else has its token. It goes on with positions, in a session of its own.
    fn leave(&mut self) {
        self.session = None;
        self.attach = 0;
        self.followed = 0;
        self.after = 0;
        self.is_asked = false;
        self.is_copied = false;
        self.taken = 0;
        self.seen.clear();
        self.seen_from = 1;
        self.number_anew();
        let views = std::mem::take(&mut self.views);
        let mut commands: Vec<Said> = views
            .into_iter()
            .map(|(channel, view)| {
                let (from, issued) = (From::Place(view.place), view.place);
                let presence = self.folds.contains_key(&channel);
                self.asked.extend(presence.then_some(channel));
                Said::new(What::Subscribe { channel, from, issued, presence })
            })
            .collect();
        commands.extend(std::mem::take(&mut self.commands).into_values());
        self.commands = (1..).zip(commands).collect();
        self.next_command = self.commands.len() as u64 + 1;
        self.folds.clear();
    }

    fn hear_taken(&mut self, up_to: u64) {
        let last = self.next_command - 1;
        let sent = self.commands.get(&up_to).is_none_or(|said| said.was_sent);
        assert!(self.is_copied || (up_to <= last && sent), "command {up_to} taken, {last} given");
        self.taken = self.taken.max(up_to.min(last));
    }

    fn hear_items(&mut self, end: usize, items: Items, truth: &Truth, coverage: &mut Coverage) -> Verdict {
        if let Some(up_to) = items.ack {
            self.hear_taken(up_to);
        }
        if let Some(attach) = self.ends[end].attach {
            self.followed = self.followed.max(attach);
        }
        for (number, item) in (items.first..).zip(items.items) {
            if number <= self.after {
                if let Some(seen) = number.checked_sub(self.seen_from) {
                    assert_unchanged(number, &self.seen[seen as usize], &item);
                }
                continue;
            }
            assert_eq!(number, self.after + 1, "L11: a number was skipped: {item:?}");
            self.after = number;
            self.hear_item(&item, truth, coverage);
            self.seen.push(item);
        }
        Verdict::Open
    }

    fn hear_item(&mut self, item: &Item, truth: &Truth, coverage: &mut Coverage) {
        match item {
            Item::Event(event) => {
                let channel = truth.index(&event.channel);
                let view = self.views.get_mut(&channel);
                let view = view.unwrap_or_else(|| panic!("{item:?}: not subscribed"));
                view.event(&truth.channels[channel], event);
            }
            Item::Gap(gap) => {
                let channel = truth.index(gap.channel.as_ref().expect("a gap of a channel"));
                let view = self.views.get_mut(&channel);
                let view = view.unwrap_or_else(|| panic!("{item:?}: not subscribed"));
                view.gap(&truth.channels[channel], gap, &truth.behind);
                Met::gap(gap).into_iter().for_each(|met| coverage.met(met));
            }
            Item::Subscribed(subscribed) => self.hear_subscribed(subscribed, truth),
            Item::Unsubscribed(unsubscribed) => self.hear_unsubscribed(unsubscribed, truth),
            Item::Reply(reply) => self.hear_reply(reply),
            Item::Presence(presence) => self.hear_presence(presence, truth, coverage),
            Item::Unknown => panic!("the core made an item that nobody knows"),
        }
    }

    fn hear_subscribed(&mut self, subscribed: &Subscribed, truth: &Truth) {
        let channel = truth.index(&subscribed.channel);
        let history = &truth.channels[channel];
        let view = self.views.get_mut(&channel);
        let Some(number) = subscribed.command else {
            self.folds.entry(channel).and_modify(|fold| *fold = None);
            return view.expect("nothing is taken up that was not stated").confirm(history, subscribed);
        };
        let asked = match self.commands.get(&number).map(|said| &said.what) {
            _ if self.is_copied => {
                self.folds.insert(channel, None); // whatever the other one wants
                (From::Place(history.place(subscribed.position)), history.head())
            }
            Some(What::Subscribe { channel: asked, from, issued, presence }) if *asked == channel => {
                self.folds.remove(&channel);
                if *presence {
                    self.folds.insert(channel, None);
                }
                (*from, *issued)
            }
            what => panic!("{subscribed:?} answers {what:?}"),
        };
        match view {
            Some(view) if view.is_confirmed => view.is_at(history, subscribed),
            Some(_) => panic!("{subscribed:?} before the position that was stated"),
            None => {
                let place = history.place(subscribed.position);
                assert_begins(asked.0, place, asked.1, history);
                self.views.insert(channel, View::granted(history, subscribed));
            }
        }
        self.replied(number);
    }

    fn hear_unsubscribed(&mut self, unsubscribed: &Unsubscribed, truth: &Truth) {
        let channel = truth.index(&unsubscribed.channel);
        let view = self.views.remove(&channel);
        self.folds.remove(&channel);
        assert!(view.is_some(), "{unsubscribed:?}: not subscribed");
        let Some(number) = unsubscribed.command else { return };
        let is_asked = matches!(
            self.commands.get(&number).map(|said| &said.what),
            Some(What::Unsubscribe { channel: asked }) if *asked == channel
        );
        assert!(is_asked || self.is_copied, "{unsubscribed:?}: nobody asked");
        self.replied(number);
    }

    fn hear_reply(&mut self, reply: &Reply) {
        let Some(said) = self.commands.get(&reply.command) else {
            assert!(self.is_copied, "{reply:?}: no such command, or replied twice");
            return;
        };
        assert!(!said.is_replied || self.is_copied, "{reply:?}: replied twice");
        match (&said.what, &reply.result) {
            (What::Send { uid }, Ok(accepted)) => {
                let Payload::Json(json) = &accepted.payload else { panic!("{reply:?}: not the model's") };
                if json.as_str() == "{\"duplicate\":true}" {
                    assert!(self.is_copied, "{reply:?}: its own answer is known, or will be");
                } else {
                    let answered = number_in(json.as_str(), "{\"c\":");
                    assert!(answered == *uid || self.is_copied, "{reply:?} answers another send than {uid}");
                }
            }
            (What::Send { uid }, Err(error)) => {
                assert!(*error.code == *format!("c{uid}") || self.is_copied, "{reply:?}: not for {uid}");
            }
            (What::Subscribe { .. }, Err(error)) => {
                let known = ["forbidden", "too_many_subscriptions"].contains(&&*error.code);
                assert!(known || self.is_copied, "{reply:?}");
            }
            (What::Unsubscribe { channel }, Err(error)) => {
                assert!(*error.code == *"not_subscribed" || self.is_copied, "{reply:?}");
                assert!(!self.views.contains_key(channel) || self.is_copied, "{reply:?}: it is held");
            }
            (_, Ok(_)) => assert!(self.is_copied, "{reply:?}: to something else"),
        }
        self.replied(reply.command);
    }

    fn replied(&mut self, number: u64) {
        if let Some(said) = self.commands.get_mut(&number) {
            assert!(said.was_sent || self.is_copied, "command {number} was never sent");
            assert!(!said.is_replied || self.is_copied, "command {number} was replied to twice");
            said.is_replied = true;
        }
        self.taken = self.taken.max(number.min(self.next_command - 1));
        while let Some(first) = self.commands.first_entry().filter(|first| first.get().is_replied) {
            first.remove();
        }
    }

    fn hear_retry(&mut self, end: usize, reason: RetryReason, is_final: bool) -> Verdict {
        match reason {
            RetryReason::Superseded if self.ends[end].attach == Some(self.attach) && self.attach > 0 => {
                assert!(self.is_copied, "superseded, although nobody else has its token");
                self.leave(); // L8: final for the newest
                return Verdict::CloseAll;
            }
            RetryReason::Positions => self.is_asked = true,
            RetryReason::ProtocolError => panic!("the model keeps the protocol"),
            _ => {}
        }
        if is_final {
            self.is_retired = true;
            return Verdict::CloseAll;
        }
        Verdict::Close
    }

    fn hear_error(&mut self, end: usize, error: &ErrorFrame) -> Verdict {
        match error.code {
            ErrorCode::CommandsAhead => {
                self.ends[end].sent = self.taken; // what was dropped is said again
                Verdict::Open
            }
            ErrorCode::TooManyLinks => Verdict::Open,
            ErrorCode::SessionEnded | ErrorCode::IncarnationMismatch => Verdict::Close,
            ErrorCode::AckOutOfRange if self.is_copied => Verdict::Open,
            _ => panic!("the model keeps the protocol, and is told {error:?}"),
        }
    }
}

impl Said {
    pub(super) const fn new(what: What) -> Self {
        Self { what, was_sent: false, is_replied: false }
    }
}

/// Whether a subscription begins where it was asked to; the head may have moved on since it was `issued`.
fn assert_begins(from: From, place: Place, issued: Place, history: &super::truth::History) {
    let head = history.head();
    match from {
        From::Now => {
            assert!(issued <= place && place <= head, "now is {place:?}, not {issued:?} to {head:?}")
        }
        From::Place(asked) => assert_eq!(place, asked, "the place that was asked for"),
        From::Last(count) => {
            let first = if issued.era == place.era { issued.offset } else { 0 };
            let reached = place.offset + u64::from(count);
            let is_short = place.offset == 0 || history.is_gone(place);
            assert!(
                place <= head && issued.era <= place.era,
                "the last {count} from {place:?}, head {head:?}"
            );
            assert!(reached >= first, "the last {count} of {first} begin at {place:?}");
            assert!(
                is_short || place.era < head.era || reached <= head.offset,
                "fewer than the last {count}"
            );
        }
    }
}

/// L14: a numbered item is the same whenever it comes, or, an event, the gap of exactly itself; on a link that was
/// slow the event may come after its gap.
fn assert_unchanged(number: u64, before: &Item, now: &Item) {
    if before == now {
        return;
    }
    let becomes_gap = match (before, now) {
        (Item::Event(event), Item::Gap(gap)) | (Item::Gap(gap), Item::Event(event)) => {
            gap.channel.as_ref() == Some(&event.channel) && gap.exact && gap.to.offset == event.offset
        }
        (Item::Gap(gap), Item::Gap(again)) => gap.channel == again.channel && gap.to == again.to,
        _ => false,
    };
    assert!(becomes_gap, "L14: item {number} was {before:?} and is {now:?}");
}
