//! Throughline: a real-time gateway. One session over WebSocket, long-polling and server-sent events.

pub mod channel;
pub mod session;
