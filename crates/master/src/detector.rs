//! Which nodes are there. Nodes report to the leader several times a second over a stream that they
//! keep open; [`plan`] says from what was seen of them which ones to mark offline or online. Pure: the
//! leader of the metadata carries its commands out.
//!
//! A node is offline when nothing came from it for [`SILENT_LIMIT`], or when its stream ended (as it
//! does at once when the process dies) and no other was opened for [`DETACHED_LIMIT`]. It is online
//! again with the first report of an open stream. A new leader has seen nothing yet, so it counts from
//! the moment that it began to lead: nobody is marked for the silence of the last leader.
//!
//! The user-level locks of an aggregator's sessions are released later, when nothing came from it for
//! [`LOST_AGGREGATOR_LIMIT`]: by then it has ended these sessions itself, if it lives.

use catalog::{Catalog, Command, LOST_AGGREGATOR_LIMIT, LockHolder, NodeState};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use types::NodeId;

/// After so much silence a node is offline. Reports come every [`catalog::REPORT_INTERVAL`].
pub const SILENT_LIMIT: Duration = Duration::from_secs(3);
/// After this time without a stream a node is offline.
pub const DETACHED_LIMIT: Duration = Duration::from_secs(1);

/// What the leader saw of a node. Times are since some fixed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The last report, or the end of the stream.
    pub last: Duration,
    /// A stream is open.
    pub attached: bool,
}

/// What the leader saw of all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observations {
    /// Since when it leads.
    pub since: Duration,
    pub nodes: BTreeMap<NodeId, Seen>,
}

/// The nodes whose state is not what was seen of them, and the sessions whose locks go with their aggregators.
pub fn plan(catalog: &Catalog, observations: &Observations, now: Duration) -> Vec<Command> {
    let mut commands = Vec::new();
    for node in catalog.nodes().filter(|node| node.state != NodeState::Removed) {
        let seen = observations.nodes.get(&node.id);
        let last = seen.map_or(observations.since, |seen| seen.last.max(observations.since));
        let silent = now.saturating_sub(last);
        let state = match seen {
            Some(Seen { attached: true, .. }) if silent < SILENT_LIMIT => NodeState::Online,
            // Nobody has seen its stream end.
            None if silent < SILENT_LIMIT => continue,
            Some(Seen { attached: false, .. }) if silent < DETACHED_LIMIT => continue,
            _ => NodeState::Offline,
        };
        if state != node.state {
            commands.push(Command::SetNodeState { node: node.id, state });
        }
    }
    let is_lost = |holder: &LockHolder| {
        let last = observations.nodes.get(&holder.node).map(|seen| seen.last);
        now.saturating_sub(last.unwrap_or_default().max(observations.since)) >= LOST_AGGREGATOR_LIMIT
    };
    let lost: BTreeSet<LockHolder> = catalog.lock_holders().filter(is_lost).collect();
    commands.extend(lost.into_iter().map(|holder| Command::ReleaseLocks { holder }));
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::{CommandId, NodeRole};

    const S: Duration = Duration::from_secs(1);

    fn cluster(offline: &[u32]) -> Catalog {
        let mut catalog = Catalog::new();
        let mut commands = Vec::new();
        for node in 1..=2 {
            commands.push(Command::RegisterNode {
                id: Some(NodeId(node)),
                host: format!("host-{node}"),
                port: 7307,
                mysql_port: None,
                role: NodeRole::Leaf,
                cores: 1,
            });
        }
        for node in offline {
            commands.push(Command::SetNodeState { node: NodeId(*node), state: NodeState::Offline });
        }
        for (number, command) in (1..).zip(commands) {
            catalog.apply(CommandId { node: NodeId(9), number }, &command).unwrap();
        }
        catalog
    }

    fn set(node: u32, state: NodeState) -> Command {
        Command::SetNodeState { node: NodeId(node), state }
    }

    /// Seconds since the last sign of n1, whether its stream is open.
    fn at(now: Duration, since: Duration, n1: Option<(Duration, bool)>) -> Observations {
        let seen = |(ago, attached)| Seen { last: now.saturating_sub(ago), attached };
        let mut nodes = BTreeMap::from([(NodeId(2), Seen { last: now, attached: true })]);
        nodes.extend(n1.map(|n1| (NodeId(1), seen(n1))));
        Observations { since, nodes }
    }

    #[test]
    fn states_follow_what_was_seen() {
        let offline = vec![set(1, NodeState::Offline)];
        let online = vec![set(1, NodeState::Online)];
        let now = 100 * S;
        for (was_offline, since, n1, expected) in [
            // Reports, or silence, on an open stream.
            (false, S, Some((S, true)), vec![]),
            (false, S, Some((4 * S, true)), offline.clone()),
            (true, S, Some((S, true)), online.clone()),
            (true, S, Some((4 * S, true)), vec![]),
            // The stream ended.
            (false, S, Some((S / 2, false)), vec![]),
            (false, S, Some((2 * S, false)), offline.clone()),
            (true, S, Some((S / 2, false)), vec![]),
            // Nothing was ever seen of it, by an old and by a new leader.
            (false, S, None, offline.clone()),
            (false, 98 * S, None, vec![]),
            (true, 98 * S, None, vec![]),
            // What an earlier time as the leader saw does not count.
            (false, 98 * S, Some((50 * S, true)), online.clone()),
        ] {
            let catalog = cluster(if was_offline { &[1] } else { &[] });
            let found = plan(&catalog, &at(now, since, n1), now);
            let expected = if catalog.node(NodeId(1)).unwrap().state == NodeState::Online {
                expected.into_iter().filter(|command| *command != set(1, NodeState::Online)).collect()
            } else {
                expected
            };
            assert_eq!(found, expected, "{was_offline} {since:?} {n1:?}");
        }
    }

    #[test]
    fn locks_go_with_their_aggregator_once_it_is_silent_for_long() {
        let mut catalog = cluster(&[1]);
        let of = |node, session| LockHolder { node: NodeId(node), start: 7, session };
        for (number, (name, holder)) in
            (10..).zip([("a", of(1, 3)), ("b", of(1, 3)), ("c", of(1, 4)), ("d", of(2, 3))])
        {
            let take = Command::TakeLock { name: name.into(), holder, waits: false };
            catalog.apply(CommandId { node: NodeId(9), number }, &take).unwrap();
        }
        let gone: Vec<Command> =
            [of(1, 3), of(1, 4)].map(|holder| Command::ReleaseLocks { holder }).into_iter().collect();
        let now = 100 * S;
        for (since, n1, expected) in [
            (S, Some((11 * S, false)), vec![]),
            (S, Some((12 * S, false)), gone.clone()),
            (S, None, gone.clone()),
            // A new leader waits as long.
            (89 * S, Some((50 * S, false)), vec![]),
            (89 * S, None, vec![]),
            (88 * S, None, gone),
        ] {
            assert_eq!(plan(&catalog, &at(now, since, n1), now), expected, "{since:?} {n1:?}");
        }
    }
}
