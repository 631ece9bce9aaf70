//! The matrix: each transport in each of its codecs, and each ordered pair of transports as a live move, in each
//! codec on both sides. One body for all: [`cell::run`].

use throughline_client::{Transport, Via};

use super::cell;

const WS_JSON: Via = Via::json(Transport::WebSocket);
const WS_BINCODE: Via = Via::bincode(Transport::WebSocket);
const POLL_JSON: Via = Via::json(Transport::Polling);
const POLL_BINCODE: Via = Via::bincode(Transport::Polling);
const WT_JSON: Via = Via::json(Transport::WebTransport);
const WT_BINCODE: Via = Via::bincode(Transport::WebTransport);
const SSE: Via = Via::json(Transport::Sse);

/// Declares a test for each cell.
macro_rules! cells {
    ($($name:ident: $from:expr $(=> $to:expr)?, $seed:literal;)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                cell::run($from, None::<Via>$(.or(Some($to)))?, $seed).await;
            }
        )+
    };
}

cells! {
    websocket_json: WS_JSON, 1;
    websocket_bincode: WS_BINCODE, 2;
    polling_json: POLL_JSON, 3;
    polling_bincode: POLL_BINCODE, 4;
    sse: SSE, 5;
    websocket_json_to_polling_json: WS_JSON => POLL_JSON, 6;
    websocket_json_to_polling_bincode: WS_JSON => POLL_BINCODE, 7;
    websocket_bincode_to_polling_json: WS_BINCODE => POLL_JSON, 8;
    websocket_bincode_to_polling_bincode: WS_BINCODE => POLL_BINCODE, 9;
    websocket_json_to_sse: WS_JSON => SSE, 10;
    websocket_bincode_to_sse: WS_BINCODE => SSE, 11;
    polling_json_to_websocket_json: POLL_JSON => WS_JSON, 12;
    polling_json_to_websocket_bincode: POLL_JSON => WS_BINCODE, 13;
    polling_bincode_to_websocket_json: POLL_BINCODE => WS_JSON, 14;
    polling_bincode_to_websocket_bincode: POLL_BINCODE => WS_BINCODE, 15;
    polling_json_to_sse: POLL_JSON => SSE, 16;
    polling_bincode_to_sse: POLL_BINCODE => SSE, 17;
    sse_to_websocket_json: SSE => WS_JSON, 18;
    sse_to_websocket_bincode: SSE => WS_BINCODE, 19;
    sse_to_polling_json: SSE => POLL_JSON, 20;
    sse_to_polling_bincode: SSE => POLL_BINCODE, 21;
    webtransport_json: WT_JSON, 22;
    webtransport_bincode: WT_BINCODE, 23;
    webtransport_json_to_websocket_json: WT_JSON => WS_JSON, 24;
    webtransport_json_to_websocket_bincode: WT_JSON => WS_BINCODE, 25;
    webtransport_json_to_polling_json: WT_JSON => POLL_JSON, 26;
    webtransport_json_to_polling_bincode: WT_JSON => POLL_BINCODE, 27;
    webtransport_json_to_sse: WT_JSON => SSE, 28;
    webtransport_bincode_to_websocket_json: WT_BINCODE => WS_JSON, 29;
    webtransport_bincode_to_websocket_bincode: WT_BINCODE => WS_BINCODE, 30;
    webtransport_bincode_to_polling_json: WT_BINCODE => POLL_JSON, 31;
    webtransport_bincode_to_polling_bincode: WT_BINCODE => POLL_BINCODE, 32;
    webtransport_bincode_to_sse: WT_BINCODE => SSE, 33;
    websocket_json_to_webtransport_json: WS_JSON => WT_JSON, 34;
    websocket_json_to_webtransport_bincode: WS_JSON => WT_BINCODE, 35;
    websocket_bincode_to_webtransport_json: WS_BINCODE => WT_JSON, 36;
    websocket_bincode_to_webtransport_bincode: WS_BINCODE => WT_BINCODE, 37;
    polling_json_to_webtransport_json: POLL_JSON => WT_JSON, 38;
    polling_json_to_webtransport_bincode: POLL_JSON => WT_BINCODE, 39;
    polling_bincode_to_webtransport_json: POLL_BINCODE => WT_JSON, 40;
    polling_bincode_to_webtransport_bincode: POLL_BINCODE => WT_BINCODE, 41;
    sse_to_webtransport_json: SSE => WT_JSON, 42;
    sse_to_webtransport_bincode: SSE => WT_BINCODE, 43;
}
