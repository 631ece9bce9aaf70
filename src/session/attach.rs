//! How links come and go: opening, resuming, probing, attaching, fencing.

use std::sync::Arc;

use throughline_wire::{
    ErrorCode, Json, SessionId,
    frame::{Hello, Resume},
};

use super::{
    Commands, Credentials, Effect, Goodbye, Journal, LinkId, LinkKind, LinkSpec, Now, Parting, Phase,
    Session, SessionConfig, Tally,
    link::{Link, Outbox, Standing, WelcomeKind},
    presence::Presence,
};
use crate::{channel::Listener, limits::Meter};

/// What a new session begins with.
pub struct Opening {
    /// Its name: 128 random bits.
    pub id: SessionId,
    /// Whom its client was authenticated as.
    pub user: Option<Box<str>>,
    /// Whose limits it counts for: its user's, or those of the address of whoever is nobody. `None` where nobody counts it.
    pub payer: Option<Arc<Meter>>,
    /// What is told of that user to those who take part in the same channels, in at most 1,024 bytes.
    pub info: Option<Json>,
    /// When the credential of that user ends, in milliseconds since the Unix epoch; `None` for never.
    pub credentials_end_at_ms: Option<u64>,
    /// The gateway's settings.
    pub config: Arc<SessionConfig>,
    /// Who is told that a channel of the session has more.
    pub listener: Arc<dyn Listener>,
    /// Why the resume that was asked for is not had.
    pub reason: Option<ErrorCode>,
}

impl Session {
    /// Opens a session on its first link.
    ///
    /// Where the client stated positions, of a session that is not held any more, they are taken up: the channels
    /// are asked for by [`Effect::Subscribe`] without a command.
    ///
    /// # Errors
    /// The goodbye that the link is to be told, where the hello is not one that can open a session.
    pub fn open(
        now: Now,
        opening: Opening,
        hello: &Hello,
        spec: LinkSpec,
    ) -> Result<(Self, LinkId), Goodbye> {
        let attach = attach_number(hello, spec, 0)?;
        let until_ms = now.mono_ms + opening.config.provisional_ms;
        let presence = opening
            .info
            .map(|info| Box::new(Presence::new(opening.id, opening.user.clone(), Some(info), false)));
        let mut session = Self {
            id: opening.id,
            user: opening.user,
            payer: opening.payer,
            config: opening.config,
            listener: opening.listener,
            phase: Phase::Provisional { until_ms },
            credentials: Credentials::new(now, opening.credentials_end_at_ms),
            incarnation: 1,
            instance: hello.instance.clone(),
            attach: attach.unwrap_or(0),
            links: Vec::new(),
            next_link: 1,
            subscriptions: Vec::new(),
            pace: 0,
            is_between_polls: false,
            is_lost: false,
            life_events: 0,
            is_window_full: false,
            scan_from: 0,
            journal: Journal::after(0),
            slid: 0,
            pending: std::collections::VecDeque::new(),
            commands: Commands::default(),
            effects: Vec::new(),
            tally: Tally::default(),
            aside: None,
            presence,
        };
        if let Some(positions) = hello.resume.as_ref().and_then(|resume| resume.positions.as_ref()) {
            session.take_up(positions);
        }
        session.ask_for_user_channel(hello.resume.as_ref().and_then(|resume| resume.positions.as_ref()));
        let standing = if attach.is_some() { Standing::Active } else { Standing::Probe };
        let id = session.add_link(now, hello, spec, standing, WelcomeKind::Opened(opening.reason));
        // C7: what follows a resume that failed, in this message or in later ones, still means the old session.
        if let Some(link) = session.links.last_mut() {
            link.needs_proof = hello.resume.is_some() && !spec.kind.is_plain();
        }
        if spec.kind.is_plain() {
            session.establish(now); // it can show nothing until it comes back
        }
        Ok((session, id))
    }

    /// A client comes back: by an attach where the hello has a number, as a probe where it has none.
    ///
    /// # Errors
    /// The goodbye that the link is to be told; the rest of its message is to be ignored. Nothing has changed then.
    pub fn handle_hello(
        &mut self,
        now: Now,
        hello: &Hello,
        resume: &Resume,
        spec: LinkSpec,
    ) -> Result<LinkId, Goodbye> {
        if self.is_ended() {
            return Err(Goodbye::Gone);
        }
        let number = attach_number(hello, spec, self.attach)?;
        let Some(number) = number else {
            return self.probe(now, hello, resume, spec);
        };
        let repeated = number == self.attach && self.is_repetition(hello, spec);
        if number <= self.attach && !repeated {
            return Err(Goodbye::Superseded); // L1
        }
        if self.must_rebuild(hello, resume) {
            let Some(positions) = &resume.positions else {
                if !spec.kind.is_plain() {
                    return Err(Goodbye::Positions); // N3
                }
                self.rebuild_behind_a_gap(now.mono_ms, resume);
                return Ok(self.attach_hello(now, hello, number, spec, repeated));
            };
            self.rebuild(now.mono_ms, resume, positions);
            return Ok(self.attach_hello(now, hello, number, spec, repeated));
        }
        self.slow_down(resume.after);
        self.acknowledge(resume.after); // L4: after this the re-send begins at max(after, acked) + 1
        Ok(self.attach_hello(now, hello, number, spec, repeated))
    }

    /// The frame `attach` on a probe: it displaces the link that works (L10).
    ///
    /// # Errors
    /// [`ErrorCode::FrameNotAllowed`] while nothing that was sent down the link has been confirmed.
    pub(super) fn handle_attach(
        &mut self,
        now: Now,
        id: LinkId,
        number: u64,
        after: u64,
    ) -> Result<(), ErrorCode> {
        let Some(index) = self.link_index(id) else {
            return Ok(()); // L8: of a link that is gone; nothing to promote
        };
        let link = &self.links[index];
        if link.standing == Standing::Fenced {
            return Ok(()); // N4: it is told so already
        }
        if !link.spec.kind.is_stream() || link.spec.kind.is_plain() || !link.proven {
            return Err(ErrorCode::FrameNotAllowed);
        }
        if number <= self.attach {
            // L1; but by a post it may be said again (L6), or late, of the link that took over by it already.
            if link.standing != Standing::Active {
                self.say_goodbye(index, Goodbye::Superseded);
            }
            return Ok(());
        }
        let copied = link.instance != self.instance; // L4
        if after >= self.journal.next() || after < self.slid || copied {
            self.say_goodbye(index, Goodbye::Positions);
            return Ok(());
        }
        self.slow_down(after);
        self.acknowledge(after);
        self.instance = self.links[index].instance.clone();
        self.attach = number;
        self.fence(id, Fence::default());
        let (next, heartbeat_ms) = (self.journal.floor() + 1, self.config.heartbeat_ms);
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return Ok(()) };
        link.standing = Standing::Active;
        link.next = next; // L3
        link.due_ms = now.mono_ms + heartbeat_ms;
        link.is_quiet = false;
        self.effects.push(Effect::Wake(id));
        self.go_on_living();
        self.appear();
        Ok(())
    }

    /// Whether this hello takes the session up again, after it lost its link or under new numbers. That is what a
    /// gateway limits.
    ///
    /// Whoever comes beside a link that works does not: it probes, or moves. Nor does a poll whose predecessor was
    /// answered: it goes on. Nor whoever is told at once to come back otherwise: that is cheap, and the next hello counts.
    pub fn takes_up(&self, hello: &Hello, resume: &Resume, spec: LinkSpec) -> bool {
        let rebuilds = hello.attach.is_some() && self.must_rebuild(hello, resume);
        if self.is_ended() || (rebuilds && resume.positions.is_none() && !spec.kind.is_plain()) {
            return false;
        }
        if hello.attach.is_some_and(|number| number <= self.attach) {
            return false; // L1, or L2: the same poll once more
        }
        rebuilds || (self.active_link().is_none() && !self.is_between_polls)
    }

    /// A link is gone. What was written to it may be lost; what is not acknowledged will be sent again.
    pub fn handle_link_lost(&mut self, now: Now, id: LinkId, parting: Parting) {
        let Some(index) = self.link_index(id) else { return };
        let goodbye = self.links[index].outbox.goodbye; // it was on its way
        self.remove_link(now, index, goodbye.map_or(parting.as_str(), Goodbye::as_str));
    }

    pub(super) fn remove_link(&mut self, now: Now, index: usize, outcome: &'static str) {
        let link = self.links.swap_remove(index);
        self.note_end(now, &link, outcome);
        if self.links.is_empty() {
            self.links = Vec::new();
        }
        if link.standing == Standing::Active {
            self.is_between_polls =
                link.spec.kind == LinkKind::Answer && outcome == Parting::Answered.as_str();
        }
        if link.standing == Standing::Active
            && self.active_link().is_none()
            && let Phase::Established { detached_ms } = &mut self.phase
        {
            *detached_ms = now.mono_ms;
            self.journal.shrink();
        }
    }

    /// Tells a link to end, and why. The first reason stands.
    pub(super) fn say_goodbye(&mut self, index: usize, goodbye: Goodbye) {
        let link = &mut self.links[index];
        link.outbox.goodbye.get_or_insert(goodbye);
        self.effects.push(Effect::Wake(link.id));
    }

    /// Begins again with small batches where something did not arrive: it may have been too large to get through.
    fn slow_down(&mut self, after: u64) {
        if after + 1 < self.journal.next() {
            self.pace = 0;
        }
    }

    /// Books an acknowledgement of this incarnation's numbers.
    pub(super) fn acknowledge(&mut self, up_to: u64) {
        let before = self.journal.floor();
        self.journal.acknowledge(up_to);
        self.journal.shrink();
        let newly = self.journal.floor() - before;
        if newly > 0 {
            self.tally.items_acknowledged += newly as u32;
            self.wake_active(); // the window may have opened
            self.take_ahead(); // and so may the reserve
        }
    }

    fn probe(&mut self, now: Now, hello: &Hello, resume: &Resume, spec: LinkSpec) -> Result<LinkId, Goodbye> {
        // A probe must not rebuild what works; a poll with positions does.
        if resume.incarnation != self.incarnation {
            return Err(Goodbye::Positions);
        }
        if self.links.len() >= self.config.links {
            let code = ErrorCode::TooManyLinks;
            return Err(Goodbye::Overload { delay_ms: 1_000, spread_ms: 1_000, code });
        }
        let id = self.add_link(now, hello, spec, Standing::Probe, WelcomeKind::Resumed);
        self.establish(now);
        Ok(id)
    }

    /// L2: an equal number is the same poll, repeated by an intermediary.
    fn is_repetition(&self, hello: &Hello, spec: LinkSpec) -> bool {
        let answers = |link: &Link| link.standing != Standing::Active || !link.spec.kind.is_stream();
        spec.kind == LinkKind::Answer && hello.instance == self.instance && self.links.iter().all(answers)
    }

    fn attach_hello(
        &mut self,
        now: Now,
        hello: &Hello,
        number: u64,
        spec: LinkSpec,
        repeated: bool,
    ) -> LinkId {
        // Whoever attaches from another client object, or asks, is told everything.
        let known = hello.instance == self.instance && hello.client.is_none();
        let rebuilt = hello.resume.as_ref().is_none_or(|resume| resume.incarnation != self.incarnation);
        self.instance = hello.instance.clone();
        self.attach = number;
        let welcome = if known { WelcomeKind::Resumed } else { WelcomeKind::ResumedInFull };
        let id = self.add_link(now, hello, spec, Standing::Active, welcome);
        self.establish(now);
        if let Some(link) = self.links.last_mut()
            && spec.kind == LinkKind::Answer
            && known
            && !rebuilt
        {
            link.outbox.welcome = None; // a poll that goes on says nothing twice
        }
        self.fence(id, Fence { repeated, rebuilt });
        self.go_on_living();
        self.appear();
        id
    }

    /// L7: an attach ends every older link at once, also one that still seems alive. Probes stand by.
    fn fence(&mut self, newest: LinkId, fence: Fence) {
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            let stands_by = link.standing == Standing::Probe && !fence.rebuilt;
            if link.id == newest || link.standing == Standing::Fenced || stands_by {
                continue;
            }
            let was_probe = link.standing == Standing::Probe;
            link.standing = Standing::Fenced;
            link.outbox.welcome = None; // it would name the numbers of whoever took over
            if fence.repeated && !was_probe {
                link.outbox.answer = true; // L2: the earlier copy is answered empty, never `superseded`
                let wake = Effect::Wake(link.id);
                self.effects.push(wake);
            } else {
                // L8, N4: a probe has no number that could be superseded; a client that is about to give it one would
                // take the word for its newest. It is to state its positions.
                let goodbye = if was_probe { Goodbye::Positions } else { Goodbye::Superseded };
                self.say_goodbye(index, goodbye);
            }
        }
    }

    /// A link that was fenced and cannot even be told so, since its client does not read, is not kept for ever.
    fn forget_stalled_links(&mut self) {
        if self.links.len() >= 2 * self.config.links
            && let Some(oldest) = self.links.iter().position(|link| link.standing == Standing::Fenced)
        {
            self.links.remove(oldest);
        }
    }

    fn add_link(
        &mut self,
        now: Now,
        hello: &Hello,
        spec: LinkSpec,
        standing: Standing,
        welcome: WelcomeKind,
    ) -> LinkId {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        self.forget_stalled_links();
        let mut outbox = Outbox { welcome: Some(welcome), ..Outbox::default() };
        if spec.kind.is_stream() && !spec.kind.is_plain() {
            outbox.ping = Some(Some(id.0)); // L10: something to confirm
        }
        let wait_ms = match (spec.kind, standing) {
            (LinkKind::Answer, _) => self.config.poll_hold_ms,
            (_, Standing::Probe) => self.config.probe_ms,
            (_, Standing::Active | Standing::Fenced) => self.config.heartbeat_ms,
        };
        if self.links.is_empty() {
            self.links.reserve_exact(1); // most sessions never have two
        }
        self.links.push(Link {
            id,
            spec,
            standing,
            instance: hello.instance.clone(),
            next: self.journal.floor() + 1, // L3
            opened_ms: now.mono_ms,
            due_ms: now.mono_ms + wait_ms,
            proven: false,
            needs_proof: false,
            is_quiet: true,
            outbox,
        });
        self.effects.push(Effect::Wake(id));
        id
    }
}

/// What an attach is, beside newer.
#[derive(Clone, Copy, Default)]
struct Fence {
    /// The same poll once more (L2).
    repeated: bool,
    /// Under new numbers: probes count in the old ones (N4).
    rebuilt: bool,
}

impl LinkSpec {
    /// Whether a session can be opened or taken up by this hello on such a link, as far as that can be told without one.
    ///
    /// # Errors
    /// The goodbye that the link is to be told.
    pub fn check(self, hello: &Hello) -> Result<(), Goodbye> {
        attach_number(hello, self, 0).map(drop)
    }
}

/// The attach number of a hello: the client's own, or the gateway's for a client that cannot count.
fn attach_number(hello: &Hello, spec: LinkSpec, highest: u64) -> Result<Option<u64>, Goodbye> {
    match (spec.kind, hello.attach) {
        (LinkKind::PlainStream, _) => Ok(Some(highest + 1)),
        (LinkKind::Answer, None) => Err(Goodbye::ProtocolError(ErrorCode::HelloRequired)),
        (_, Some(0)) => Err(Goodbye::ProtocolError(ErrorCode::NumberOutOfRange)),
        (_, number) => Ok(number),
    }
}
