//! What is on offer, asked for: `GET …/v1/negotiate`.
//!
//! A session needs it not, since `welcome` says the same. A link that must know where its transport is, and
//! which certificate to accept there, before anything was said, asks here.

use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use throughline_wire::{AttemptOutcome, frame::TransportOffer};

use super::{Network, failed, http::Lane};
use crate::{config::Transport, core::session::End};

/// The gateway's offer of this transport.
///
/// # Errors
/// When the gateway does not answer, or does not offer it.
pub(super) async fn ask(network: &Network, transport: Transport) -> Result<TransportOffer, End> {
    let target = network.address.endpoint("negotiate");
    // Its connection has to last until the body is read.
    let mut lane = Lane::default();
    let answer = lane.get(network, &target).await?;
    let status = answer.status();
    if !status.is_success() {
        let retry_after = super::http::retry_after(answer.headers());
        return Err(End::Refused { status: status.as_u16(), retry_after });
    }
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| End::Lost(format!("{target}: the answer broke off: {error}").into()))?;
    let answer: Value = serde_json::from_slice(&body.to_bytes())
        .map_err(|_| End::Protocol("what is on offer cannot be read".into()))?;
    offer(&answer, transport).ok_or_else(|| {
        failed(AttemptOutcome::Unsupported, format!("the gateway at {target} does not offer {transport}"))
    })
}

fn offer(answer: &Value, transport: Transport) -> Option<TransportOffer> {
    let offers = answer.get("transports")?.as_array()?;
    let offer = offers.iter().find(|offer| offer["name"] == transport.name())?;
    let hashes = offer.get("certificateHashes").and_then(Value::as_array);
    Some(TransportOffer {
        name: transport.name().into(),
        url: offer.get("url").and_then(Value::as_str).map(Into::into),
        certificate_hashes: hashes.into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect(),
    })
}

/// An answer of three transports with two hashes has some 500 bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
