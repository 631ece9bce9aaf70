//! Links over WebTransport (HTTP/3).
