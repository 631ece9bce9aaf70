//! The suite of all adapters, against both forms of this one.

mod support;

use support::{ByAddress, ByMessage};

mod by_message {
    throughline_conformance::suite!(super::ByMessage, links, streams, requests);
}

mod by_address {
    throughline_conformance::suite!(super::ByAddress, streams);
}
