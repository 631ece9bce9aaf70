//! What a WebSocket link may cost.

use std::time::Duration;

/// Bounds of every link. The defaults suit many clients that are mostly silent.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The largest message that a client may send, in bytes; one that is larger is refused and ends the link with
    /// close code 1009. Also what a client can make the gateway hold while a message arrives. Default 64 KiB.
    pub max_message_bytes: usize,
    /// How much is read from the socket at once, in bytes, and what each idle link keeps for it.
    ///
    /// The buffer is cleared before every read, so a larger one costs time as well as memory. What is usually said
    /// up, acknowledgements and small commands, fits into little. Default 512.
    pub read_buffer_bytes: usize,
    /// How much is gathered before it is written although more is to come, in bytes. Default 64 KiB.
    pub write_buffer_bytes: usize,
    /// The most that a message down takes, in bytes, unless a single item is larger. Default 64 KiB.
    pub budget_bytes: usize,
    /// How long one message may take to leave: a client that does not read for so long is lost. Default 30 s.
    pub write_timeout: Duration,
    /// How long a closed link waits for its client to close too. Default 5 s.
    pub close_grace: Duration,
    /// Which kinds of message are taken and sent. Default [`MessageKind::OfCodec`].
    pub message_kind: MessageKind,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 * 1024,
            read_buffer_bytes: 512,
            write_buffer_bytes: 64 * 1024,
            budget_bytes: 64 * 1024,
            write_timeout: Duration::from_secs(30),
            close_grace: Duration::from_secs(5),
            message_kind: MessageKind::OfCodec,
        }
    }
}

/// Which kinds of WebSocket message a link carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageKind {
    /// Text in the text codec, binary in the binary one; the other kind is refused.
    OfCodec,
    /// Both, each answered in its own kind. What conformance tools ask of an echo; of no use to a gateway.
    Mirror,
}
