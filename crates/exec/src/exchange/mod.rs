//! Exchanges: the edges between the stages of a distributed plan.
//!
//! In the tree that the planner makes, an exchange is an [`ExchangeExec`] between its producer (the
//! child) and its consumer. Cutting the tree (see [`crate::plan`]) takes the child away as a stage of
//! its own and leaves a [`ReceiveExec`] in its place, which reads what the tasks of that stage send
//! through the query's [`Transport`].

mod channel;
mod node;
mod pulled;
mod receive;
mod send;
mod transport;

pub use channel::{Channels, DEFAULT_CAPACITY};
pub use node::{ExchangeExec, ExchangeKind};
pub(crate) use pulled::Pulled;
pub use receive::ReceiveExec;
pub(crate) use send::run_producer;
pub use transport::{ExchangeId, ExchangeReceiver, ExchangeSender, ExchangeShape, Sent, Transport};
