//! `docs/networks.md`: what came of it, each cell against its bar.

use std::fmt::Write as _;
use std::time::Duration;

use throughline_client::Transport;

use crate::cold::ColdStart;
use crate::hostile::{HEARTBEAT, Hostile, Turn, UNSCALED_HEARTBEAT, from_the_start, in_mid_session};
use crate::ledger::Account;
use crate::line::Line;
use crate::midsession::MidSession;
use crate::peers::{PEERS, PeerRows, PeerStart, STUBS};
use crate::play::{Options, PAGES, Played, Plays, Side, ThroughProxy, WAYS, Way};

/// The document, and what is to be said of it in short.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The document.
    pub document: String,
    /// Cells that hold their bar.
    pub passes: usize,
    /// Those that miss it, or could not be played, in words.
    pub misses: Vec<String>,
    /// What was lost, doubled or reordered anywhere.
    pub account: Account,
}

impl Report {
    /// Writes it.
    pub fn of(plays: &Plays, options: &Options) -> Self {
        let mut report = Self::default();
        let line = Line::default();
        let (rtt, sessions) = (line.round_trip().as_millis(), options.sessions);
        report.line(INTRODUCTION);
        let mut sides = vec![("Rust", &plays.rust)];
        if let Some((version, side)) = &plays.chromium {
            report.line(&format!("{IN_A_PAGE}\nIt is {version}.\n"));
            sides.push(("Chromium", side));
        }
        report.line(&format!(
            "A round trip takes {rtt} ms. Times are in milliseconds: the median, and in brackets the least and the most of \
             {} rounds, {} where the network is rough.\n",
            options.rounds,
            2 * options.rounds
        ));
        if sides.iter().any(|(_, side)| !side.cold.is_empty()) {
            report.line("## Cold start\n");
            report.line(COLD);
            report.head(&["network"], &sides, &COLD_CELLS);
            for hostile in from_the_start() {
                let played = |side: &'_ Side| side.cold.iter().position(|(of, _)| of.name == hostile.name);
                report.row(&[hostile.name], &sides, COLD_CELLS.len(), |report, who, side| {
                    Some(report.cold(who, &hostile, &side.cold[played(side)?].1))
                });
            }
        }
        if sides.iter().any(|(_, side)| !side.mid.is_empty()) {
            report.line("\n## In mid-session\n");
            report.line(&format!(
                "{MID}\nThe heartbeat, and the hold of a poll, are {} s here, scaled down from 15 s and 25 s; but {} s where \
                 idle connections are cut after 10 s, for what a client makes of that depends on times which are not scaled. {sessions} sessions at once \
                 in each cell, {} in Chromium. A cell says how long it took the slowest to be healed, what the sessions ran on by then, and how long \
                 after the network was good again the slowest ran on its transport of before: the bar for that is one probe interval \
                 ({} s at first), and a second for the probe itself.\n",
                HEARTBEAT.as_secs(),
                UNSCALED_HEARTBEAT.as_secs(),
                sessions.min(PAGES),
                PROBE_INTERVAL.as_secs()
            ));
            report.head(&["on", "what happens"], &sides, &MID_CELLS);
            for turn in in_mid_session() {
                let (name, on) = (turn.name, turn.on);
                let played =
                    |side: &'_ Side| side.mid.iter().position(|(of, _)| of.name == name && of.on == on);
                report.row(&[on.name(), name], &sides, MID_CELLS.len(), |report, who, side| {
                    Some(report.mid(who, &turn, &side.mid[played(side)?].1))
                });
            }
        }
        if sides.iter().any(|(_, side)| !side.proxied.is_empty()) {
            report.line("\n## Real proxies\n");
            report.line(PROXIES);
            report.head(&["way", "version"], &sides, &PROXY_CELLS);
            for way in WAYS {
                let of = |side: &'_ Side| side.proxied.iter().position(|(of, _)| of.name == way.name);
                let version = sides.iter().find_map(|(_, side)| {
                    side.proxied[of(side)?].1.as_ref().ok().map(|through| through.version.clone())
                });
                let version = version.unwrap_or_default();
                report.row(&[way.name, &version], &sides, PROXY_CELLS.len(), |report, who, side| {
                    Some(report.proxied(who, way, &side.proxied[of(side)?].1, &line))
                });
            }
        }
        if let Some(peers) = &plays.peers {
            report.peers(plays, peers);
        }
        report.line("\n## What is missed\n");
        if report.misses.is_empty() {
            report.line("Nothing: every cell holds its bar.");
        }
        for miss in report.misses.clone() {
            report.line(&format!("- {miss}"));
        }
        report
    }

    fn line(&mut self, text: &str) {
        self.document.push_str(text);
        self.document.push('\n');
    }

    /// Judges a cell; returns what it says.
    fn judge(&mut self, holds: bool, cell: impl FnOnce() -> String) -> &'static str {
        if holds {
            self.passes += 1;
            return "PASS";
        }
        self.misses.push(cell());
        "MISS"
    }

    /// The head of a table that has the same cells for every client.
    fn head(&mut self, names: &[&str], sides: &[(&str, &Side)], cells: &[&str]) {
        let mut text = format!("| {} |", names.join(" | "));
        for (who, _) in sides {
            let _ = write!(text, " {who}: {} |", cells.join(" | "));
        }
        let rule = " --- |".repeat(names.len() + sides.len() * cells.len());
        self.line(&format!("{text}\n|{rule}"));
    }

    /// A row of it, unless no client played it.
    fn row(
        &mut self,
        names: &[&str],
        sides: &[(&str, &Side)],
        cells: usize,
        mut played: impl FnMut(&mut Self, &str, &Side) -> Option<Vec<String>>,
    ) {
        let of_all: Vec<_> = sides.iter().map(|(who, side)| played(self, who, side)).collect();
        if of_all.iter().all(Option::is_none) {
            return;
        }
        let mut text = format!("| {} |", names.join(" | "));
        for of_one in of_all {
            let mut of_one = of_one.unwrap_or_default();
            // One that could not be played has nothing but its bar.
            while of_one.len() < cells {
                of_one.insert(0, String::new());
            }
            let _ = write!(text, " {} |", of_one.join(" | "));
        }
        self.line(&text);
    }

    fn cold(&mut self, who: &str, hostile: &Hostile, played: &Played<ColdStart>) -> Vec<String> {
        let name = hostile.name;
        match played {
            Ok(cold) => {
                let holds = cold.is_within(&hostile.line);
                let first = first_event(cold);
                let bar = self.judge(holds, || {
                    format!(
                        "{who}, cold start, {name}: the first event after {first}, a POST after {}.",
                        cold.post
                    )
                });
                vec![cold.post.to_string(), first, chosen(cold), bar.to_owned()]
            }
            Err(error) => {
                vec![
                    self.judge(false, || format!("{who}, cold start, {name}: not played: {error}."))
                        .to_owned(),
                ]
            }
        }
    }

    fn mid(&mut self, who: &str, turn: &Turn, played: &[Played<Vec<MidSession>>; 2]) -> Vec<String> {
        let mut cells = Vec::new();
        let (mut holds, mut account, mut errors) = (true, Account::default(), Vec::new());
        for (played, load) in played.iter().zip(["busy", "idle"]) {
            let sessions = match played {
                Ok(sessions) => sessions,
                Err(error) => {
                    holds = false;
                    errors.push(format!("{load}: not played: {error}"));
                    cells.push(String::new());
                    continue;
                }
            };
            let slowest = |time: fn(&MidSession) -> Option<Duration>| {
                sessions
                    .iter()
                    .map(time)
                    .try_fold(Duration::ZERO, |most, time| time.map(|time| most.max(time)))
            };
            let (healed, back) = (slowest(|session| session.healed), slowest(|session| session.back));
            for session in sessions {
                account += session.down;
                account += session.up;
            }
            if healed.is_none_or(|healed| healed > HEALED_WITHIN) {
                holds = false;
                errors.push(format!("{load}: healed after {}", ms(healed)));
            }
            if back.is_none_or(|back| back > PROBE_INTERVAL + Duration::from_secs(1)) {
                holds = false;
                errors.push(format!("{load}: back after {}", ms(back)));
            }
            let mut on: Vec<_> =
                sessions.iter().map(|session| session.on.map_or("none", Transport::name)).collect();
            on.sort_unstable();
            on.dedup();
            cells.push(format!("{}, {}, {}", ms(healed), on.join(" and "), ms(back)));
        }
        if !account.is_clean() {
            errors.push(format!("items: {}", in_words(account)));
        }
        self.account += account;
        let bar = self.judge(holds && account.is_clean(), || {
            format!("{who}, mid-session, on {}, {}: {}.", turn.on, turn.name, errors.join("; "))
        });
        cells.extend([in_words(account), bar.to_owned()]);
        cells
    }

    fn proxied(&mut self, who: &str, way: &Way, played: &Played<ThroughProxy>, line: &Line) -> Vec<String> {
        let name = way.name;
        match played {
            Ok(through) => {
                let first = first_event(&through.cold);
                self.account += through.account;
                let holds = through.cold.is_within(line) && through.account.is_clean();
                let bar = self.judge(holds, || {
                    format!(
                        "{who}, through {name}: the first event after {first}, a POST after {}; items: {}.",
                        through.cold.post,
                        in_words(through.account)
                    )
                });
                vec![
                    through.cold.post.to_string(),
                    first,
                    chosen(&through.cold),
                    through.items.to_string(),
                    in_words(through.account),
                    format!("{} lines", through.log_lines),
                    bar.to_owned(),
                ]
            }
            Err(error) => {
                vec![self.judge(false, || format!("{who}, through {name}: not played: {error}.")).to_owned()]
            }
        }
    }
}

impl Report {
    /// Other systems beside ours: no bar is theirs.
    fn peers(&mut self, plays: &Plays, peers: &PeerRows) {
        self.line("\n## Other systems\n");
        self.line(PEERS_BESIDE);
        self.line(&format!("Versions: {}.\n", peers.versions.join(", ")));
        let names = PEERS
            .map(|peer| if STUBS.contains(&peer) { format!("{peer} (stub server)") } else { peer.to_owned() })
            .join(" | ");
        let rule = format!("| --- | --- |{}", " --- |".repeat(PEERS.len()));
        self.line(&format!("| first event on a cold start | ours | {names} |\n{rule}"));
        for (name, starts) in &peers.cold {
            let ours = plays.rust.cold.iter().find(|(hostile, _)| hostile.name == *name);
            let ours =
                ours.and_then(|(_, played)| played.as_ref().ok()).map_or_else(String::new, first_event);
            let mut text = format!("| {name} | {ours} |");
            for start in starts {
                let said = match start {
                    Ok(PeerStart { first_event: Some(first), failed: 0 }) => first.to_string(),
                    Ok(PeerStart { first_event: Some(first), failed }) => {
                        format!("{first}, {failed} without")
                    }
                    Ok(PeerStart { first_event: None, .. }) => "none in 15 s".to_owned(),
                    Err(error) => error.clone(),
                };
                let _ = write!(text, " {said} |");
            }
            self.line(&text);
        }
        self.line(&format!("\n| events flow again after | ours, busy | {names} |\n{rule}"));
        for (name, silences) in &peers.silences {
            let ours =
                plays.rust.mid.iter().find(|(turn, _)| turn.name == *name && turn.on == Transport::WebSocket);
            let ours = ours.and_then(|(_, [busy, _])| busy.as_ref().ok()).map(|sessions| {
                ms(sessions
                    .iter()
                    .map(|session| session.healed)
                    .try_fold(Duration::ZERO, |most, time| time.map(|time| most.max(time))))
            });
            let mut text = format!("| {name} | {} |", ours.unwrap_or_default());
            for silence in silences {
                let said = match silence {
                    Ok(Some(time)) => ms(Some(*time)),
                    Ok(None) => "not in 60 s".to_owned(),
                    Err(error) => error.clone(),
                };
                let _ = write!(text, " {said} |");
            }
            self.line(&text);
        }
    }
}

fn first_event(cold: &ColdStart) -> String {
    let failed = if cold.failed > 0 { format!(", {} without", cold.failed) } else { String::new() };
    cold.first_event.map_or_else(|| "none".to_owned(), |first| first.to_string()) + &failed
}

fn chosen(cold: &ColdStart) -> String {
    let chosen = cold.chosen.iter();
    if cold.chosen.len() == 1 {
        return chosen.map(|(name, _)| name.clone()).collect();
    }
    chosen.map(|(name, count)| format!("{name} ({count})")).collect::<Vec<_>>().join(", ")
}

fn in_words(account: Account) -> String {
    format!("{}, {}, {}", account.lost, account.doubled, account.reordered)
}

fn ms(time: Option<Duration>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.as_millis().to_string())
}

/// Within what time a silence in mid-session is healed.
const HEALED_WITHIN: Duration = Duration::from_secs(2);
/// How long a transport that failed once is left alone.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

const INTRODUCTION: &str = "# Hostile networks

Written by `cargo xtask networks`: every figure here is of one run of that command. What it plays is in
[`tests/networks`](../tests/networks/src/lib.rs).

The gateway is `throughline serve` as a process of its own; the client is the one in Rust as it is by default, with no
memory of what worked before. Between them is a network in user space (a TCP proxy and a UDP proxy at one port) that takes
its time, loses by a seed, and meddles as middleboxes do. A connection costs a round trip as on a real network: what the client
says first is held up by it. Whatever is compared goes over the same network in the same run, in turns.
";

const IN_A_PAGE: &str = "Beside it is the client in TypeScript, as it is by default with WebTransport beside its other transports, in a page of headless
Chromium, where it has to do with what a browser gives it: a fetch, a socket, six connections. Each page is in a context that
remembers nothing, and is of the gateway's own origin; it is handed to the browser by the side, so that no connection stands when the
client calls. The clock runs from `connect()` in a page that is loaded, and the POST beside it is a bare `fetch` by such a page. The
client is the bundle of the page at `/`, which V8 compiles while it arrives.
";

const COLD_CELLS: [&str; 4] = ["bare POST", "first event", "later runs on", "bar"];
const MID_CELLS: [&str; 4] = ["busy", "idle", "lost, doubled, reordered", "bar"];
const PROXY_CELLS: [&str; 7] =
    ["bare POST", "first event", "later runs on", "items", "lost, doubled, reordered", "its own log", "bar"];

const COLD: &str = "From nothing to the first event of a subscription, beside a bare HTTP POST on a fresh connection, which the gateway answers at
once. The bar: the median of the first event is at most that of the POST and half a round trip, whatever is blocked.
";

const MID: &str = "A session runs on its best transport, with an event every 20 ms and a command every 50 ms (busy), or with nothing (idle). Then the
fault strikes. The clock starts when something was due and stayed away: on a busy link the acknowledgement of the first command
after the strike, a round trip after it was sent; on an idle one the next heartbeat, one interval after the last. It stops at the first
event that was published after the strike: the bar is 2,000 ms. What went down and up is counted at the end; what was lost, doubled or
reordered has to be 0.
Where idle connections are cut, an idle session is left alone for four such times, and it is the event published then that is due.
";

const PROXIES: &str = "Each proxy is a process with a configuration made for it, as near as can be to the one that it comes with; UDP does not pass. A row counts
only if the proxy's own log has lines about it. A browser that has a proxy asks it for whole addresses, and for a tunnel only where it
is to speak TLS, so in its tunnels the gateway speaks TLS.
";

const PEERS_BESIDE: &str = "Their own clients in Node, as their documentation sets them up, over the same networks; a server says something at once, and every
100 ms. In mid-session the clock starts when the next of these was due. What they lose meanwhile is not counted: they promise nothing about
it. They do not use UDP, and each cold start is on connections of its own.

The servers of Socket.IO and of SockJS are their own too. Those of SignalR and of Centrifuge are no packages of npm: in their place is a
stub of the protocol, with the transports and the pings of the real one, so that what is measured is how their clients fall back and
what they take for silence, and not how their servers serve.
";
