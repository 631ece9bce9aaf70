//! The gateway as its users meet it: its two listeners over real sockets, and its command line as real processes.

mod admin;
mod admission;
mod assigned;
mod attacks;
mod auth;
mod bad_input;
mod certificates;
mod client_transports;
mod commands;
mod config;
mod drain;
mod flood;
mod fronts;
mod kit;
mod lifecycle;
mod limits;
mod metrics;
#[cfg(target_os = "linux")]
mod open_files;
mod origins;
mod presence;
mod secrets;
mod security;
mod slow;
mod strangers;
mod tls;
mod volatile;
mod webhook;
