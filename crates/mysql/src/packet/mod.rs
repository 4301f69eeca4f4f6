//! Bytes of the protocol below its meaning: fields of a payload, payloads in a stream, and the stream
//! itself, compressed or encrypted.

pub mod compression;
pub mod framing;
pub mod reader;
pub mod transport;
pub mod writer;
