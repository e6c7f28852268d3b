//! The elastic operator against plain timely. Measures nothing yet.

fn main() {}
