//! Calls to whichever master leads.

use super::convert::{CallError, call_error, identity_from_wire, registration_to_wire};
use super::{MAX_MESSAGE, convert};
use crate::Channels;
use catalog::{Catalog, Identity, NodeRole, NotLeader, Registration};
use parking_lot::Mutex;
use proto::metadata as wire;
use proto::metadata::metadata_client::MetadataClient;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Response, Status};
use types::{NodeId, SqlError};

/// How long one master is waited for by what goes on until it is done. Connecting has no limit of its own
/// once the peer's port has taken the connection.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// The pause before the masters are asked again, once all of them have been.
const PAUSE: Duration = Duration::from_millis(100);

/// The masters that a process knows, and the one that it believes to lead.
///
/// Those that it was started with are asked first and are never forgotten; the catalog adds the
/// others, and a master that does not lead names the one that does.
pub struct Masters {
    channels: Arc<Channels>,
    seeds: Vec<String>,
    route: Mutex<Route>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Route {
    known: Vec<String>,
    /// Where the next call goes; an index into `known`, or a hint beside it.
    next: usize,
    hint: Option<String>,
}

impl Route {
    fn target(&self) -> Option<String> {
        self.hint.clone().or_else(|| self.known.get(self.next % self.known.len().max(1)).cloned())
    }

    /// `address` led, or answered that another does.
    fn redirect(&mut self, address: &str, leader: Option<String>) {
        match leader {
            Some(leader) if leader != address => self.hint = Some(leader),
            _ => self.failed(),
        }
    }

    fn failed(&mut self) {
        self.hint = None;
        self.next = (self.next + 1) % self.known.len().max(1);
    }

    fn led(&mut self, address: &str) {
        self.hint = Some(address.to_owned());
    }

    fn learn(&mut self, seeds: &[String], masters: impl Iterator<Item = String>) {
        let mut known = seeds.to_vec();
        for master in masters {
            if !known.contains(&master) {
                known.push(master);
            }
        }
        self.known = known;
    }
}

impl Masters {
    /// `seeds`: the addresses ("host:port") that the process was started with.
    pub fn new(channels: Arc<Channels>, seeds: Vec<String>) -> Masters {
        let route = Route { known: seeds.clone(), ..Route::default() };
        Masters { channels, seeds, route: Mutex::new(route) }
    }

    pub(super) fn learn(&self, catalog: &Catalog) {
        let masters = catalog.nodes().filter(|node| node.role == NodeRole::Master).map(|node| node.address());
        self.route.lock().learn(&self.seeds, masters);
    }

    /// The address to ask, and a client for it.
    pub(super) fn target(&self) -> Result<(String, MetadataClient<Channel>), SqlError> {
        let address = self.route.lock().target();
        let address = address
            .ok_or_else(|| SqlError::internal("this process knows no master: give it one with --join"))?;
        let client = MetadataClient::new(self.channels.to(&address)?)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        Ok((address, client))
    }

    /// Notes what a master answered. Returns the error if asking others is of no use.
    pub(super) fn note(&self, address: &str, status: &Status) -> Result<(), SqlError> {
        let mut route = self.route.lock();
        match call_error(address, status) {
            CallError::NotLeader(NotLeader { leader }) => route.redirect(address, leader),
            CallError::NoAnswer(error) => {
                tracing::debug!(%error, "a master did not answer");
                route.failed();
            }
            CallError::Failed(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn led(&self, address: &str) {
        self.route.lock().led(address);
    }

    /// Makes a call of the leader, asking all masters in turn until `deadline`.
    pub(super) async fn call<T, F>(
        &self,
        deadline: Option<Instant>,
        mut call: impl FnMut(MetadataClient<Channel>) -> F,
    ) -> Result<T, SqlError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut asked = 0usize;
        loop {
            let (address, client) = self.target()?;
            let answer = match deadline {
                Some(deadline) => match tokio::time::timeout_at(deadline, call(client)).await {
                    Ok(answer) => answer,
                    Err(_) => Err(Status::unavailable("no answer in time")),
                },
                // Whoever is asked may listen already and not answer yet: then the next one is asked.
                None => tokio::time::timeout(ASK_LIMIT, call(client))
                    .await
                    .unwrap_or_else(|_| Err(Status::unavailable("no answer in time"))),
            };
            let status = match answer {
                Ok(answer) => {
                    self.led(&address);
                    return Ok(answer.into_inner());
                }
                Err(status) => status,
            };
            self.note(&address, &status)?;
            asked += 1;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(crate::error::unreachable(
                    &format!("the master of the metadata (last asked: {address})"),
                    status.message(),
                ));
            }
            if asked.is_multiple_of(2) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Makes a registered master a voter; goes on until that is done or refused.
    pub async fn add_voter(&self, node: NodeId) -> Result<(), SqlError> {
        let request = wire::AddVoterRequest { node: node.0 };
        self.call(None, |mut client| async move { client.add_voter(request).await }).await.map(|_| ())
    }
}

/// Takes a process into the cluster; goes on until that is done or refused.
pub async fn register(masters: &Masters, registration: &Registration) -> Result<Identity, SqlError> {
    let request = registration_to_wire(registration);
    let answer = masters
        .call(None, |mut client| {
            let request = request.clone();
            async move { client.register(request).await }
        })
        .await?;
    let identity = answer
        .identity
        .ok_or_else(|| SqlError::internal(convert::missing("identity").message().to_owned()))?;
    Ok(identity_from_wire(identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_follows_hints_and_falls_back_to_what_it_knows() {
        let mut route = Route::default();
        assert_eq!(route.target(), None);
        let seeds = vec!["a:1".to_string(), "b:1".to_string()];
        route.learn(&seeds, ["b:1".to_string(), "c:1".to_string()].into_iter());
        assert_eq!(route.known, ["a:1", "b:1", "c:1"]);
        let target = |route: &Route| route.target().unwrap();
        assert_eq!(target(&route), "a:1");
        route.redirect("a:1", Some("d:1".into()));
        assert_eq!(target(&route), "d:1");
        route.failed();
        assert_eq!(target(&route), "b:1");
        route.redirect("b:1", None);
        assert_eq!(target(&route), "c:1");
        // One that names itself does not lead yet.
        route.redirect("c:1", Some("c:1".into()));
        assert_eq!(target(&route), "a:1");
        route.led("a:1");
        route.learn(&seeds[..1], std::iter::empty());
        assert_eq!(target(&route), "a:1");
    }
}
