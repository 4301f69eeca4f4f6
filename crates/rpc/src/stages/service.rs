//! The service of a node's stages.

use super::{batches, convert};
use crate::error::to_status;
use exec::StageService;
use exec::exchange::ExchangeReceiver;
use exec::to_sql_error;
use futures::stream::{self, BoxStream, StreamExt};
use proto::stages as wire;
use proto::stages::stages_server::{Stages, StagesServer};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use types::SqlError;

/// Answers by `stages`.
pub fn server(stages: Arc<dyn StageService>) -> StagesServer<impl Stages> {
    // Plans are as large as queries, batches as large as their rows: neither has a limit of its own.
    StagesServer::new(Service(stages))
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX)
}

struct Service(Arc<dyn StageService>);

type Events = BoxStream<'static, Result<wire::Taken, Status>>;
type Replies = ReceiverStream<Result<wire::PullReply, Status>>;

#[tonic::async_trait]
impl Stages for Service {
    type StartStream = Events;

    async fn start(&self, request: Request<wire::StartRequest>) -> Result<Response<Events>, Status> {
        let request = convert::request(request.into_inner()).map_err(to_status)?;
        let control = self.0.start(request).await.map_err(to_status)?;
        let taken = Ok(wire::Taken {});
        let failures = control.map(|error| Err(to_status(error)));
        Ok(Response::new(stream::iter([taken]).chain(failures).boxed()))
    }

    type PullStream = Replies;

    async fn pull(
        &self,
        request: Request<Streaming<wire::PullRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|request| request.request);
        let Some(wire::pull_request::Request::Open(opened)) = first else {
            return Err(to_status(SqlError::internal("a pull came without its stream")));
        };
        let rows = self.0.pull(convert::stream(opened).map_err(to_status)?);
        let (replies, answer) = mpsc::channel(1);
        tokio::spawn(async move {
            // When the caller goes, the answer is dropped.
            tokio::select! {
                _ = send(rows, requests, &replies) => {}
                _ = replies.closed() => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(answer)))
    }

    async fn close(&self, request: Request<wire::Stream>) -> Result<Response<wire::CloseReply>, Status> {
        let pull = convert::stream(request.into_inner()).map_err(to_status)?;
        self.0.close(pull).await.map_err(to_status)?;
        Ok(Response::new(wire::CloseReply {}))
    }

    async fn measure(
        &self,
        request: Request<wire::MeasureRequest>,
    ) -> Result<Response<wire::MeasureReply>, Status> {
        let request = request.into_inner();
        let query = convert::query(request.query).map_err(to_status)?;
        let measured = self.0.measure(query, request.part).await.map_err(to_status)?;
        let stages = measured
            .into_iter()
            .map(|(exchange, plan)| wire::MeasuredStage {
                exchange: exchange.0,
                plan: Some(convert::measured_to_wire(plan)),
            })
            .collect();
        Ok(Response::new(wire::MeasureReply { stages }))
    }
}

/// Sends the rows as far as there are credits, then the end. `None`: the caller has gone.
async fn send(
    mut rows: ExchangeReceiver,
    mut requests: Streaming<wire::PullRequest>,
    replies: &mpsc::Sender<Result<wire::PullReply, Status>>,
) -> Option<()> {
    let mut encoder = batches::Encoder::default();
    let mut credit: i64 = 0;
    let reply = |reply| Ok(wire::PullReply { reply: Some(reply) });
    while let Some(batch) = rows.next().await {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return replies.send(Err(to_status(to_sql_error(&error)))).await.ok(),
        };
        for piece in batches::pieces(batch) {
            while credit <= 0 {
                match requests.message().await.ok()??.request {
                    Some(wire::pull_request::Request::Credit(more)) => {
                        credit = credit.saturating_add(i64::try_from(more).unwrap_or(i64::MAX));
                    }
                    _ => {
                        let error = SqlError::internal("a pull came with a second stream");
                        return replies.send(Err(to_status(error))).await.ok();
                    }
                }
            }
            let message = match piece.and_then(|piece| encoder.encode(&piece)) {
                Ok(message) => message,
                Err(error) => return replies.send(Err(to_status(SqlError::internal(error)))).await.ok(),
            };
            credit -= batches::size(&message) as i64;
            replies.send(reply(wire::pull_reply::Reply::Batch(message))).await.ok()?;
        }
    }
    replies.send(reply(wire::pull_reply::Reply::End(wire::End {}))).await.ok()
}
