//! The `trivote` command.

fn main() {}
