//! The service of a node's stages.

use super::convert;
use super::incoming::{Incoming, REPLIES};
use crate::error::to_status;
use exec::StageService;
use proto::stages as wire;
use proto::stages::stages_server::{Stages, StagesServer};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Answers by `stages`. When `stop` turns true, calls that carry streams end as soon as they have none.
pub fn server(stages: Arc<dyn StageService>, stop: watch::Receiver<bool>) -> StagesServer<impl Stages> {
    // Plans are as large as queries, batches as large as their rows: neither has a limit of its own.
    StagesServer::new(Service { stages, stop })
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX)
}

struct Service {
    stages: Arc<dyn StageService>,
    stop: watch::Receiver<bool>,
}

type Replies = ReceiverStream<Result<wire::ExchangeReply, Status>>;

#[tonic::async_trait]
impl Stages for Service {
    type ExchangeStream = Replies;

    async fn exchange(
        &self,
        request: Request<Streaming<wire::ExchangeRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let (replies, answer) = mpsc::channel(REPLIES);
        let call = Incoming { stages: self.stages.clone(), replies, streams: Arc::default() };
        tokio::spawn(call.serve(request.into_inner(), self.stop.clone()));
        Ok(Response::new(ReceiverStream::new(answer)))
    }

    async fn measure(
        &self,
        request: Request<wire::MeasureRequest>,
    ) -> Result<Response<wire::MeasureReply>, Status> {
        let request = request.into_inner();
        let query = convert::query(request.query).map_err(to_status)?;
        let measured = self.stages.measure(query, request.part).await.map_err(to_status)?;
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
