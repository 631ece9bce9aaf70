//! How a link finds its session.

use std::{net::SocketAddr, sync::Arc};

use throughline_link::{Opening as LinkOpening, Shape};
use throughline_wire::{
    ChannelName, ErrorCode, SessionId, Token, UpFrame,
    frame::{Hello, Resume},
};

use super::{Authenticating, GatewayPeer, Refusal, Stage, weight};
use crate::{
    admission::{Class, HORIZON_MS, Holder, Verdict, Wait},
    gateway::{
        authority::{Credentials, Denied, Identity},
        cell::Cell,
        clock,
        drain::Drain,
        limits::Said,
        signal::Wake,
        tickets::{Pass, Shown},
    },
    limits::Limit,
    session::{Ending, Goodbye, LinkId, LinkKind, LinkSpec, Opening, ResumeTag, Session, TokenKeys},
};

impl GatewayPeer {
    /// Has the credentials of a hello checked; [`bind`](Self::bind) goes on from there.
    pub(super) fn authenticate(
        &mut self,
        hello: Hello,
        opening: Vec<UpFrame>,
        named: Vec<ChannelName>,
        opening_bytes: usize,
    ) {
        // Whoever is new comes to the successor, which will ask. Who comes before the successor is there is asked here, and
        // gets a place.
        let drain = self.shared.drain().filter(|drain| !drain.is_about_to_change());
        if let Some(drain) = drain.filter(|_| hello.resume.is_none()) {
            let verdict = self.shared.turn_away(drain, Class::Newcomer, None);
            return self.turn_away(verdict, self.is_plain());
        }
        // Where no credentials get anybody a place any more, none are checked.
        let is_seen = hello.resume.is_some() || hello.slot.is_some();
        let verdict = if is_seen { None } else { self.shared.admission.lock().refuse_unseen(clock::now()) };
        if let Some(verdict) = verdict {
            self.shared.metrics.count_admission(Class::Newcomer, &verdict);
            if let Some(refusal) = refusal(verdict, self.is_plain()) {
                return self.close(refusal);
            }
        }
        let Stage::Waiting(request) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        self.patience = None;
        let mut request = *request;
        let credentials = Credentials {
            token: hello.auth.clone(),
            headers: std::mem::take(&mut request.headers),
            remote: request.remote,
        };
        let (shared, shown) = (Arc::clone(&self.shared), self.shared.next_credential());
        let outcome = Box::pin(async move { shared.authenticate(&credentials).await });
        self.stage = Stage::Authenticating(Box::new(Authenticating {
            request,
            hello,
            opening,
            named,
            pass: None,
            later: Vec::new(),
            opening_bytes,
            later_bytes: 0,
            shown,
            outcome,
        }));
        self.signal.set();
    }

    /// Goes on with somebody who is known already, by a ticket.
    fn recognise(&mut self, hello: Hello, named: Vec<ChannelName>, shown: Shown) {
        let Stage::Waiting(request) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        self.patience = None;
        let Shown { identity, pass } = shown;
        self.stage = Stage::Authenticating(Box::new(Authenticating {
            request: *request,
            hello,
            opening: Vec::new(),
            named,
            pass: Some(pass),
            later: Vec::new(),
            opening_bytes: 0,
            later_bytes: 0,
            shown: self.shared.next_credential(),
            outcome: Box::pin(std::future::ready(Ok(identity))),
        }));
        self.signal.set();
    }

    /// A client that says who it is by the address it called.
    pub(super) fn open_by_address(&mut self) {
        let Stage::Waiting(request) = &mut self.stage else { return };
        let LinkOpening::Address { channels, ticket, resume_tag } = &mut request.opening else { return };
        let (channels, ticket, tag) = (std::mem::take(channels), ticket.take(), resume_tag.take());
        let mut named =
            match channels.iter().map(|channel| ChannelName::parse(channel)).collect::<Result<Vec<_>, _>>() {
                Ok(named) => named,
                Err(code) => return self.close(Goodbye::ProtocolError(code)),
            };
        let (shown, tag) = match ticket {
            Some(ticket) => match self.shared.take_ticket(&ticket, tag.as_deref()) {
                Ok((shown, tag)) => (Some(shown), tag),
                Err(code) => return self.close(Goodbye::Ticket(code)),
            },
            None => (None, tag.and_then(|tag| ResumeTag::verify(&self.shared.session.keys, &tag))),
        };
        let held = tag.as_ref().and_then(|tag| self.shared.registry.find(tag.session));
        let resume = tag.map(|tag| Resume {
            token: Token::new(tag.session.to_string()), // proven by the tag; see `find`
            incarnation: tag.incarnation,
            after: tag.after,
            low: held.as_ref().map_or(1, |cell| cell.look(|session| session.received() + 1)),
            positions: tag.positions,
        });
        if let Some(positions) = resume.as_ref().and_then(|resume| resume.positions.as_ref()) {
            named.retain(|channel| !positions.contains_key(channel)); // they are taken up from there
        }
        let hello = Hello { instance: "address".into(), resume, ..Hello::default() };
        match shown {
            Some(shown) => self.recognise(hello, named, shown),
            None => self.authenticate(hello, Vec::new(), named, 0),
        }
    }

    /// The credentials were checked: opens a session, or goes on with the one that the hello names.
    pub(super) fn bind(&mut self, outcome: Result<Identity, Denied>) {
        let Stage::Authenticating(waiting) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        let identity = match outcome {
            Ok(identity) => identity,
            Err(denied) => return self.close(denied.goodbye()),
        };
        let Authenticating {
            request,
            hello,
            opening,
            named,
            pass,
            later,
            opening_bytes,
            later_bytes,
            shown,
            ..
        } = *waiting;
        let (bytes, remote) = (opening_bytes + later_bytes, request.remote);
        let plain = request.opening != LinkOpening::Message;
        let kind = match request.shape {
            _ if plain => LinkKind::PlainStream,
            Shape::Duplex => LinkKind::Duplex,
            Shape::DownStream => LinkKind::DownStream,
            Shape::Answer | Shape::Post => LinkKind::Answer,
        };
        let mut spec = LinkSpec::new(self.transport, self.codec, kind);
        spec.datagrams = request.datagrams && kind == LinkKind::Duplex;
        // Before anything is asked for: a hello that no session takes costs nobody a place.
        if let Err(goodbye) = spec.check(&hello) {
            return self.close(goodbye);
        }
        let mut reason = None;
        if let Some(resume) = &hello.resume {
            match self.find(resume, &identity, plain) {
                Ok(cell) => {
                    if let Some(goodbye) = self.overdue(&cell) {
                        return self.close(goodbye);
                    }
                    let is_draining = self.shared.is_draining();
                    if is_draining && hello.attach.is_none() && !plain {
                        let (delay_ms, spread_ms) = (HORIZON_MS, 0); // what stands is told its own time
                        return self.close(Goodbye::Drain { delay_ms, spread_ms });
                    }
                    if !is_draining && cell.look(|session| session.takes_up(&hello, resume, spec)) {
                        let holder = Some(Holder::Session(cell.id()));
                        if let Err(refusal) = self.admit(Class::Resume, holder, &hello, plain, false) {
                            return self.close(refusal);
                        }
                    }
                    let (now, expires_at_ms) = (clock::now(), identity.expires_at_ms);
                    let came_back: Result<_, Goodbye> = cell.change(|session| {
                        let link = session.handle_hello(now, &hello, resume, spec)?;
                        // Before what it asks for is authorised.
                        if cell.adopt(shown, identity.grants) {
                            session.renew_credentials(now, expires_at_ms);
                        }
                        Ok(link)
                    });
                    match came_back {
                        Ok(link) => {
                            cell.came_from(remote);
                            cell.change(|session| session.ask_for(named));
                            self.bound(cell, link, opening, later, false, bytes);
                        }
                        Err(goodbye) => {
                            // It was not asked for, so it is good for the hello with the positions.
                            let slot = hello.slot.clone().filter(|_| goodbye == Goodbye::Positions);
                            self.close(Refusal { goodbye, slot });
                        }
                    }
                    return;
                }
                // It has ended meanwhile, and its ticket opens no other.
                Err(_) if pass.is_some() => return self.close(Goodbye::Ticket(ErrorCode::TicketUsed)),
                Err(code) => {
                    self.shared.metrics.count_refusal(code);
                    reason = Some(code);
                }
            }
            if resume.positions.is_none() && !plain && !self.shared.is_draining() {
                // Asked for, so that the new session takes them up. The slot is good for the hello that has them.
                return self.close(Refusal { goodbye: Goodbye::Positions, slot: hello.slot.clone() });
            }
        }
        if let Some(drain) = self.shared.drain() {
            let (class, holder) =
                caller(self.genuine(&hello, reason, plain), identity.user.as_deref(), &hello);
            // Nothing is kept of a session that is not here: each time that its token is shown would take another place.
            let holder = holder.filter(|holder| !matches!(holder, Holder::Session(_)));
            let verdict = self.shared.turn_away(drain, class, holder);
            return self.turn_away(verdict, plain);
        }
        // C7: what lies behind a resume that failed means the old session.
        let opening = if reason.is_some() && !plain { Vec::new() } else { opening };
        if let Some(pass) = pass
            && let Err(code) = self.shared.spent_tickets.spend(clock::now().wall_ms, pass)
        {
            let is_full = code == ErrorCode::Overloaded;
            return self.close(if is_full { overload(code) } else { Goodbye::Ticket(code) });
        }
        match self.open(&hello, identity, spec, reason, pass, remote) {
            Ok((cell, link)) => {
                cell.change(|session| session.ask_for(named));
                self.bound(cell, link, opening, later, true, bytes);
            }
            Err(refusal) => {
                if let Some(pass) = pass {
                    self.shared.spent_tickets.give_back(pass);
                }
                self.close(refusal);
            }
        }
    }

    fn bound(
        &mut self,
        cell: Arc<Cell>,
        link: LinkId,
        opening: Vec<UpFrame>,
        later: Vec<UpFrame>,
        is_new: bool,
        bytes: usize,
    ) {
        let commands = opening.iter().chain(&later).map(weight).sum();
        self.charge(&cell, bytes, commands);
        cell.add_signal(link, Arc::clone(&self.signal));
        for frame in opening {
            self.pass_on(&cell, link, Ok(frame), is_new);
        }
        for frame in later {
            self.pass_on(&cell, link, Ok(frame), false);
        }
        // While the gateway drains whoever comes back gets what there is for it, and is told to leave behind that.
        if let Some(drain) = self.shared.drain() {
            self.shared.send_away(drain, &cell);
        }
        let tag_first = cell.look(|session| session.is_plain(link));
        self.stage = Stage::Bound { cell, link, more: true, tag_first };
    }

    fn open(
        &self,
        hello: &Hello,
        mut identity: Identity,
        spec: LinkSpec,
        reason: Option<ErrorCode>,
        pass: Option<Pass>,
        remote: Option<SocketAddr>,
    ) -> Result<(Arc<Cell>, LinkId), Refusal> {
        if self.shared.registry.len() >= self.shared.config.sessions {
            self.shared.limits.count(Limit::Sessions);
            return Err(overload(ErrorCode::TooManySessions).into());
        }
        if self.shared.broker.usage().is_crowded() {
            return Err(overload(ErrorCode::Overloaded).into());
        }
        let holding = match self.shared.limits.open(identity.user.as_deref(), remote) {
            Ok(holding) => holding,
            Err((limit, goodbye)) => {
                self.shared.limits.count(limit);
                return Err(goodbye.into());
            }
        };
        // Whoever owes too much is not heard by way of a new session either.
        if let Some(goodbye) = self.shared.limits.overdue(&Said::of(&holding)) {
            return Err(goodbye.into());
        }
        // Genuine, and its session is gone: after a crash these are the many.
        let resumed = self.genuine(hello, reason, spec.kind == LinkKind::PlainStream);
        let (class, holder) = caller(resumed, identity.user.as_deref(), hello);
        self.admit(class, holder, hello, spec.kind == LinkKind::PlainStream, true)?;
        let wake = Arc::new(Wake::default());
        let user = identity.user.clone();
        let opening = Opening {
            id: pass.map_or_else(|| SessionId::from_random(clock::random()), |pass| pass.session),
            user: identity.user.take(),
            payer: holding.payer().cloned(),
            info: identity.info.take(),
            credentials_end_at_ms: identity.expires_at_ms,
            config: Arc::clone(&self.shared.session),
            listener: Arc::clone(&wake) as _,
            reason,
        };
        let (mut session, link) = Session::open(clock::now(), opening, hello, spec)?;
        if let Some(before) = resumed {
            session.replace(before);
        }
        let cell = Cell::new(session, wake, holding, Arc::clone(&self.shared));
        cell.adopt(0, identity.grants); // nothing was shown to it before
        self.shared.registry.add(Arc::clone(&cell), user.as_deref());
        self.shared.metrics.count_opening();
        // A drain may have come and gone since it was asked about.
        let is_late = self.shared.drain().is_some_and(Drain::is_ending);
        cell.change(|session| {
            if is_late {
                session.end(Ending::Stopped);
            }
        }); // schedules its deadline and takes up its positions
        Ok((cell, link))
    }

    /// The session of a token that is genuine, and which is not held any more.
    fn genuine(&self, hello: &Hello, reason: Option<ErrorCode>, plain: bool) -> Option<SessionId> {
        let resume = hello.resume.as_ref().filter(|_| reason == Some(ErrorCode::SessionUnknown));
        resume.and_then(|resume| claimed(resume, plain))
    }

    /// Sends somebody away who may not come in while the gateway drains.
    fn turn_away(&mut self, verdict: Verdict, plain: bool) {
        let Some(Wait { delay_ms, spread_ms, slot }) = verdict.wait(plain) else { return };
        let slot = slot.map(|slot| slot.to_string().into());
        self.close(Refusal { goodbye: Goodbye::Drain { delay_ms, spread_ms }, slot });
    }

    /// Asks for a place for what a session costs to open or to take up again.
    ///
    /// By then a genuine token has been told from a forged one, and credentials have been checked; nothing has been
    /// allocated. A plain client can show no slot, so it gets none. Where a session is to be opened, the reconnect window
    /// is sized for it.
    fn admit(
        &self,
        class: Class,
        holder: Option<Holder<'_>>,
        hello: &Hello,
        plain: bool,
        is_new: bool,
    ) -> Result<(), Refusal> {
        let (now, keys, slot) = (clock::now(), &self.shared.session.keys, hello.slot.as_deref());
        let mut admission = self.shared.admission.lock();
        let (verdict, fault) = admission.ask(now, keys, class, holder.filter(|_| !plain), slot);
        if is_new {
            let sessions = self.shared.registry.len() as u64;
            self.shared.session.window.set_ms(admission.window_after(now, class, &verdict, sessions));
        }
        drop(admission);
        if let Some(fault) = fault {
            self.shared.metrics.count_slot_fault(fault);
        }
        self.shared.metrics.count_admission(class, &verdict);
        refusal(verdict, plain).map_or(Ok(()), Err)
    }

    fn is_plain(&self) -> bool {
        matches!(&self.stage, Stage::Waiting(request) if request.opening != LinkOpening::Message)
    }

    /// The session that a resume names, for this user.
    ///
    /// Where the client could only repeat a tag, its proof was checked when it was read, and the token is only the
    /// session's id.
    fn find(&self, resume: &Resume, identity: &Identity, plain: bool) -> Result<Arc<Cell>, ErrorCode> {
        let keys = &self.shared.session.keys;
        let user = identity.user.as_deref();
        let id = claimed(resume, plain).ok_or(ErrorCode::TokenInvalid)?;
        let held = self.shared.registry.find(id);
        let owner = held.as_ref().map(|cell| cell.look(|session| session.user().map(ToOwned::to_owned)));
        let of_another = owner.as_ref().is_some_and(|owner| owner.as_deref() != user);
        if !plain && keys.verify(&resume.token, user).is_none() {
            let genuine = owner.is_some_and(|owner| keys.verify(&resume.token, owner.as_deref()).is_some());
            return Err(if genuine { ErrorCode::UserMismatch } else { ErrorCode::TokenInvalid });
        }
        if of_another {
            return Err(ErrorCode::UserMismatch);
        }
        held.ok_or(ErrorCode::SessionUnknown)
    }
}

/// The session that a resume claims to name. Proves nothing.
fn claimed(resume: &Resume, plain: bool) -> Option<SessionId> {
    if plain { SessionId::parse(resume.token.reveal()) } else { TokenKeys::claimed_session(&resume.token) }
}

/// Before whom somebody goes, and to whom a slot can be made out.
fn caller<'a>(
    resumed: Option<SessionId>,
    user: Option<&'a str>,
    hello: &'a Hello,
) -> (Class, Option<Holder<'a>>) {
    match (resumed, user) {
        (Some(session), _) => (Class::Resume, Some(Holder::Session(session))),
        (None, Some(user)) => (Class::Newcomer, Some(Holder::User { user, instance: &hello.instance })),
        (None, None) => (Class::Newcomer, None),
    }
}

/// What a caller is told who has to wait.
fn refusal(verdict: Verdict, plain: bool) -> Option<Refusal> {
    let Wait { delay_ms, spread_ms, slot } = verdict.wait(plain)?;
    let goodbye = Goodbye::Overload { delay_ms, spread_ms, code: ErrorCode::Overloaded };
    Some(Refusal { goodbye, slot: slot.map(|slot| slot.to_string().into()) })
}

pub(super) const fn overload(code: ErrorCode) -> Goodbye {
    Goodbye::Overload { delay_ms: 1_000, spread_ms: 5_000, code }
}
