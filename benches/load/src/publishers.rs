//! Those who publish: connections to the admin API, each with one request under way.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use mio::{Registry, Token};

use crate::wire::{Wire, http_lengths};

/// Connections that publish one event each, and wait for the answer.
#[derive(Debug)]
pub(crate) struct Publishers {
    wires: Vec<Wire>,
    idle: Vec<usize>,
    request: Vec<u8>,
}

/// The token of the first of them: above those of all clients.
const FIRST_TOKEN: usize = 1 << 24;

impl Publishers {
    /// Connects this many.
    pub(crate) fn connect(address: SocketAddr, count: usize, registry: &Registry) -> Result<Self> {
        let connect = |at| Wire::connect(address, registry, Token(FIRST_TOKEN + at));
        let wires = (0..count).map(connect).collect::<Result<Vec<_>, _>>()?;
        let body = format!(r#"{{"channel":"bench","data":{}}}"#, payload());
        let request = format!(
            "POST /api/v1/publish HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self { wires, idle: (0..count).collect(), request: request.into_bytes() })
    }

    /// Publishes an event, if one of them is idle.
    pub(crate) fn publish(&mut self) -> Result<bool> {
        let Some(idle) = self.idle.pop() else { return Ok(false) };
        self.wires[idle].send(&self.request)?;
        Ok(true)
    }

    /// Whether none has a request under way.
    pub(crate) fn are_idle(&self) -> bool {
        self.idle.len() == self.wires.len()
    }

    /// Takes an answer, if the token is one of theirs.
    pub(crate) fn ready(&mut self, token: Token, scratch: &mut [u8]) -> Result<bool> {
        let Some(at) = token.0.checked_sub(FIRST_TOKEN) else { return Ok(false) };
        let wire = &mut self.wires[at];
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

/// What every event carries: 128 bytes of JSON.
pub(crate) fn payload() -> String {
    format!("\"{}\"", "x".repeat(126))
}
