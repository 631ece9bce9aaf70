//! The session core, driven from outside: [`rules`] plays the schedules that each rule of the protocol prevents,
//! [`torture`] plays random ones against a model.

mod bell;
mod rules;
mod torture;
