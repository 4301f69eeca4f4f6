//! Bytes of the protocol below its meaning: fields of a payload, and payloads in a stream.

pub mod framing;
pub mod reader;
pub mod writer;
