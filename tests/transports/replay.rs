//! Replay and gaps over real sockets.
