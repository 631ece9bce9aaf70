//! What goes up: commands taken one by one, each once, and the frames that are no commands.

use hashbrown::HashSet;
use throughline_wire::{
    Command, ErrorCode, Item, MAX_INTEGER, Payload, Reply, UpFrame,
    frame::{self, ErrorFrame},
    item::Accepted,
    payload::Json,
};

use super::{
    Effect, Ending, LinkId, Now, Session, SubscribeRequest, UnsubscribeRequest, Via, link::Standing,
};

/// How far commands were taken, and what is known of their results.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// The last command taken in this incarnation.
    pub(super) received: u64,
    /// The last command ever taken: a `send` at or below it is not applied again (C3).
    pub(super) highest: u64,
    /// What ran ahead of its turn, by number.
    pub(super) ahead: Vec<(u64, Command)>,
    ahead_bytes: usize,
    /// `send`s whose reply is not known yet.
    pub(super) sending: HashSet<u64>,
    /// Replies that were owed when the session was rebuilt, until their command is taken again (C2).
    pub(super) answered: Vec<Reply>,
    /// Subscribes and unsubscribes under way.
    pub(super) subscribing: u64,
    /// The incarnation since which they count: those of before were asked for again.
    pub(super) asked_since: u64,
}

impl Session {
    /// Takes a frame of an established link, or of a post that names one.
    ///
    /// `opening` says that it lies in the message that opened the session.
    ///
    /// # Errors
    /// What to tell the client. The session lives on; the link does unless the error is fatal.
    pub fn handle_frame(
        &mut self,
        now: Now,
        via: Via,
        frame: UpFrame,
        opening: bool,
    ) -> Result<(), ErrorFrame> {
        if self.is_ended() {
            return Err(error(ErrorCode::SessionEnded));
        }
        let counts = matches!(frame, UpFrame::Commands(_) | UpFrame::Ack { .. });
        if counts && self.is_foreign(via.link()) {
            return Ok(());
        }
        match via {
            Via::Post(_) => self.establish(now), // the token came back
            Via::Link(id) => {
                // L1, L5, N2: what a superseded link still says may be of another numbering; what counts of it comes
                // again on the newest.
                let Some(index) = self.link_index(id) else { return Ok(()) };
                let link = &mut self.links[index];
                if link.standing == Standing::Fenced {
                    return Ok(());
                }
                link.is_quiet = false;
                if counts && link.needs_proof && !link.proven {
                    return Ok(()); // C7: it counts in the session that was not had
                }
            }
        }
        match frame {
            UpFrame::Commands(commands) => self.handle_commands(now, via, commands, opening),
            UpFrame::Ack { up_to } => self.handle_ack(now, up_to),
            UpFrame::Attach { number, after } => {
                self.handle_attach(now, via.link(), number, after).map_err(error)
            }
            UpFrame::Pong { nonce } => {
                self.handle_pong(now, via.link(), nonce);
                Ok(())
            }
            UpFrame::Ping { nonce } => {
                if let Some(index) = self.link_index(via.link()) {
                    self.links[index].outbox.pong = Some(nonce);
                    self.effects.push(Effect::Wake(via.link()));
                }
                Ok(())
            }
            UpFrame::Auth { token } => {
                self.effects.push(Effect::Authenticate { token });
                Ok(())
            }
            UpFrame::Bye => {
                if self.may_say_bye(via.link()) {
                    self.end(Ending::Bye);
                }
                Ok(())
            }
            UpFrame::Tried(tried) => {
                self.handle_tried(now, &tried);
                Ok(())
            }
            UpFrame::Volatile(said) => {
                self.handle_volatile(now, via, said);
                Ok(())
            }
            UpFrame::Hello(_) => Err(fatal(ErrorCode::HelloRepeated)),
            UpFrame::Session(_) => Err(fatal(ErrorCode::FrameNotAllowed)),
            UpFrame::Extension => Ok(()),
        }
    }

    /// Tells the client of a link what was wrong. A fatal error ends the link.
    pub fn report(&mut self, link: LinkId, error: ErrorFrame) {
        if let Some(index) = self.link_index(link) {
            self.links[index].outbox.report(error);
            self.links[index].outbox.answer = true;
            self.effects.push(Effect::Wake(link));
        }
    }

    /// Takes what ran ahead and has its turn now.
    pub(super) fn take_ahead(&mut self) {
        if self.leaving().is_some() {
            return self.wake_active(); // what it waits for may have come
        }
        while self.may_take() {
            let next = self.commands.received + 1;
            let Some(index) = self.commands.ahead.iter().position(|(number, _)| *number == next) else {
                return;
            };
            let (number, command) = self.commands.ahead.swap_remove(index);
            self.commands.ahead_bytes -= bytes(&command);
            self.take(number, command);
        }
    }

    fn handle_commands(
        &mut self,
        now: Now,
        via: Via,
        commands: frame::Commands,
        opening: bool,
    ) -> Result<(), ErrorFrame> {
        if let Some(up_to) = commands.ack {
            self.handle_ack(now, up_to)?;
        }
        if commands.first == 0 || commands.first + commands.items.len() as u64 > MAX_INTEGER {
            return Err(error(ErrorCode::NumberOutOfRange));
        }
        if let Via::Link(id) = via
            && let Some(index) = self.link_index(id)
        {
            let outbox = &mut self.links[index].outbox;
            outbox.ack = true;
            outbox.answer = true; // C9
            self.effects.push(Effect::Wake(id));
        }
        if opening && let Some(index) = commands.items.iter().position(|c| matches!(c, Command::Send(_))) {
            let mut refusal = error(ErrorCode::SendInOpening); // C5
            refusal.command = Some(commands.first + index as u64);
            return Err(refusal);
        }
        if self.leaving().is_some() {
            return Ok(()); // its client has them still, for whoever takes over
        }
        let mut ran_ahead = false;
        for (number, command) in (commands.first..).zip(commands.items) {
            if number == self.commands.received + 1 && self.may_take() {
                self.take(number, command);
            } else if number > self.commands.received {
                ran_ahead |= !self.keep_ahead(number, command);
            }
        }
        self.take_ahead();
        if ran_ahead { Err(error(ErrorCode::CommandsAhead)) } else { Ok(()) }
    }

    fn handle_ack(&mut self, now: Now, up_to: u64) -> Result<(), ErrorFrame> {
        if up_to >= self.journal.next() {
            return Err(error(ErrorCode::AckOutOfRange));
        }
        if up_to > 0 {
            self.establish(now); // it has something of this session
        }
        self.acknowledge(up_to);
        Ok(())
    }

    fn handle_pong(&mut self, now: Now, id: LinkId, nonce: Option<u64>) {
        let Some(index) = self.link_index(id) else { return };
        let link = &mut self.links[index];
        if nonce.is_some() && link.outbox.awaited_nonce == nonce {
            link.outbox.awaited_nonce = None;
            link.proven = true;
            self.establish(now);
        }
    }

    /// A `bye` of a link that was superseded is late, and ignored.
    fn may_say_bye(&self, id: LinkId) -> bool {
        match self.link_index(id) {
            Some(index) => self.links[index].standing != Standing::Fenced,
            None => self.active_link().is_none(),
        }
    }

    /// Whether another command may be taken: its reply has to find room (L15).
    fn may_take(&self) -> bool {
        let outstanding = self.journal.controls() as usize + self.pending.len();
        let running = self.commands.sending.len() as u64 + self.commands.subscribing;
        let limits = &self.config.limits;
        let crowded = self.config.crowded.is_set();
        let reserve = if crowded { limits.commands_ahead as usize } else { self.config.reserve_items };
        running < limits.commands_ahead
            && outstanding + (running as usize) < reserve
            && self.leaving().is_none()
    }

    /// Whether a link is another client object's probe (L4): until it attaches, what it says would be counted among the
    /// words of the one that works.
    fn is_foreign(&self, id: LinkId) -> bool {
        self.link_index(id).is_some_and(|index| self.links[index].instance != self.instance)
    }

    /// Keeps what ran ahead, within bounds; says whether it was kept.
    fn keep_ahead(&mut self, number: u64, command: Command) -> bool {
        let limits = &self.config.limits;
        let commands = &mut self.commands;
        if commands.ahead.iter().any(|(held, _)| *held == number) {
            return true;
        }
        let ahead_bytes = commands.ahead_bytes + bytes(&command);
        if number > commands.received + limits.commands_ahead || ahead_bytes as u64 > 4 * limits.message_bytes
        {
            return false;
        }
        commands.ahead_bytes = ahead_bytes;
        commands.ahead.push((number, command));
        true
    }

    /// C1: only `received + 1` gets here.
    fn take(&mut self, number: u64, command: Command) {
        self.commands.received = number;
        let again = number <= self.commands.highest;
        self.commands.highest = self.commands.highest.max(number);
        let incarnation = self.incarnation;
        let answered = &mut self.commands.answered;
        let waiting = answered.iter().position(|reply| reply.command == number);
        let waiting = waiting.map(|index| answered.swap_remove(index));
        match command {
            Command::Noop => {}
            Command::Unknown => {
                let result = Err(ErrorCode::Unsupported.into());
                self.push_item(Item::Reply(Reply { command: number, result }));
            }
            Command::Subscribe { channel, from, token, presence } => {
                self.commands.subscribing += 1;
                let command = Some(number);
                let request = SubscribeRequest { command, channel, from, token, presence, incarnation };
                // With nothing under way that could make room, a channel need not even be opened to be refused.
                if self.commands.subscribing == 1 && !self.has_room_for(&request.channel) {
                    return self.refuse_subscription(&request, ErrorCode::TooManySubscriptions.into());
                }
                self.effects.push(Effect::Subscribe(request));
            }
            Command::Unsubscribe { channel } => {
                self.commands.subscribing += 1;
                let request = UnsubscribeRequest { command: number, channel, incarnation };
                self.effects.push(Effect::Unsubscribe(request));
            }
            Command::Send(_) if again => self.answer_again(number, waiting),
            Command::Send(send) => {
                self.commands.sending.insert(number);
                self.effects.push(Effect::Send { command: number, send });
            }
        }
    }

    /// C3: a `send` that was applied before the session was rebuilt. Its reply waits, or will come; where it went
    /// to another client object, what is known is that it was applied.
    fn answer_again(&mut self, number: u64, waiting: Option<Reply>) {
        if self.commands.sending.contains(&number) {
            return;
        }
        self.push_item(Item::Reply(waiting.unwrap_or_else(|| duplicate(number))));
    }
}

impl Commands {
    /// Begins again after `received`: what ran ahead was numbered for another incarnation.
    pub(super) fn restart(&mut self, received: u64, most_answered: usize) {
        self.received = received;
        self.answered.retain(|reply| reply.command > received);
        self.bound_answered(most_answered);
        self.ahead = Vec::new();
        self.ahead_bytes = 0;
    }

    /// Keeps the replies that are wanted first. A client with gapless numbers is never owed more than the reserve (L15);
    /// one that states ever lower ones is told of the others that they were applied (C3).
    pub(super) fn bound_answered(&mut self, most: usize) {
        if self.answered.len() > most {
            self.answered.sort_unstable_by_key(|reply| reply.command);
            self.answered.truncate(most);
        }
    }
}

/// The reply to a `send` that is known to be applied, and no more.
pub(super) fn duplicate(command: u64) -> Reply {
    let payload = Json::parse(br#"{"duplicate":true}"#).map(Payload::Json).unwrap_or_default();
    Reply { command, result: Ok(Accepted { position: None, payload }) }
}

/// What a command that waits for its turn costs.
fn bytes(command: &Command) -> usize {
    let said = match command {
        Command::Send(send) => send.payload.len(),
        _ => 0,
    };
    said + size_of::<Command>()
}

fn error(code: ErrorCode) -> ErrorFrame {
    ErrorFrame { code, message: code.message().into(), command: None, fatal: false }
}

fn fatal(code: ErrorCode) -> ErrorFrame {
    ErrorFrame { fatal: true, ..error(code) }
}
