//! Hostile networks.

fn main() {}
