//! The suite of all adapters, against this one.

use crate::support::Running;

throughline_conformance::suite!(Running, links, streams);
