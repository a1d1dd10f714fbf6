//! Foreign formats: model files, events, lists of sites. The only reader of them.
pub mod sites;
