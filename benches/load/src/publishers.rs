//! Those who publish: connections to the admin API, each with one request under way.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use mio::{Registry, Token};

use crate::wire::{Wire, http_lengths};

/// Connections that publish one event each, and wait for the answer.
#[derive(Debug)]
pub(crate) struct Publishers {
    address: SocketAddr,
    /// Made when they are first needed: the listener cuts those that say nothing.
    wires: Vec<Option<Wire>>,
    idle: Vec<usize>,
    request: Vec<u8>,
}

/// The token of the first of them: above those of all clients.
const FIRST_TOKEN: usize = 1 << 24;

impl Publishers {
    /// This many, not connected yet.
    pub(crate) fn new(address: SocketAddr, count: usize) -> Self {
        let wires = (0..count).map(|_| None).collect();
        Self { address, wires, idle: (0..count).collect(), request: request() }
    }

    /// Publishes an event, if one of them is idle.
    pub(crate) fn publish(&mut self, registry: &Registry) -> Result<bool> {
        let Some(idle) = self.idle.pop() else { return Ok(false) };
        let wire = match &mut self.wires[idle] {
            Some(wire) => wire,
            none => none.insert(Wire::connect(self.address, registry, Token(FIRST_TOKEN + idle))?),
        };
        wire.send(&self.request)?;
        Ok(true)
    }

    /// Whether none has a request under way.
    pub(crate) fn are_idle(&self) -> bool {
        self.idle.len() == self.wires.len()
    }

    /// Takes an answer, if the token is one of theirs.
    pub(crate) fn ready(&mut self, token: Token, scratch: &mut [u8]) -> Result<bool> {
        let Some(at) = token.0.checked_sub(FIRST_TOKEN) else { return Ok(false) };
        let Some(wire) = &mut self.wires[at] else { return Ok(true) };
        wire.flush()?;
        let idle = &mut self.idle;
        let open = wire.read(scratch, |bytes| {
            let Some((head, body)) = http_lengths(bytes) else { return Ok(0) };
            if bytes.len() < head + body {
                return Ok(0);
            }
            ensure!(bytes.starts_with(b"HTTP/1.1 200"), "not published: {}", String::from_utf8_lossy(bytes));
            idle.push(at);
            Ok(head + body)
        })?;
        ensure!(open, "the admin API closed a connection");
        Ok(true)
    }
}

/// Publishes an event.
pub(crate) fn request() -> Vec<u8> {
    let body = format!(r#"{{"channel":"bench","data":{}}}"#, payload());
    let length = body.len();
    format!(
        "POST /api/v1/publish HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What every event carries: 128 bytes of JSON.
pub(crate) fn payload() -> String {
    format!("\"{}\"", "x".repeat(126))
}
