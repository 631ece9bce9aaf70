//! The suite of all adapters, against this one.

mod support;

use support::Running;

throughline_conformance::suite!(Running, links, streams);
