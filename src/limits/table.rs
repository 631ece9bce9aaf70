//! Who has how much at the moment: a meter for each user or address that has anything, and none for the others.
//!
//! A meter is at rest once nobody holds it, be it for a session or a connection, and its buckets are paid for. It says no
//! more then than a new one would, so it may be forgotten. That is done where a shard has grown to twice what was left
//! the last time, so a sweep costs a constant for each meter that was made.
//!
//! **The bound.** Meters that are held are no more than there are sessions and connections, which have bounds of their
//! own. Of the others, which only wait until their bucket is paid for, a sweep leaves [`RESTING`] in a shard: past that
//! all of them are forgotten, and what is lost is a moment's memory of who came too often. So a table holds at most twice
//! what is held, and [`FEWEST`] in each of its [`SHARDS`] shards, however many addresses an attacker has.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::rate::Bucket;

const SHARDS: usize = 16;
/// Below so many a shard is not swept.
const FEWEST: usize = 4_096;
/// So many may stay in a shard that nobody holds.
const RESTING: usize = 2_048;

/// What somebody has.
#[derive(Debug, Default)]
pub struct Meter {
    sessions: AtomicUsize,
    connections: AtomicUsize,
    /// Bytes that are booked.
    booked: AtomicU64,
    /// Connections that were begun.
    pub handshakes: Bucket,
    /// Commands that were said.
    pub commands: Bucket,
}

/// What a [`Place`] is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum What {
    /// A session, attached or not.
    Session,
    /// A connection.
    Connection,
}

impl Meter {
    /// A place, held until it is dropped; none where `most` are held already. 0 is no bound.
    pub fn place(self: &Arc<Self>, what: What, most: usize) -> Option<Place> {
        let one_more = |count: usize| (most == 0 || count < most).then_some(count + 1);
        let counted = self.count(what).fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        counted.ok().map(|_| Place { meter: Arc::clone(self), what })
    }

    /// How many places are held.
    pub fn held(&self, what: What) -> usize {
        self.count(what).load(Ordering::Acquire)
    }

    /// Books so many bytes, until the booking is dropped.
    pub fn book(self: &Arc<Self>, bytes: u64) -> Booking {
        self.booked.fetch_add(bytes, Ordering::Relaxed);
        Booking { meter: Arc::clone(self), bytes }
    }

    /// How many bytes are booked.
    pub fn booked(&self) -> u64 {
        self.booked.load(Ordering::Relaxed)
    }

    const fn count(&self, what: What) -> &AtomicUsize {
        match what {
            What::Session => &self.sessions,
            What::Connection => &self.connections,
        }
    }

    fn is_at_rest(&self, mono_ms: u64) -> bool {
        self.handshakes.is_at_rest(mono_ms) && self.commands.is_at_rest(mono_ms)
    }
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub struct Place {
    meter: Arc<Meter>,
    what: What,
}

impl Place {
    /// Whose it is.
    pub const fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.meter.count(self.what).fetch_sub(1, Ordering::AcqRel);
    }
}

/// Bytes that its sessions hold of what all share, until this is dropped.
#[derive(Debug)]
pub struct Booking {
    meter: Arc<Meter>,
    bytes: u64,
}

impl Drop for Booking {
    fn drop(&mut self) {
        self.meter.booked.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Meters by user or by address.
#[derive(Debug)]
pub struct Table<K> {
    hasher: RandomState,
    shards: [Mutex<Shard<K>>; SHARDS],
}

#[derive(Debug)]
struct Shard<K> {
    meters: HashMap<K, Arc<Meter>>,
    /// At how many it is swept.
    sweep_at: usize,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        let shard = |_| Mutex::new(Shard { meters: HashMap::new(), sweep_at: FEWEST });
        Self { hasher: RandomState::new(), shards: std::array::from_fn(shard) }
    }
}

impl<K: Eq + Hash> Table<K> {
    /// The meter of somebody.
    pub fn meter(&self, mono_ms: u64, key: K) -> Arc<Meter> {
        let shard = self.hasher.hash_one(&key) as usize % SHARDS;
        let mut shard = self.shards[shard].lock();
        if let Some(meter) = shard.meters.get(&key) {
            return Arc::clone(meter);
        }
        if shard.meters.len() >= shard.sweep_at {
            shard.sweep(mono_ms);
        }
        let meter = Arc::new(Meter::default());
        shard.meters.insert(key, Arc::clone(&meter));
        meter
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().meters.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Eq + Hash> Shard<K> {
    fn sweep(&mut self, mono_ms: u64) {
        // Only under this lock is one handed out, so one that is here alone stays so.
        let is_held = |meter: &Arc<Meter>| Arc::strong_count(meter) > 1;
        let mut resting = 0;
        self.meters.retain(|_, meter| {
            let stays = is_held(meter);
            let rests = !stays && !meter.is_at_rest(mono_ms);
            resting += usize::from(rests);
            stays || rests
        });
        if resting > RESTING {
            self.meters.retain(|_, meter| is_held(meter));
        }
        self.sweep_at = FEWEST.max(2 * self.meters.len());
        self.meters.shrink_to(self.sweep_at);
    }
}

/// Whom an address counts for: itself by IPv4, its network by IPv6, where a household has 2^64 of them and one machine
/// may use them all. An IPv4 address that is written as one of IPv6 is the IPv4 address.
pub fn network_of(address: IpAddr, prefix: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Rate;

    #[test]
    fn a_place_is_held_until_it_is_dropped_and_there_are_no_more_than_there_may_be() {
        let table = Table::default();
        let meter = table.meter(0, "ann");
        let places: Vec<_> = std::iter::from_fn(|| meter.place(What::Session, 3)).collect();
        assert_eq!((places.len(), meter.held(What::Session)), (3, 3));
        assert!(table.meter(0, "ann").place(What::Session, 3).is_none(), "it is the same meter");
        assert!(table.meter(0, "bob").place(What::Session, 3).is_some());
        assert!(meter.place(What::Connection, 1).is_some(), "what else there is counts by itself");
        drop(places);
        assert_eq!(meter.held(What::Session), 0);
        assert!(meter.place(What::Session, 0).is_some(), "0 is no bound");
    }

    #[test]
    fn however_many_addresses_there_are_what_is_not_held_stays_bounded() {
        let table = Table::default();
        let rate = Rate::new(1, 1);
        let held: Vec<_> =
            (0..1_000_u64).filter_map(|n| table.meter(0, n).place(What::Connection, 1)).collect();
        for n in 1_000..600_000 {
            table.meter(0, n).handshakes.charge(0, rate, 1); // nothing is ever paid for
        }
        assert!(table.len() <= 2 * held.len() + SHARDS * FEWEST, "{}", table.len());
        assert!(
            (0..1_000).all(|n| table.meter(0, n).held(What::Connection) == 1),
            "who is held is remembered"
        );
    }

    #[test]
    fn who_is_at_rest_is_forgotten_and_who_owes_is_not() {
        let table = Table::default();
        let rate = Rate::new(1, 10);
        table.meter(0, u64::MAX).handshakes.charge(0, rate, 10);
        for n in 0..200_000 {
            table.meter(5_000, n);
        }
        assert!(table.len() <= SHARDS * FEWEST, "{}", table.len());
        let owing = table.meter(5_000, u64::MAX);
        assert!(!owing.handshakes.is_at_rest(5_000), "five are paid for, five are not");
    }

    #[test]
    fn an_address_of_ipv6_counts_for_its_network_and_one_of_ipv4_for_itself() {
        let network = |address: &str, prefix| network_of(address.parse().unwrap(), prefix).to_string();
        assert_eq!(network("192.0.2.7", 64), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7", 64), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6", 64), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2:3:4:5:6", 48), "2001:db8:1::");
        assert_eq!(network("2001:db8:1:2:3:4:5:6", 128), "2001:db8:1:2:3:4:5:6");
        assert_eq!(network("2001:db8::1", 0), "::");
    }
}
