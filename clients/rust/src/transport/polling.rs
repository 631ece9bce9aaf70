//! Long-polling: one request parked, and one lane beside it for posts.

use std::sync::Arc;

use bytes::Bytes;
use throughline_wire::Codec;
use tokio::sync::mpsc;

use super::{
    Network, Report, Reporter, Say,
    http::{Lane, frames},
};
use crate::core::session::End;

/// Runs the link until it is dropped or a poll fails.
pub(super) async fn run(
    network: Arc<Network>,
    codec: Codec,
    mut sayings: mpsc::Receiver<Say>,
    reporter: Reporter,
) {
    let (poll_to, polls) = mpsc::channel(1);
    let (post_to, posts) = mpsc::channel(1);
    let sorting = async {
        while let Some(say) = sayings.recv().await {
            match say {
                Say::Poll { attach, message } => drop(poll_to.send((attach, message)).await),
                Say::Post { post, message } => drop(post_to.send((post, message)).await),
                Say::Message(_) | Say::Datagram(_) => {}
                Say::Goodbye => break,
            }
        }
    };
    let end = tokio::select! {
        () = sorting => End::Lost("closed".into()),
        end = poll(&network, codec, polls, &reporter) => end,
        () = post(&network, codec, codec.media_type(), posts, &reporter) => End::Lost("closed".into()),
    };
    reporter.report(Report::Ended(end)).await;
}

/// Polls, one at a time: another takes the place of one that has no answer, and of its connection.
async fn poll(
    network: &Network,
    codec: Codec,
    mut polls: mpsc::Receiver<(u64, Bytes)>,
    reporter: &Reporter,
) -> End {
    let mut lane = Lane::default();
    let mut next = polls.recv().await;
    while let Some((attach, message)) = next.take() {
        let polling = async {
            let answer = lane.post(network, "/v1/poll", codec.media_type(), &message).await;
            let answer = answer.map_err(|error| End::Lost(error.to_string().into()))?;
            frames(network, codec, answer).await
        };
        tokio::select! {
            answer = polling => match answer {
                Ok(frames) => reporter.report(Report::Answer { attach, frames }).await,
                Err(end) => return end,
            },
            another = polls.recv() => {
                lane = Lane::default();
                next = another;
                continue;
            }
        }
        next = polls.recv().await;
    }
    End::Lost("closed".into())
}

/// Posts, one at a time: another takes the place of one that has no answer, and of its connection.
pub(super) async fn post(
    network: &Network,
    codec: Codec,
    media_type: &'static str,
    mut posts: mpsc::Receiver<(u64, Bytes)>,
    reporter: &Reporter,
) {
    let mut lane = Lane::default();
    let mut next = posts.recv().await;
    while let Some((post, message)) = next.take() {
        let posting = async {
            let answer = lane.post(network, "/v1/send", media_type, &message).await;
            let answer = answer.map_err(|error| Box::<str>::from(error.to_string()))?;
            frames(network, codec, answer).await.map_err(|end| format!("{end:?}").into())
        };
        tokio::select! {
            answer = posting => reporter.report(Report::Post { post, answer }).await,
            another = posts.recv() => {
                lane = Lane::default();
                next = another;
                continue;
            }
        }
        next = posts.recv().await;
    }
}
