//! The server side of the MySQL client/server protocol. It knows packets, authentication, commands
//! and how Arrow columns become rows; it knows no SQL.
//!
//! A program implements [`Server`] (who may log in) and [`Session`] (what statements do) and calls
//! [`serve`]. What a client sends is never trusted: every length is checked against what is there,
//! no packet is buffered beyond its limit, and results are written with backpressure.
//!
//! Texts are utf8mb4, whatever collation a client asks for; statements that are not valid UTF-8 are
//! refused, but for the bytes of strings that say of themselves that they are no text.
//!
//! Clients that pipeline commands are served in order; those that stall, send garbage or claim more
//! than they may are dropped, at no cost to others.

mod auth;
mod column;
mod command;
mod connection;
mod counters;
mod format;
mod handshake;
mod listener;
mod packet;
mod params;
mod protocol;
mod response;
mod row;
mod server;
mod statement_text;
mod tls;

pub use auth::stored::{check_stored, make_stored};
pub use auth::{Credentials, Plugin};
pub use column::ColumnMeta;
pub use counters::Counters;
pub use listener::{Config, Limits, serve};
pub use protocol::{Capabilities, ColumnFlags, ColumnType, StatusFlags, charset};
pub use response::{InfileSink, OkInfo, Response, ResultSet, SessionChange};
pub use row::{RowEncoder, RowFormat, TextFields};
pub use server::{Ender, ListedField, Login, Prepared, Server, Session, SessionLimits};
pub use tls::{Tls, TlsError, TlsInfo};
