//! The HTTP side: `/healthz` (the process lives), `/readyz` (it serves), `/metrics` in Prometheus' text
//! format.

use crate::process::stopped;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use parking_lot::Mutex;
use std::fmt::Write;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// One number to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub help: &'static str,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Only grows.
    Counter(f64),
    Gauge(f64),
    Histogram {
        /// How many were at most so much, by upper bounds that ascend.
        buckets: Vec<(f64, u64)>,
        count: u64,
        sum: f64,
    },
}

/// Numbers of one part of the process, as they are now.
pub type Source = Box<dyn Fn() -> Vec<Metric> + Send + Sync>;

/// What the pages show. Parts of the process add themselves as they start.
pub struct Pages {
    ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    sources: Mutex<Vec<Source>>,
}

impl Pages {
    /// `ready`: an error says what is missing.
    pub fn new(ready: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Arc<Pages> {
        Arc::new(Pages { ready: Box::new(ready), sources: Mutex::default() })
    }

    pub fn add(&self, source: impl Fn() -> Vec<Metric> + Send + Sync + 'static) {
        self.sources.lock().push(Box::new(source));
    }

    fn render(&self) -> String {
        render(&self.sources.lock().iter().flat_map(|source| source()).collect::<Vec<_>>())
    }
}

fn render(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for Metric { name, help, value } in metrics {
        let kind = match value {
            Value::Counter(_) => "counter",
            Value::Gauge(_) => "gauge",
            Value::Histogram { .. } => "histogram",
        };
        // Writing to a String does not fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        let _ = match value {
            Value::Counter(value) | Value::Gauge(value) => writeln!(text, "{name} {value}"),
            Value::Histogram { buckets, count, sum } => {
                for (bound, below) in buckets {
                    let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}");
                }
                let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}");
                writeln!(text, "{name}_sum {sum}\n{name}_count {count}")
            }
        };
    }
    text
}

fn router(pages: Arc<Pages>) -> Router {
    let ready = pages.clone();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                match (ready.ready)() {
                    Ok(()) => (StatusCode::OK, "ready\n".to_string()),
                    Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
                }
            }),
        )
        .route(
            "/metrics",
            get(move || async move {
                let type_ = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
                (type_, pages.render()).into_response()
            }),
        )
}

/// Serves the pages until a stop is asked for.
pub async fn serve(listener: TcpListener, pages: Arc<Pages>, stop: watch::Receiver<bool>) {
    if let Err(error) = axum::serve(listener, router(pages)).with_graceful_shutdown(stopped(stop)).await {
        tracing::error!(%error, "the HTTP side ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_in_prometheus_text_format() {
        let pages = Pages::new(|| Ok(()));
        pages.add(|| vec![Metric { name: "pando_x_total", help: "Things.", value: Value::Counter(3.0) }]);
        pages.add(|| vec![Metric { name: "pando_y", help: "More.", value: Value::Gauge(0.5) }]);
        pages.add(|| {
            let value = Value::Histogram { buckets: vec![(0.1, 1), (1.0, 4)], count: 5, sum: 7.5 };
            vec![Metric { name: "pando_z_seconds", help: "Times.", value }]
        });
        let expected = "# HELP pando_x_total Things.\n# TYPE pando_x_total counter\npando_x_total 3\n\
                        # HELP pando_y More.\n# TYPE pando_y gauge\npando_y 0.5\n\
                        # HELP pando_z_seconds Times.\n# TYPE pando_z_seconds histogram\n\
                        pando_z_seconds_bucket{le=\"0.1\"} 1\npando_z_seconds_bucket{le=\"1\"} 4\n\
                        pando_z_seconds_bucket{le=\"+Inf\"} 5\npando_z_seconds_sum 7.5\npando_z_seconds_count 5\n";
        assert_eq!(pages.render(), expected);
    }
}
