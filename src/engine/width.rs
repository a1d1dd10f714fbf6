//! `ByWidth`: the same thing in 32-bit or in 64-bit words.

/// What an engine holds, in the words it evaluates in.
#[derive(Debug, Clone)]
pub(super) enum ByWidth<N, W> {
    /// 32-bit words.
    Narrow(N),
    /// 64-bit words.
    Wide(W),
}

/// What engine and memory being of different widths means.
pub(super) const MIXED: &str = "traces, plans and scratch memory come from the engine they are used with";
