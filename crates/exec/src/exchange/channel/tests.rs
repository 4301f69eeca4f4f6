//! When a queue hands its batches on.

use super::*;
use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema};

const EXCHANGE: ExchangeId = ExchangeId(1);

fn rows(n: usize) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![7; n]))]).unwrap()
}

/// Two producers and two consumers.
fn channels(patient: bool) -> Channels {
    let shape = ExchangeShape { producers: vec![0, 1], consumers: 2, apart: false, patient };
    Channels::new([(EXCHANGE, rows(0).schema(), shape)], DEFAULT_CAPACITY, &Arc::default())
}

/// The rows of the next batch, if there is one at once; none at the end.
fn next(receiver: &mut ExchangeReceiver) -> Option<usize> {
    receiver.next().now_or_never().map(|batch| batch.map_or(0, |batch| batch.unwrap().num_rows()))
}

#[tokio::test]
async fn a_patient_exchange_keeps_few_rows_until_no_more_come() {
    let channels = channels(true);
    let mut first = channels.sender(EXCHANGE, 0).unwrap();
    let second = channels.sender(EXCHANGE, 1).unwrap();
    let mut receiver = channels.receiver(EXCHANGE, 0).unwrap();
    first.send(0, rows(3)).await.unwrap();
    first.send(0, rows(4)).await.unwrap();
    assert_eq!(next(&mut receiver), None);
    first.finish().await.unwrap();
    assert_eq!(next(&mut receiver), None);
    second.finish().await.unwrap();
    assert_eq!([next(&mut receiver), next(&mut receiver), next(&mut receiver)], [Some(3), Some(4), Some(0)]);
}

#[tokio::test]
async fn a_patient_exchange_hands_on_what_is_worth_a_message() {
    let channels = channels(true);
    let mut sender = channels.sender(EXCHANGE, 0).unwrap();
    let mut receiver = channels.receiver(EXCHANGE, 0).unwrap();
    let enough = PATIENT_BYTES / size_of::<i64>();
    sender.send(0, rows(5)).await.unwrap();
    sender.send(0, rows(enough)).await.unwrap();
    assert_eq!(
        [next(&mut receiver), next(&mut receiver), next(&mut receiver)],
        [Some(5), Some(enough), None]
    );
    // A reader that waits already is woken by it.
    let reader = tokio::spawn(async move { receiver.next().await.unwrap().unwrap().num_rows() });
    tokio::task::yield_now().await;
    sender.send(0, rows(enough)).await.unwrap();
    assert_eq!(reader.await.unwrap(), enough);
}

#[tokio::test]
async fn a_producer_that_waits_lets_every_consumer_read() {
    let channels = channels(true);
    let mut sender = channels.sender(EXCHANGE, 0).unwrap();
    let (mut full, mut few) =
        (channels.receiver(EXCHANGE, 0).unwrap(), channels.receiver(EXCHANGE, 1).unwrap());
    sender.send(1, rows(2)).await.unwrap();
    for _ in 0..DEFAULT_CAPACITY {
        sender.send(0, rows(1)).await.unwrap();
    }
    assert_eq!(next(&mut few), None);
    let waiting = tokio::spawn(async move { sender.send(0, rows(1)).await.map(|_| sender) });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert_eq!(next(&mut few), Some(2));
    // Now the other queue is empty, and the producer goes on.
    let _sender = waiting.await.unwrap().unwrap();
    assert_eq!(next(&mut full), Some(1));
}

#[tokio::test]
async fn what_is_gathered_is_handed_on_at_once() {
    let channels = channels(false);
    let mut sender = channels.sender(EXCHANGE, 0).unwrap();
    let mut receiver = channels.receiver(EXCHANGE, 0).unwrap();
    sender.send(0, rows(1)).await.unwrap();
    assert_eq!(next(&mut receiver), Some(1));
}
