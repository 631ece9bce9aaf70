//! How a client speaks: hellos, posts, acknowledgements and commands, as the schedule lets it.

use bytes::{Bytes, BytesMut};
use throughline_wire::{
    Codec, Command, Json, Meta, Payload, Send, SubscribeFrom, UpFrame,
    frame::{ClientInfo, Commands, Hello, Resume, SessionName},
};

use super::{
    client::{Client, End, From, Said, What},
    network::Kind,
    schedule::{World, say},
    truth::Truth,
};

impl Client {
    /// The commands from `first` on, at most `most`.
    fn say(&mut self, first: u64, most: u64, truth: &Truth) -> Vec<Command> {
        let range = first..self.next_command.min(first.saturating_add(most));
        let mut items = Vec::new();
        for number in range {
            let Some(said) = self.commands.get_mut(&number).filter(|said| !said.is_replied) else {
                items.push(Command::Noop); // C2: its reply is known
                continue;
            };
            said.was_sent = true;
            items.push(said.what.command(truth));
        }
        items
    }

    fn commands(&mut self, first: u64, most: u64, ack: Option<u64>, truth: &Truth) -> Option<UpFrame> {
        let items = self.say(first, most, truth);
        match (items.is_empty(), ack) {
            (true, None) => None,
            (true, Some(up_to)) => Some(UpFrame::Ack { up_to }),
            (false, _) => Some(UpFrame::Commands(Commands { first, items, ack })),
        }
    }

    /// Whether a link works: it was attached, and nothing speaks against it.
    pub(super) fn has_attached(&self) -> bool {
        self.ends.iter().any(|end| end.kind != Kind::Post && end.attach.is_some())
    }

    pub(super) fn has_poll(&self) -> bool {
        self.ends.iter().any(|end| end.kind == Kind::Poll)
    }

    fn hello(&mut self, attach: Option<u64>, in_full: bool, truth: &Truth) -> Hello {
        let positions = |client: &Self| {
            client.stated().positions.map(|places| {
                places
                    .into_iter()
                    .map(|(channel, place)| {
                        let history = &truth.channels[channel];
                        (history.channel.name().clone(), history.position(place))
                    })
                    .collect()
            })
        };
        let resume = self.session.as_ref().map(|held| Resume {
            token: held.token.clone(),
            incarnation: held.incarnation,
            after: self.after,
            low: self.low(),
            positions: positions(self),
        });
        let client = in_full.then(|| ClientInfo { name: "model".into(), version: "1".into() });
        Hello { instance: self.instance.as_str().into(), attach, resume, client, ..Hello::default() }
    }
}

impl What {
    fn command(&self, truth: &Truth) -> Command {
        match self {
            Self::Send { uid } => {
                let text = format!("{{\"c\":{uid}}}");
                Command::Send(Send {
                    channel: truth.channels[0].channel.name().clone(),
                    name: None,
                    id: None,
                    meta: Meta::default(),
                    payload: Payload::Json(Json::parse(text.as_bytes()).expect("a JSON text")),
                })
            }
            Self::Subscribe { channel, from, presence, .. } => {
                let history = &truth.channels[*channel];
                let from = match from {
                    From::Now => SubscribeFrom::Now,
                    From::Last(count) => SubscribeFrom::Last(*count),
                    From::Place(place) => SubscribeFrom::Position(history.position(*place)),
                };
                let channel = history.channel.name().clone();
                Command::Subscribe { channel, from, token: None, presence: *presence }
            }
            Self::Unsubscribe { channel } => {
                Command::Unsubscribe { channel: truth.channels[*channel].channel.name().clone() }
            }
        }
    }
}

impl World {
    /// The application of a client wants something.
    pub(super) fn want(&mut self, index: usize) {
        let channel = self.random.within(0..=self.truth.channels.len() as u64 - 1) as usize;
        let history = &self.truth.channels[channel];
        let (head, held) = (history.head(), history.held() as u64);
        let (choice, count) = (self.random.within(0..=9), self.random.within(0..=6) as u32);
        let presence = self.random.chance(1, 2);
        let client = &mut self.clients[index];
        if client.unreplied() >= self.gateway.config.limits.commands_ahead + 2 {
            return;
        }
        let subscribe = |from| What::Subscribe { channel, from, issued: head, presence };
        let what = match choice {
            0..=4 => {
                self.sends += 1;
                What::Send { uid: self.sends }
            }
            5 | 6 => subscribe(From::Now),
            7 => subscribe(From::Last(count)),
            8 if self.random.chance(1, 2) => {
                let back = self.random.within(0..=held.min(head.offset) + 2).min(head.offset);
                subscribe(From::Place(super::truth::Place { offset: head.offset - back, ..head }))
            }
            _ => What::Unsubscribe { channel },
        };
        say!(self, "    k{index}: command {} {what:?}", client.next_command);
        if let What::Subscribe { presence: true, .. } = what {
            client.asked.insert(channel);
        }
        client.commands.insert(client.next_command, Said::new(what));
        client.next_command += 1;
    }

    /// A client opens a link.
    pub(super) fn connect(&mut self, index: usize, kind: Kind, is_probe: bool) {
        let codec = *self.random.pick(&[Codec::Json, Codec::Bincode]);
        let in_full = self.random.chance(1, 10);
        let most = *self.random.pick(&[0, 2, 64]);
        let client = &mut self.clients[index];
        let attach = (!is_probe).then_some(client.attach + 1);
        client.attach = attach.unwrap_or(client.attach);
        let hello = client.hello(attach, in_full, &self.truth);
        let was_resume = hello.resume.is_some();
        let stated = client.stated();
        let mut message = BytesMut::new();
        codec.encode_up(&UpFrame::Hello(Box::new(hello)), &mut message);
        let first = client.taken + 1;
        let mut sent = client.taken;
        if !is_probe {
            // C5: what opens a session carries no send.
            let most = if was_resume { most } else { client.before_first_send() };
            if let Some(commands) = client.commands(first, most, None, &self.truth) {
                if let UpFrame::Commands(commands) = &commands {
                    sent += commands.items.len() as u64;
                }
                codec.encode_up(&commands, &mut message);
            }
        }
        let conn = self.network.open(index, kind, codec, message.freeze());
        if let Some(conn) = self.network.conns.get_mut(&conn) {
            conn.is_resuming = was_resume;
        }
        let link = client.session.as_ref().filter(|_| kind == Kind::Poll).map(|held| held.link);
        // What `after` acknowledged counts for this link once it arrives; a probe states it again when it attaches.
        let acked = if is_probe { 0 } else { client.after };
        let (nonce, is_proven) = (None, false);
        say!(self, "    k{index}: c{conn} {kind:?} attach {attach:?} {stated:?}, first {first}, sent {sent}");
        client.ends.push(End {
            conn,
            kind,
            attach,
            was_resume,
            stated,
            link,
            nonce,
            is_proven,
            is_settled: true,
            acked,
            sent,
        });
    }

    /// A client writes what it owes: on a duplex link itself, beside others by a post.
    pub(super) fn flush(&mut self, index: usize, end: usize, eager: bool) {
        let may_attach = eager || self.random.chance(2, 3);
        let most = if eager { 64 } else { self.random.within(0..=5) };
        let speaks_early = self.random.chance(1, 4);
        let may_ack = eager || self.random.chance(2, 3);
        let client = &mut self.clients[index];
        let Some(held) = client.session.clone() else { return };
        let End { conn, kind, nonce, link, acked, sent, attach, is_proven, is_settled, .. } =
            client.ends[end].clone();
        if link.is_none() && (kind != Kind::Duplex || eager) {
            return; // nothing came down yet, and a post has to name the link
        }
        let mut frames = Vec::new();
        let by_post = kind != Kind::Duplex;
        if let Some(nonce) = nonce {
            frames.push(UpFrame::Pong { nonce: Some(nonce) });
            if !by_post {
                client.ends[end].nonce = None;
            }
        }
        let mut is_attached = attach.is_some();
        if kind != Kind::Poll && attach.is_none() && is_proven && may_attach {
            client.attach += 1;
            client.ends[end].attach = Some(client.attach);
            client.ends[end].acked = client.after;
            frames.push(UpFrame::Attach { number: client.attach, after: client.after });
            is_attached = true;
            client.ends[end].is_settled = !by_post;
        } else if let Some(number) = attach.filter(|_| !is_settled) {
            // L6: an attach by post that was not confirmed is said again.
            frames.push(UpFrame::Attach { number, after: client.after });
        }
        let owed = acked < client.after && may_ack && (is_attached || speaks_early);
        let ack = owed.then_some(client.after);
        let first = if by_post { client.taken + 1 } else { sent.max(client.taken) + 1 };
        let most = if is_attached || speaks_early { most } else { 0 };
        if let Some(commands) = client.commands(first, most, ack, &self.truth) {
            if let UpFrame::Commands(commands) = &commands
                && !by_post
            {
                client.ends[end].sent = first - 1 + commands.items.len() as u64;
            }
            frames.push(commands);
        }
        if frames.is_empty() {
            return;
        }
        say!(self, "    k{index}: c{conn} says {frames:?}");
        if !by_post {
            if is_attached {
                client.ends[end].acked = ack.unwrap_or(client.ends[end].acked);
            }
            let codec = self.network.conns.get(&conn).map_or(Codec::Json, |conn| conn.codec);
            self.network.write_up(conn, encode(codec, &frames));
            return;
        }
        let name =
            SessionName { token: held.token, incarnation: held.incarnation, link: link.unwrap_or(held.link) };
        frames.insert(0, UpFrame::Session(name));
        let codec = *self.random.pick(&[Codec::Json, Codec::Bincode]);
        let post = self.network.open(index, Kind::Post, codec, encode(codec, &frames));
        let stated = client.stated();
        client.ends.push(End {
            conn: post,
            kind: Kind::Post,
            attach: client.ends[end].attach,
            was_resume: false,
            stated,
            link,
            nonce,
            is_proven: false,
            is_settled: true,
            acked: ack.unwrap_or(0),
            sent: 0,
        });
    }

    /// A post was answered: what it said counts (L6).
    pub(super) fn confirm(&mut self, index: usize, post: &End) {
        for end in &mut self.clients[index].ends {
            if end.kind == Kind::Post || end.link != post.link {
                continue;
            }
            end.acked = end.acked.max(post.acked);
            end.is_settled |= end.attach == post.attach;
            if end.nonce == post.nonce {
                end.nonce = None;
            }
        }
    }

    /// A client is done.
    pub(super) fn say_bye(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.is_retired = true;
        if let Some(end) = client.ends.iter().find(|end| end.kind == Kind::Duplex) {
            let codec = self.network.conns.get(&end.conn).map_or(Codec::Json, |conn| conn.codec);
            self.network.write_up(end.conn, encode(codec, &[UpFrame::Bye]));
        }
        self.close_ends(index, None);
    }

    /// A page is loaded again: a new client object with what the old one stored (L9).
    pub(super) fn reload(&mut self, index: usize) {
        self.close_ends(index, None);
        self.clients[index].instance = format!("i{}", self.random.number());
    }

    /// A tab is duplicated: two client objects with one token.
    pub(super) fn copy(&mut self, index: usize) {
        if self.clients.len() >= 5 || self.clients[index].session.is_none() {
            return;
        }
        self.clients[index].is_copied = true;
        let mut copy = self.clients[index].clone();
        copy.instance = format!("i{}", self.random.number());
        copy.ends.clear();
        // Each intent is one client's: what never left stays where it was made.
        while copy.commands.last_entry().is_some_and(|last| !last.get().was_sent) {
            copy.commands.pop_last();
            copy.next_command -= 1;
        }
        copy.commands.values_mut().for_each(|said| said.is_replied |= !said.was_sent);
        say!(self, "    k{index} is copied as k{}", self.clients.len());
        self.clients.push(copy);
    }
}

impl Client {
    /// How many commands lie before the first `send`.
    fn before_first_send(&self) -> u64 {
        let sends = |said: &&Said| matches!(said.what, What::Send { .. });
        self.commands.values().take_while(|said| !sends(said)).count() as u64
    }
}

pub(super) fn encode(codec: Codec, frames: &[UpFrame]) -> Bytes {
    let mut message = BytesMut::new();
    for frame in frames {
        codec.encode_up(frame, &mut message);
    }
    message.freeze()
}
