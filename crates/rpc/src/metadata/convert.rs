//! The messages as the types of crate `catalog`, and back. What cannot be is an error, not a guess.

use super::LEADER;
use crate::error::{from_status, to_status};
use catalog::{Identity, NodeRole, NotLeader, Refused, Registration, Report};
use proto::metadata as wire;
use tonic::{Code, Status};
use types::{NodeId, SqlError};

pub(super) fn refused(refused: Refused) -> Status {
    match refused {
        Refused::NotLeader(other) => not_leader(other),
        Refused::Failed(error) => to_status(error),
    }
}

pub(super) fn not_leader(NotLeader { leader }: NotLeader) -> Status {
    let mut status = Status::failed_precondition("this master does not lead the metadata");
    // An address that a header cannot hold is as good as none.
    if let Some(leader) = leader.and_then(|leader| leader.parse().ok()) {
        status.metadata_mut().insert(LEADER, leader);
    }
    status
}

/// How a call to a master went wrong.
pub(super) enum CallError {
    NotLeader(NotLeader),
    /// The master's answer.
    Failed(SqlError),
    /// It did not answer: another may, or this one later.
    NoAnswer(SqlError),
}

pub(super) fn call_error(address: &str, status: &Status) -> CallError {
    if status.code() == Code::FailedPrecondition && status.details().is_empty() {
        let leader = status.metadata().get(LEADER).and_then(|leader| leader.to_str().ok());
        return CallError::NotLeader(NotLeader { leader: leader.map(str::to_owned) });
    }
    let error = from_status(&format!("master {address}"), status);
    let stops = error.kind == types::ErrorKind::ShuttingDown;
    if status.details().is_empty() || stops { CallError::NoAnswer(error) } else { CallError::Failed(error) }
}

pub(super) fn missing(what: &str) -> Status {
    Status::invalid_argument(format!("the message has no {what}"))
}

pub(super) fn identity_to_wire(identity: Identity) -> wire::Identity {
    wire::Identity { node: identity.node.0, cluster: identity.cluster }
}

pub(super) fn identity_from_wire(identity: wire::Identity) -> Identity {
    Identity { node: NodeId(identity.node), cluster: identity.cluster }
}

pub(super) fn report_to_wire(report: Report) -> wire::Report {
    wire::Report { identity: Some(identity_to_wire(report.identity)), applied: report.applied }
}

pub(super) fn report_from_wire(report: wire::Report) -> Result<Report, Status> {
    let identity = report.identity.ok_or_else(|| missing("identity"))?;
    Ok(Report { identity: identity_from_wire(identity), applied: report.applied })
}

pub(super) fn registration_to_wire(registration: &Registration) -> wire::RegisterRequest {
    let role = match registration.role {
        NodeRole::Master => wire::Role::Master,
        NodeRole::Aggregator => wire::Role::Aggregator,
        NodeRole::Leaf => wire::Role::Leaf,
    };
    wire::RegisterRequest {
        identity: registration.identity.map(identity_to_wire),
        host: registration.host.clone(),
        port: registration.port.into(),
        mysql_port: registration.mysql_port.map(Into::into),
        role: role.into(),
        cores: registration.cores,
    }
}

pub(super) fn registration_from_wire(request: wire::RegisterRequest) -> Result<Registration, Status> {
    let role = match request.role() {
        wire::Role::Master => NodeRole::Master,
        wire::Role::Aggregator => NodeRole::Aggregator,
        wire::Role::Leaf => NodeRole::Leaf,
        wire::Role::Unspecified => return Err(missing("role")),
    };
    let port = |port: u32| u16::try_from(port).map_err(|_| missing("port"));
    Ok(Registration {
        identity: request.identity.map(identity_from_wire),
        host: request.host.clone(),
        port: port(request.port)?,
        mysql_port: request.mysql_port.map(port).transpose()?,
        role,
        cores: request.cores,
    })
}
