//! The program `skriptoteket`.

fn main() {}
