//! A voter behind gRPC.

use super::MAX_MESSAGE;
use super::convert::{
    identity_to_wire, missing, not_leader, refused, registration_from_wire, report_from_wire,
};
use crate::error::to_status;
use async_trait::async_trait;
use catalog::{Catalog, Command, Voter};
use proto::metadata as wire;
use proto::metadata::catalog_update::Update;
use proto::metadata::metadata_server::{Metadata, MetadataServer};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use types::{NodeId, SqlError};

/// Updates that a slow follower may be behind by before the voter waits for it.
const QUEUED_UPDATES: usize = 2;

/// The gRPC service of a voter.
pub fn server(voter: Arc<dyn Voter>) -> MetadataServer<impl Metadata> {
    MetadataServer::new(Service { voter })
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

struct Service {
    voter: Arc<dyn Voter>,
}

#[async_trait]
impl Metadata for Service {
    async fn register(
        &self,
        request: Request<wire::RegisterRequest>,
    ) -> Result<Response<wire::RegisterResponse>, Status> {
        let registration = registration_from_wire(request.into_inner())?;
        let identity = self.voter.register(registration).await.map_err(refused)?;
        Ok(Response::new(wire::RegisterResponse { identity: Some(identity_to_wire(identity)) }))
    }

    async fn propose(
        &self,
        request: Request<wire::ProposeRequest>,
    ) -> Result<Response<wire::ProposeResponse>, Status> {
        let (id, command) = Command::decode(&request.into_inner().command)
            .map_err(|error| to_status(SqlError::internal(error)))?;
        let (outcome, version) = self.voter.propose(id, command).await.map_err(refused)?;
        Ok(Response::new(wire::ProposeResponse { outcome: outcome.encode().into(), version }))
    }

    type FollowStream = ReceiverStream<Result<wire::CatalogUpdate, Status>>;

    async fn follow(
        &self,
        request: Request<Streaming<wire::Report>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let mut reports = request.into_inner();
        let first = reports.message().await?.ok_or_else(|| missing("first report"))?;
        let attached = self.voter.attach(report_from_wire(first)?).map_err(refused)?;
        let catalog = self.voter.newest().map_err(not_leader)?;
        let (updates, receiver) = mpsc::channel(QUEUED_UPDATES);
        let voter = self.voter.clone();
        tokio::spawn(async move {
            let ended = serve_follower(&*voter, reports, &updates, catalog).await;
            drop(attached);
            if let Err(status) = ended {
                // The follower may be gone.
                let _ = updates.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn add_voter(
        &self,
        request: Request<wire::AddVoterRequest>,
    ) -> Result<Response<wire::AddVoterResponse>, Status> {
        self.voter.add_voter(NodeId(request.into_inner().node)).await.map_err(refused)?;
        Ok(Response::new(wire::AddVoterResponse {}))
    }

    async fn raft(
        &self,
        request: Request<Streaming<wire::RaftMessage>>,
    ) -> Result<Response<wire::RaftResponse>, Status> {
        let mut messages = request.into_inner();
        while let Some(message) = messages.message().await? {
            // One that cannot be read is as good as lost.
            if let Err(error) = self.voter.receive(&message.message) {
                tracing::warn!(%error, "a message of another master was refused");
            }
        }
        Ok(Response::new(wire::RaftResponse {}))
    }
}

/// Sends the catalog and its changes and takes reports, until the follower goes or the voter no
/// longer leads.
async fn serve_follower(
    voter: &dyn Voter,
    mut reports: Streaming<wire::Report>,
    updates: &mpsc::Sender<Result<wire::CatalogUpdate, Status>>,
    mut sent: Arc<Catalog>,
) -> Result<(), Status> {
    let mut update = Update::Snapshot(sent.to_follow().encode().into());
    loop {
        if updates.send(Ok(wire::CatalogUpdate { update: Some(update) })).await.is_err() {
            return Ok(());
        }
        let newer = loop {
            tokio::select! {
                report = reports.message() => match report? {
                    Some(report) => voter.report(report_from_wire(report)?),
                    None => return Ok(()),
                },
                newer = voter.newer(sent.version()) => break newer.map_err(not_leader)?,
            }
        };
        update = Update::Delta(sent.delta_to(&newer).into());
        sent = newer;
    }
}
