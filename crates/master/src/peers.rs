use types::NodeId;

/// Carries messages to the other masters. They are bytes here, so that a transport needs no
/// knowledge of Raft: the other side passes them to [`Master::receive`](crate::Master::receive).
///
/// Messages may be lost, repeated and reordered. One that carries a snapshot is as large as the
/// catalog.
pub trait Peers: Send {
    /// Takes a message over without blocking. False: it could not, and the message is lost.
    fn send(&mut self, to: NodeId, message: Vec<u8>) -> bool;
}

impl<F: FnMut(NodeId, Vec<u8>) -> bool + Send> Peers for F {
    fn send(&mut self, to: NodeId, message: Vec<u8>) -> bool {
        self(to, message)
    }
}

/// For a master that is the only voter.
pub struct NoPeers;

impl Peers for NoPeers {
    fn send(&mut self, _to: NodeId, _message: Vec<u8>) -> bool {
        false
    }
}
