//! Long-polling: one request parked, and one lane beside it for posts.

use std::sync::Arc;

use bytes::Bytes;
use throughline_wire::{Codec, frame::TransportOffer};
use tokio::sync::mpsc;

use super::{
    Network, Report, Reporter, Say,
    http::{Lane, frames},
};
use crate::{address::Target, config::Transport, core::session::End};

/// Runs the link until it is dropped or a poll fails.
pub(super) async fn run(
    network: Arc<Network>,
    codec: Codec,
    offer: Option<TransportOffer>,
    mut sayings: mpsc::Receiver<Say>,
    reporter: Reporter,
) {
    let target = match network.target(Transport::Polling, offer.as_ref()) {
        Ok(target) => target,
        Err(end) => return reporter.report(Report::Ended(end)).await,
    };
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
        end = poll(&network, &target, codec, polls, &reporter) => end,
        () = post(&network, &target, codec, codec.media_type(), posts, &reporter) => End::Lost("closed".into()),
    };
    reporter.report(Report::Ended(end)).await;
}

/// Polls, one at a time: another takes the place of one that has no answer, and of its connection.
async fn poll(
    network: &Network,
    target: &Target,
    codec: Codec,
    mut polls: mpsc::Receiver<(u64, Bytes)>,
    reporter: &Reporter,
) -> End {
    let mut lane = Lane::default();
    let mut next = polls.recv().await;
    while let Some((attach, message)) = next.take() {
        let polling = async {
            let answer = lane.post(network, target, codec.media_type(), &message).await?;
            frames(network, codec, answer, Some(reporter)).await
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

/// Posts beside what is at `target`, one at a time: another takes the place of one that has no answer, and of its connection.
pub(super) async fn post(
    network: &Network,
    target: &Target,
    codec: Codec,
    media_type: &'static str,
    mut posts: mpsc::Receiver<(u64, Bytes)>,
    reporter: &Reporter,
) {
    let target = target.sibling("send");
    let mut lane = Lane::default();
    let mut next = posts.recv().await;
    while let Some((post, message)) = next.take() {
        let posting = async {
            let answer = lane.post(network, &target, media_type, &message).await?;
            frames(network, codec, answer, None).await
        };
        tokio::select! {
            answer = posting => {
                let answer = answer.map_err(|end: End| format!("{end:?}").into());
                reporter.report(Report::Post { post, answer }).await;
            }
            another = posts.recv() => {
                lane = Lane::default();
                next = another;
                continue;
            }
        }
        next = posts.recv().await;
    }
}
