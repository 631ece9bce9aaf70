//! The session core, driven from outside: [`rules`] plays the schedules that each rule of the protocol prevents,
//! [`torture`] plays random ones against a model.

mod rules;
mod torture;
