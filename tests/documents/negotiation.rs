//! `docs/negotiation.md` against the Rust client: the times that it names.

use throughline_client::Timing;

use crate::{read, table};

#[test]
fn the_times_are_those_of_the_rust_client() {
    let timing = Timing::default();
    let coded = [
        ("stagger", timing.stagger),
        ("probe", timing.probe),
        ("joinFirst", timing.join_first),
        ("joinBack", timing.join_back),
        ("doubt", timing.doubt),
        ("pong", timing.pong),
        ("reprobe", timing.reprobe),
        ("reprobeCap", timing.reprobe_cap),
        ("settled", timing.settled),
    ];
    let coded: Vec<_> = coded.iter().map(|(name, time)| ((*name).to_owned(), time.as_millis())).collect();
    let written: Vec<_> = table(&read("docs/negotiation.md"), "Times")
        .iter()
        .map(|row| (row[0].clone(), row[1].replace(',', "").parse().expect("milliseconds")))
        .collect();
    assert_eq!(written, coded);
}
