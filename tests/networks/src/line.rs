//! How long the way takes, and what gets lost on it. Pure: time comes in, times of arrival come out.
//!
//! One direction of one connection (TCP) or flow (UDP) is a [`Course`], drawn from the [`Line`]'s seed and its own number,
//! so that a run can be repeated. For UDP a course loses, delays and overtakes datagrams. TCP hides all three, and what
//! remains of them is time: a lost segment arrives a retransmission later, and so does all that is behind it.

use std::time::{Duration, Instant};

use crate::random::Random;

/// The way between a client and what it calls.
#[derive(Clone, Debug)]
pub struct Line {
    /// How long a byte travels, one way. A round trip is twice that. Default: 25 ms.
    pub delay: Duration,
    /// How much longer it may take, evenly drawn for each piece. Default: nothing.
    pub jitter: Duration,
    /// The share of packets that are lost, 0 to 1. Default: 0.
    pub loss: f64,
    /// The share of datagrams that are held up long enough for later ones to overtake them, 0 to 1; UDP only.
    /// Default: 0.
    pub reordered: f64,
    /// How many bytes fit through in a second, each way and for each connection. Default: any number.
    pub bytes_per_second: Option<u64>,
    /// What chance is drawn from.
    pub seed: u64,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(25),
            jitter: Duration::ZERO,
            loss: 0.0,
            reordered: 0.0,
            bytes_per_second: None,
            seed: 1,
        }
    }
}

impl Line {
    /// A way that takes no time: for tests of everything else.
    pub fn instant() -> Self {
        Self { delay: Duration::ZERO, ..Self::default() }
    }

    /// A round trip, jitter left out.
    pub fn round_trip(&self) -> Duration {
        2 * self.delay
    }

    /// Whether chance has a part in how long it takes.
    pub fn is_rough(&self) -> bool {
        !self.jitter.is_zero() || self.loss > 0.0
    }

    /// What the handshake of the `number`-th TCP connection takes: a round trip, and a second more for each time that one
    /// of its two packets is lost (RFC 6298, section 2: the first retransmission timeout).
    pub(crate) fn handshake(&self, number: u64) -> Duration {
        let mut random = Random::of(self.seed, number << 2 | 2);
        let mut takes = self.round_trip() + self.jitter.mul_f64(random.fraction());
        let mut timeout = FIRST_TIMEOUT;
        while timeout < 8 * FIRST_TIMEOUT && (random.chance(self.loss) || random.chance(self.loss)) {
            takes += timeout;
            timeout *= 2;
        }
        takes
    }

    /// One direction of the `number`-th connection or flow.
    pub(crate) fn course(&self, number: u64, up: bool) -> Course {
        let random = Random::of(self.seed, number << 2 | u64::from(up));
        Course { line: self.clone(), random, free: None, last: None }
    }
}

/// One direction of a connection or flow.
#[derive(Debug)]
pub(crate) struct Course {
    line: Line,
    random: Random,
    /// When the way has let through what was sent before.
    free: Option<Instant>,
    /// When what was sent before arrives: on a TCP connection nothing arrives earlier.
    last: Option<Instant>,
}

impl Course {
    /// When bytes of a TCP connection arrive that are sent `now`.
    pub(crate) fn stream(&mut self, now: Instant, bytes: usize) -> Instant {
        let mut arrives = self.through(now, bytes) + self.late();
        for _ in 0..bytes.div_ceil(SEGMENT_BYTES) {
            if self.random.chance(self.line.loss) {
                arrives += RETRANSMISSION_TIMEOUT.max(self.line.round_trip());
            }
        }
        let arrives = arrives.max(self.last.unwrap_or(arrives));
        self.last = Some(arrives);
        arrives
    }

    /// When a datagram arrives that is sent `now`; never, if it is lost.
    pub(crate) fn datagram(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let through = self.through(now, bytes);
        let is_lost = self.random.chance(self.line.loss);
        let mut arrives = through + self.late();
        if self.random.chance(self.line.reordered) {
            arrives += self.line.delay.max(Duration::from_millis(1)).mul_f64(self.random.fraction());
        } else {
            arrives = arrives.max(self.last.unwrap_or(arrives));
            self.last = Some(arrives);
        }
        (!is_lost).then_some(arrives)
    }

    /// When the narrowest place is behind them.
    fn through(&mut self, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.line.bytes_per_second else { return now };
        let takes = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let through = self.free.map_or(now, |free| free.max(now)) + takes;
        self.free = Some(through);
        through
    }

    fn late(&mut self) -> Duration {
        self.line.delay + self.line.jitter.mul_f64(self.random.fraction())
    }
}

/// What a packet of a connection carries over Ethernet.
const SEGMENT_BYTES: usize = 1_448;
/// When Linux sends a lost segment again at the earliest, if nothing behind it tells of the loss.
const RETRANSMISSION_TIMEOUT: Duration = Duration::from_millis(200);
/// When the first packet of a connection is sent again.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_byte_takes_half_a_round_trip() {
        let start = Instant::now();
        let mut course = Line::default().course(0, true);
        assert_eq!(course.stream(start, 1), start + ms(25));
        assert_eq!(course.datagram(start, 1_200), Some(start + ms(25)));
        assert_eq!(Line::default().handshake(7), ms(50));
    }

    #[test]
    fn a_narrow_way_lets_bytes_through_one_after_the_other() {
        let start = Instant::now();
        let line = Line { bytes_per_second: Some(1_000), ..Line::default() };
        let mut course = line.course(0, true);
        assert_eq!(course.stream(start, 100), start + ms(125));
        assert_eq!(course.stream(start, 100), start + ms(225), "it waits for what is before it");
        assert_eq!(course.stream(start + ms(1_000), 100), start + ms(1_125), "and not for what is long gone");
    }

    #[test]
    fn on_a_stream_nothing_overtakes_and_what_is_lost_comes_late() {
        let start = Instant::now();
        let line = Line { loss: 0.2, jitter: ms(30), ..Line::default() };
        let mut course = line.course(3, false);
        let arrivals: Vec<_> = (0..200).map(|n| course.stream(start + n * ms(1), 100)).collect();
        assert!(arrivals.is_sorted());
        assert!(arrivals[199] > start + ms(200 + 25 + 200), "losses cost time");
    }

    #[test]
    fn datagrams_are_lost_and_overtake_as_often_as_the_line_says() {
        let start = Instant::now();
        let line = Line { loss: 0.1, reordered: 0.2, ..Line::default() };
        let mut course = line.course(1, true);
        let arrivals: Vec<_> =
            (0..10_000).filter_map(|n| course.datagram(start + n * ms(1), 1_200)).collect();
        assert!((8_800..9_200).contains(&arrivals.len()), "{} of 10,000 arrive", arrivals.len());
        let overtaken = arrivals.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!((1_000..2_200).contains(&overtaken), "{overtaken} are overtaken");
    }

    #[test]
    fn the_same_seed_gives_the_same_network() {
        let start = Instant::now();
        let line = Line { loss: 0.3, jitter: ms(50), reordered: 0.3, ..Line::default() };
        let run = |number| {
            let mut course = line.course(number, true);
            (0..100).map(|_| course.datagram(start, 500)).collect::<Vec<_>>()
        };
        assert_eq!(run(4), run(4));
        assert_ne!(run(4), run(5));
        assert_eq!(line.handshake(9), line.handshake(9));
    }
}
