//! How the gateway is asked to empty itself, and how far that is.

use std::time::Duration;

use http::{Response, StatusCode};
use serde::Serialize;
use throughline_wire::ErrorCode;

use super::{Admin, json, members::Members, refusal::Refusal};
use crate::{gateway::DrainProgress, http::Body};

/// A drain, or that there is none.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    draining: bool,
    /// Sessions when it began.
    sessions: usize,
    /// Those that were told to leave.
    told: u64,
    /// Those that have a link yet.
    attached: usize,
    /// Over how long they are told.
    over_ms: u64,
    elapsed_ms: u64,
    deadline_ms: u64,
    /// Whether it has ended.
    done: bool,
}

impl Admin {
    /// `POST /api/v1/drain`
    pub(super) fn drain(&self, body: &[u8]) -> Result<Response<Body>, Refusal> {
        let text = std::str::from_utf8(body).map_err(|_| Refusal::wire(ErrorCode::NotUtf8))?;
        let text = if text.trim().is_empty() { "{}" } else { text };
        let mut members = Members::read(text, "the request", &["deadlineMs"])?;
        let deadline_ms = members.take::<u64>("deadlineMs")?;
        if deadline_ms.is_some_and(|ms| ms > LONGEST_MS) {
            let why = format!("{} is at most {LONGEST_MS}", members.place("deadlineMs"));
            return Err(Refusal::wire(ErrorCode::NumberOutOfRange).because(why));
        }
        let progress = self.handle.drain(deadline_ms.map(Duration::from_millis));
        Ok(json(StatusCode::OK, &Answer::from(progress)))
    }

    /// `GET /api/v1/drain`
    pub(super) fn drain_progress(&self) -> Response<Body> {
        let progress = self.handle.drain_progress();
        json(StatusCode::OK, &progress.map_or_else(Answer::default, Answer::from))
    }
}

impl From<DrainProgress> for Answer {
    fn from(progress: DrainProgress) -> Self {
        let ms = |time: Duration| time.as_millis() as u64;
        Self {
            draining: true,
            sessions: progress.sessions,
            told: progress.told,
            attached: progress.attached,
            over_ms: ms(progress.spread),
            elapsed_ms: ms(progress.elapsed),
            deadline_ms: ms(progress.deadline),
            done: progress.is_over,
        }
    }
}

/// The longest deadline: an hour.
const LONGEST_MS: u64 = 3_600_000;
