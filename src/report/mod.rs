//! Results to files and terminals. It formats what others computed and computes nothing itself.

pub mod npz;
