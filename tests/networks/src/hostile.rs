//! The networks that are played: what is wrong from the start, and what goes wrong in mid-session.

use std::time::Duration;

use throughline_client::Transport;

use crate::faults::{Passage, Strike, TcpFaults, Upgrades, Whom};
use crate::line::Line;
use crate::network::Network;

/// A network with something wrong with it from the start.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// In a few words.
    pub name: &'static str,
    /// The way.
    pub line: Line,
    /// What middleboxes do.
    pub tcp: TcpFaults,
    /// What becomes of UDP.
    pub udp: Passage,
}

impl Hostile {
    fn new(name: &'static str, udp: Passage, upgrades: Upgrades) -> Self {
        Self { name, line: Line::default(), tcp: TcpFaults { upgrades, ..TcpFaults::default() }, udp }
    }

    fn holding_streams(mut self) -> Self {
        self.tcp.streams_held = true;
        self
    }

    fn over(mut self, line: Line) -> Self {
        self.line = line;
        self
    }

    /// Does to a network what is wrong.
    pub fn befall(&self, network: &Network) {
        network.meddle(self.tcp.clone(), self.udp);
    }
}

/// For cold starts.
pub fn from_the_start() -> Vec<Hostile> {
    use Passage::{Dropped, Open, Refused};
    let rough = Line { jitter: Duration::from_millis(20), loss: 0.02, reordered: 0.05, ..Line::default() };
    let narrow = Line { bytes_per_second: Some(32_000), ..Line::default() };
    vec![
        Hostile::new("nothing is wrong", Open, Upgrades::Open),
        Hostile::new("UDP dropped", Dropped, Upgrades::Open),
        Hostile::new("UDP refused (ICMP)", Refused, Upgrades::Open),
        Hostile::new("UDP dropped, upgrade never answered", Dropped, Upgrades::Unanswered),
        Hostile::new("UDP dropped, upgrade refused with 403", Dropped, Upgrades::Refused(403)),
        Hostile::new("UDP dropped, upgrade accepted, then silent", Dropped, Upgrades::Silenced),
        Hostile::new("UDP dropped, streams held back", Dropped, Upgrades::Open).holding_streams(),
        Hostile::new(
            "all but POST: UDP dropped, upgrade never answered, streams held back",
            Dropped,
            Upgrades::Unanswered,
        )
        .holding_streams(),
        Hostile::new(
            "all but POST: UDP refused, upgrade accepted, then silent, streams held back",
            Refused,
            Upgrades::Silenced,
        )
        .holding_streams(),
        Hostile::new("rough: 20 ms jitter, 2 % loss, 5 % reordered", Open, Upgrades::Open)
            .over(rough.clone()),
        Hostile::new("rough, and UDP dropped, upgrade never answered", Dropped, Upgrades::Unanswered)
            .over(rough),
        Hostile::new("narrow: 256 kbit/s", Open, Upgrades::Open).over(narrow),
    ]
}

/// What goes wrong while a session runs.
#[derive(Clone, Debug)]
pub struct Turn {
    /// In a few words.
    pub name: &'static str,
    /// What is wrong before, so that the session runs on `on`.
    pub before: Hostile,
    /// What it runs on then.
    pub on: Transport,
    /// What is done to what begins from now on, and to datagrams.
    after: Hostile,
    /// What is done to connections that stand.
    strike: Option<(Whom, Strike)>,
    /// Whether the UDP flows that there are are silenced.
    silences_flows: bool,
    /// How long an idle session is left alone after it, before something is published.
    pub quiet: Duration,
    /// The heartbeat of the gateway, and how long it holds a poll.
    pub heartbeat: Duration,
}

impl Turn {
    /// Does it.
    pub fn strike(&self, network: &Network) {
        self.after.befall(network);
        if let Some((whom, strike)) = self.strike {
            network.strike(whom, strike);
        }
        if self.silences_flows {
            network.udp.silence();
        }
    }

    /// Makes it as it was before. What was struck stays so.
    pub fn heal(&self, network: &Network) {
        self.before.befall(network);
    }
}

/// For sessions that run.
pub fn in_mid_session() -> Vec<Turn> {
    use Passage::{Dropped, Open, Refused};
    use Transport::{Polling, Sse, WebSocket, WebTransport};
    let open = Hostile::new("", Open, Upgrades::Open);
    let no_udp = Hostile::new("", Dropped, Upgrades::Open);
    let no_upgrade = Hostile::new("", Dropped, Upgrades::Refused(403));
    let only_post = Hostile::new("", Dropped, Upgrades::Refused(403)).holding_streams();
    let turn = |name, on, before: &Hostile, after: Hostile, strike| Turn {
        name,
        before: before.clone(),
        on,
        after,
        strike,
        silences_flows: false,
        quiet: Duration::ZERO,
        heartbeat: HEARTBEAT,
    };
    let switch = |on, before: &Hostile| Turn {
        silences_flows: true,
        ..turn(
            "the path falls silent, another works",
            on,
            before,
            before.clone(),
            Some((Whom::All, Strike::Silence)),
        )
    };
    let reset = |on, before: &Hostile| {
        turn("all connections reset", on, before, before.clone(), Some((Whom::All, Strike::Reset)))
    };
    let idle = |name, on, before: &Hostile, after| {
        let mut cutting = before.clone();
        cutting.tcp.idle_cut = Some(after);
        Turn { quiet: 4 * after, ..turn(name, on, before, cutting, None) }
    };
    let thirty = "idle connections cut after 6 s (30 s, scaled)";
    // What the client makes of it depends on times of its own, which are not scaled.
    let ten = |on, before: &Hostile| Turn {
        heartbeat: UNSCALED_HEARTBEAT,
        ..idle("idle connections cut after 10 s", on, before, Duration::from_secs(10))
    };
    let seconds = Duration::from_secs;
    let silenced = Hostile::new("", Dropped, Upgrades::Silenced);
    let unanswered = Hostile::new("", Dropped, Upgrades::Unanswered).holding_streams();
    vec![
        turn("UDP dropped", WebTransport, &open, no_udp.clone(), None),
        turn("UDP refused (ICMP)", WebTransport, &open, Hostile::new("", Refused, Upgrades::Open), None),
        switch(WebTransport, &open),
        turn(
            "UDP dropped, connections silent, upgrade never answered, streams held back",
            WebTransport,
            &open,
            unanswered.clone(),
            Some((Whom::All, Strike::Silence)),
        ),
        turn("WebSockets silenced", WebSocket, &no_udp, silenced, Some((Whom::Upgraded, Strike::Silence))),
        turn(
            "WebSockets silenced, upgrade never answered, streams held back",
            WebSocket,
            &no_udp,
            unanswered,
            Some((Whom::Upgraded, Strike::Silence)),
        ),
        switch(WebSocket, &no_udp),
        reset(WebSocket, &no_udp),
        turn("streams held back", Sse, &no_upgrade, only_post.clone(), None),
        switch(Sse, &no_upgrade),
        reset(Sse, &no_upgrade),
        switch(Polling, &only_post),
        reset(Polling, &only_post),
        idle(thirty, WebSocket, &no_udp, seconds(6)),
        idle(thirty, Sse, &no_upgrade, seconds(6)),
        idle(thirty, Polling, &only_post, seconds(6)),
        ten(WebSocket, &no_udp),
        ten(Polling, &only_post),
    ]
}

/// The heartbeat, and the hold of a poll: 15 s and 25 s unless configured, scaled so that a run has its end.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(3);
/// The same where it must not be.
pub(crate) const UNSCALED_HEARTBEAT: Duration = Duration::from_secs(15);
