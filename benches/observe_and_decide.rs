//! From records to a decision. Measures nothing yet.

fn main() {}
