//! `ByWidth`: the same thing in 32-bit or in 64-bit words.

/// What is prepared for evaluation, in the words it is evaluated in.
#[derive(Debug, Clone)]
pub(crate) enum ByWidth<N, W> {
    /// 32-bit words.
    Narrow(N),
    /// 64-bit words.
    Wide(W),
}
