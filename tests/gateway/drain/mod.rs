//! A gateway that stops: who is told what and when, and who takes over.

mod admin;
mod goaway;
#[cfg(unix)]
mod handover;
mod told;
