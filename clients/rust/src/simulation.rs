//! The core without its driver, for a simulation of many clients on one virtual clock. No part of the paved path: it
//! changes with the core.

use throughline_wire::{AttemptOutcome, DownFrame, UpFrame};

use crate::{
    config::{Config, Transport},
    core::{
        Output, Time,
        names::LinkKey,
        session::{Core, End},
    },
};

/// One client.
#[derive(Debug)]
pub struct Client(Core);

/// What it does. A link is named by a number that is never used twice.
#[derive(Debug)]
pub enum Step {
    /// Opens a link; what an event stream says first is here.
    Open {
        /// Its number.
        link: u32,
        /// By what.
        transport: Transport,
        /// What it says first.
        hello: Vec<UpFrame>,
    },
    /// Polls.
    Poll {
        /// On this link.
        link: u32,
        /// The number to answer it by.
        attach: u64,
        /// What it says.
        message: Vec<UpFrame>,
    },
    /// Posts.
    Post {
        /// Beside this link.
        link: u32,
        /// The number to answer it by.
        post: u64,
        /// What it says.
        message: Vec<UpFrame>,
    },
    /// Says something on a link that carries both ways.
    Transmit {
        /// On this link.
        link: u32,
        /// What it says.
        message: Vec<UpFrame>,
    },
    /// Leaves a link.
    Close {
        /// This one.
        link: u32,
    },
}

impl Client {
    /// A client that connects at once.
    pub fn new(config: Config, seed: u64, wall: Time) -> Self {
        Self(Core::new(config, seed, wall))
    }

    /// Does what is due, and says what that is; what the application would hear is dropped.
    pub fn settle(&mut self, now: Time) -> Vec<Step> {
        self.0.settle(now);
        while self.0.poll_incoming().is_some() {}
        let mut steps = Vec::new();
        while let Some(output) = self.0.poll_output() {
            steps.push(match output {
                Output::Open { link, via, hello, .. } => {
                    Step::Open { link: link.0, transport: via.transport, hello }
                }
                Output::Poll { link, attach, message } => Step::Poll { link: link.0, attach, message },
                Output::Post { link, post, message } => Step::Post { link: link.0, post, message },
                Output::Transmit { link, message } | Output::Volatile { link, message } => {
                    Step::Transmit { link: link.0, message }
                }
                Output::Close { link, .. } => Step::Close { link: link.0 },
                Output::Remember(_) | Output::Settle { .. } => continue,
            });
        }
        steps
    }

    /// When it wants to be settled though nothing happens.
    pub fn deadline(&self) -> Option<Time> {
        self.0.deadline()
    }

    /// The handshake of a link is done.
    pub fn opened(&mut self, now: Time, link: u32) {
        self.0.handle_opened(now, LinkKey(link));
    }

    /// Frames came down a stream.
    pub fn frames(&mut self, now: Time, link: u32, frames: Vec<DownFrame>) {
        self.0.handle_frames(now, LinkKey(link), frames);
    }

    /// A poll was answered.
    pub fn answer(&mut self, now: Time, link: u32, attach: u64, frames: Vec<DownFrame>) {
        self.0.handle_answer(now, LinkKey(link), attach, frames);
    }

    /// A post was answered.
    pub fn posted(&mut self, now: Time, link: u32, post: u64, frames: Vec<DownFrame>) {
        self.0.handle_post(now, LinkKey(link), post, Ok(frames));
    }

    /// A link could not be opened: nobody listens.
    pub fn refused(&mut self, now: Time, link: u32) {
        let end = End::Failed { outcome: AttemptOutcome::Refused, reason: "connection refused".into() };
        self.0.handle_ended(now, LinkKey(link), end);
    }

    /// A link broke.
    pub fn lost(&mut self, now: Time, link: u32) {
        self.0.handle_ended(now, LinkKey(link), End::Lost("reset".into()));
    }

    /// The gateway closed a link.
    pub fn closed(&mut self, now: Time, link: u32, code: u16) {
        self.0.handle_ended(now, LinkKey(link), End::Closed(code));
    }
}
