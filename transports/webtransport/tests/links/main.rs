//! Links over WebTransport, on a network in memory and with the clock paused.

mod conformance;
mod datagrams;
mod goodbye;
mod handshake;
mod hostile;
mod http3;
mod support;
