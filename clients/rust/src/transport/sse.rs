//! Server-sent events down, read as a stream; requests up. The text codec only.

use std::sync::Arc;

use bytes::Bytes;
use http::header;
use http_body_util::BodyExt;
use throughline_wire::{Codec, frame::TransportOffer};
use tokio::sync::mpsc;

use super::{
    Network, Report, Reporter, Say, decode,
    event_stream::EventStream,
    http::{Lane, frames, retry_after},
    polling::post,
};
use crate::{address::Target, config::Transport, core::session::End};

/// What both directions say they are: no browser would ask for leave first.
const MEDIA_TYPE: &str = "text/plain";

/// Runs the link to its end, and reports how it ended.
pub(super) async fn run(
    network: Arc<Network>,
    offer: Option<TransportOffer>,
    hello: Bytes,
    mut sayings: mpsc::Receiver<Say>,
    reporter: Reporter,
) {
    let target = match network.target(Transport::Sse, offer.as_ref()) {
        Ok(target) => target,
        Err(end) => return reporter.report(Report::Ended(end)).await,
    };
    let (post_to, posts) = mpsc::channel(1);
    let sorting = async {
        while let Some(say) = sayings.recv().await {
            match say {
                Say::Post { post, message } => drop(post_to.send((post, message)).await),
                Say::Message(_) | Say::Datagram(_) | Say::Poll { .. } => {}
                Say::Goodbye => break,
            }
        }
    };
    let end = tokio::select! {
        end = stream(&network, &target, &hello, &reporter) => end,
        () = sorting => End::Lost("closed".into()),
        () = post(&network, &target, Codec::Json, MEDIA_TYPE, posts, &reporter) => End::Lost("closed".into()),
    };
    reporter.report(Report::Ended(end)).await;
}

/// Reads the stream to its end.
async fn stream(network: &Network, target: &Target, hello: &Bytes, reporter: &Reporter) -> End {
    let mut lane = Lane::default();
    let answer = match lane.post(network, target, MEDIA_TYPE, hello).await {
        Ok(answer) => answer,
        Err(end) => return end,
    };
    let media_type = answer.headers().get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    if !media_type.is_some_and(|value| value.starts_with(b"text/event-stream")) {
        // 204 stops an `EventSource`; it says so here too, where no frame says more.
        let status = answer.status().as_u16();
        let refused = End::Refused { status, retry_after: retry_after(answer.headers()) };
        return match frames(network, Codec::Json, answer, None).await {
            Ok(frames) => {
                reporter.report(Report::Frames(frames)).await;
                refused
            }
            Err(end) => end,
        };
    }
    let mut events = EventStream::new(network.limits.frame_bytes.saturating_mul(16));
    let mut body = answer.into_body();
    while let Some(part) = body.frame().await {
        let part = match part {
            Ok(part) => part,
            Err(error) => return End::Lost(error.to_string().into()),
        };
        let Some(bytes) = part.data_ref() else { continue };
        let (mut all, mut fault) = (Vec::new(), None);
        let fed = events.feed(bytes, |message| {
            if fault.is_none() {
                let (frames, wrong) = decode(Codec::Json, message, network.limits);
                all.extend(frames);
                fault = wrong;
            }
        });
        // Bytes that complete no event are a sign of life too.
        let report = if all.is_empty() { Report::SignOfLife } else { Report::Frames(all) };
        reporter.report(report).await;
        if fed.is_err() {
            fault = Some("an event is larger than allowed".into());
        }
        if let Some(fault) = fault {
            return End::Protocol(fault);
        }
    }
    End::Lost("the stream ended".into())
}
