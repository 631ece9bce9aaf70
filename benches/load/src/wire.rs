//! One connection that never blocks: writes at once what it can, reads what is there.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::SocketAddr,
};

use mio::{Interest, Registry, Token, net::TcpStream};

/// A connection and what could not be written or understood yet.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    unwritten: Vec<u8>,
    /// The beginning of what is not whole yet.
    held: Vec<u8>,
}

impl Wire {
    /// Connects; what is sent before the connection stands is written when it does.
    pub(crate) fn connect(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        Self::over(TcpStream::connect(address)?, registry, token)
    }

    /// Takes over a connection.
    pub(crate) fn over(mut stream: TcpStream, registry: &Registry, token: Token) -> io::Result<Self> {
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let _ = stream.set_nodelay(true);
        Ok(Self { stream, unwritten: Vec::new(), held: Vec::new() })
    }

    /// Writes, now or when there is room.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = if self.unwritten.is_empty() { self.write(bytes)? } else { 0 };
        self.unwritten.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes what is left over.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.unwritten.is_empty() {
            let unwritten = std::mem::take(&mut self.unwritten);
            let written = self.write(&unwritten)?;
            self.unwritten = unwritten[written..].to_vec();
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => Ok(0),
            result => result,
        }
    }

    /// Reads all that is there, and hands it to `take` with what was held back before; `take` says how much of it
    /// it has used. False once the other side has closed.
    pub(crate) fn read<E: From<io::Error>>(
        &mut self,
        scratch: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<usize, E>,
    ) -> Result<bool, E> {
        loop {
            let read = match self.stream.read(scratch) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(true);
                }
                Err(error) => return Err(error.into()),
            };
            let fresh = &scratch[..read];
            if self.held.is_empty() {
                let used = take(fresh)?;
                self.held.extend_from_slice(&fresh[used..]);
            } else {
                self.held.extend_from_slice(fresh);
                let used = take(&self.held)?;
                self.held.drain(..used);
            }
            // A short read has emptied the socket: what comes later is another readiness.
            if read < scratch.len() {
                return Ok(true);
            }
        }
    }
}

/// The length of an HTTP head, its blank line included, and of the body that it announces.
pub(crate) fn http_lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let body = memchr::memmem::find(&bytes[..head], b"content-length: ")
        .map_or(0, |at| leading_number(&bytes[at + 16..head]) as usize);
    Some((head, body))
}

/// The decimal number that the bytes begin with.
pub(crate) fn leading_number(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}
