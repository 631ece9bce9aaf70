//! The names by which the core and its driver speak of the same thing.

/// A link's name between the core and its driver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LinkKey(pub(crate) u32);

/// The name that the driver gave to something an application waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Ticket(pub(crate) u64);
