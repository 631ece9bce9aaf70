//! A post: it names a session, and brings what its client says beside the link that items flow on.

use std::sync::Arc;

use bytes::BytesMut;
use throughline_wire::{DownFrame, ErrorCode, UpFrame, codec::UpFrames, frame::SessionName};

use super::{GatewayPeer, Last, Stage, error_frame, weight};
use crate::{
    gateway::{cell::Cell, clock, drain::Drain},
    session::{Goodbye, LinkId, TokenKeys, Via},
};

impl GatewayPeer {
    /// A post: names a session; never makes, takes over or fences one.
    pub(super) fn receive_post(&mut self, mut frames: UpFrames<'_>, bytes: usize) {
        let name = match frames.next() {
            Some(Ok(UpFrame::Session(name))) => name,
            Some(Err(error)) => return self.close_by(&error),
            _ => return self.close(Goodbye::ProtocolError(ErrorCode::HelloRequired)),
        };
        let mut message = BytesMut::new();
        match self.find_named(&name) {
            Ok(cell) => match self.overdue(&cell) {
                // Nothing of it counts, so there is no `ack`.
                Some(_) => {
                    self.shared.metrics.count_refusal(ErrorCode::RateLimited);
                    let error = error_frame(&ErrorCode::RateLimited.into());
                    self.codec.encode_down(&DownFrame::Error(error), &mut message);
                }
                None => {
                    let commands = self.take_post(&cell, &name, frames, &mut message);
                    self.charge(&cell, bytes, commands);
                }
            },
            // It may be the successor's, on a connection of before: the answer is the last on it.
            Err(ErrorCode::SessionEnded) if self.shared.drain().is_some_and(Drain::is_succeeded) => {
                return self.close(Goodbye::Drain { delay_ms: 0, spread_ms: 0 });
            }
            Err(code) => {
                self.shared.metrics.count_refusal(code);
                let error = error_frame(&code.into());
                self.codec.encode_down(&DownFrame::Error(error), &mut message);
            }
        }
        self.stage = Stage::Closing { message, last: Last::Answer };
        self.signal.set();
    }

    /// Takes the frames of a post, each only as long as the session counts as the post does: an attach may renumber
    /// it between two of them (C8). Gives what they count for.
    fn take_post(
        &self,
        cell: &Arc<Cell>,
        name: &SessionName,
        frames: UpFrames<'_>,
        message: &mut BytesMut,
    ) -> u64 {
        let (now, via) = (clock::now(), Via::Post(LinkId(name.link)));
        let mut commands = 0;
        for frame in frames {
            commands += frame.as_ref().map_or(1, weight);
            let error = match frame {
                Ok(UpFrame::Ping { nonce }) => {
                    let window_ms = Some(self.shared.session.window.ms());
                    self.codec.encode_down(&DownFrame::Pong { nonce, window_ms }, message);
                    continue;
                }
                Ok(frame) => cell
                    .change(|session| {
                        if session.incarnation() != name.incarnation {
                            return Err(error_frame(&ErrorCode::IncarnationMismatch.into()));
                        }
                        session.handle_frame(now, via, frame, false)
                    })
                    .err(),
                Err(error) => Some(error_frame(&error)),
            };
            if let Some(error) = error {
                self.shared.metrics.count_refusal(error.code);
                self.codec.encode_down(&DownFrame::Error(error), message);
            }
        }
        let received =
            cell.look(|session| (session.incarnation() == name.incarnation).then(|| session.received()));
        if let Some(up_to) = received {
            self.codec.encode_down(&DownFrame::Ack { up_to }, message);
        }
        commands
    }

    /// The session that a post names. Whoever holds the token may post; C8: in the session's own incarnation.
    fn find_named(&self, name: &SessionName) -> Result<Arc<Cell>, ErrorCode> {
        let keys = &self.shared.session.keys;
        let claimed = TokenKeys::claimed_session(&name.token).ok_or(ErrorCode::TokenInvalid)?;
        let cell = self.shared.registry.find(claimed).ok_or(ErrorCode::SessionEnded)?;
        let now = clock::now();
        let (genuine, current, incarnation) = cell.look(|session| {
            let genuine = keys.verify(&name.token, session.user()).is_some();
            (genuine, session.has_credentials(now), session.incarnation())
        });
        if !genuine {
            return Err(ErrorCode::TokenInvalid);
        }
        if !current {
            return Err(ErrorCode::Unauthorized); // a post shows no credential: the session's have to count
        }
        if incarnation != name.incarnation {
            return Err(ErrorCode::IncarnationMismatch);
        }
        Ok(cell)
    }
}
