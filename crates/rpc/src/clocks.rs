//! Clocks in the headers of messages: each process tells its hybrid logical clock, which the receiver
//! merges, and its physical clock beside it. A peer whose physical clock runs ahead is refused before
//! its timestamps can carry ours away.

use std::sync::Arc;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use txn::ProcessClock;
use types::{ErrorKind, SqlError, Timestamp};

use crate::error::to_status;

const HLC: &str = "pando-hlc";
const NOW: &str = "pando-now";

/// How far ahead of ours a peer's physical clock may be.
pub const MOST_AHEAD_MILLIS: u64 = 500;

/// The clocks of this process.
#[derive(Clone)]
pub struct Clocks {
    pub hlc: Arc<ProcessClock>,
    pub physical: Arc<dyn env::Clock>,
}

impl Clocks {
    /// Adds our clocks to a message.
    pub(crate) fn stamp(&self, header: &mut MetadataMap) {
        let now = self.physical.wall_millis();
        header.insert(HLC, MetadataValue::from(self.hlc.now(now).0));
        header.insert(NOW, MetadataValue::from(now));
    }

    /// Takes over the clocks of a message that came. Returns when it was sent by its sender's clock;
    /// none if it does not say.
    pub(crate) fn merge(&self, peer: &str, header: &MetadataMap) -> Result<Option<u64>, SqlError> {
        let now = self.physical.wall_millis();
        let sent = number(header, NOW);
        if let Some(sent) = sent
            && sent > now + MOST_AHEAD_MILLIS
        {
            let by = sent - now;
            tracing::error!(peer, by_millis = by, "a node's clock is ahead; its messages are refused");
            return Err(SqlError::new(
                ErrorKind::Unknown,
                format!("the clock of {peer} is {by} ms ahead; synchronise the clocks of the hosts"),
            ));
        }
        if let Some(hlc) = number(header, HLC) {
            self.hlc.merge(Timestamp(hlc), now).map_err(|ahead| {
                SqlError::internal(format!("a timestamp of {peer} is {} ms ahead", ahead.by_millis))
            })?;
        }
        Ok(sent)
    }

    /// An error of ours, with our clocks.
    pub(crate) fn refuse(&self, error: SqlError) -> Status {
        let mut status = to_status(error);
        self.stamp(status.metadata_mut());
        status
    }
}

fn number(header: &MetadataMap, name: &str) -> Option<u64> {
    header.get(name)?.to_str().ok()?.parse().ok()
}

/// A request that does not say what it must.
pub(crate) fn malformed(what: &str) -> Status {
    Status::new(Code::InvalidArgument, format!("the request has no {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::SimClock;

    fn at(millis: u64) -> (Clocks, Arc<SimClock>) {
        let physical = SimClock::at_millis(millis);
        (Clocks { hlc: Arc::default(), physical: physical.clone() }, physical)
    }

    #[test]
    fn clocks_travel_and_one_that_is_ahead_is_refused() {
        let (ours, _) = at(1_000_000);
        let (theirs, their_clock) = at(1_000_400);
        theirs.hlc.merge(Timestamp::from_millis(1_002_000), 1_000_400).unwrap();
        let mut header = MetadataMap::new();
        theirs.stamp(&mut header);
        assert_eq!(ours.merge("leaf n2", &header), Ok(Some(1_000_400)));
        assert!(ours.hlc.now(1_000_000) >= Timestamp::from_millis(1_002_000));
        their_clock.step_wall(1_000_501);
        theirs.stamp(&mut header);
        let error = ours.merge("leaf n2", &header).unwrap_err();
        assert!(error.message.contains("leaf n2") && error.message.contains("501 ms ahead"), "{error}");
        assert_eq!(ours.merge("leaf n2", &MetadataMap::new()), Ok(None));
    }
}
