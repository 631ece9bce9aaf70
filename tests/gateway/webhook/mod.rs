//! The application behind a webhook: what it is asked, and what becomes of its answers.

pub(crate) mod application;
mod config;
mod intents;
mod open;
mod order;
mod python;
mod secure;
mod sessions;
