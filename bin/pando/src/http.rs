//! The HTTP side: `/healthz` (the process lives), `/readyz` (it serves statements), `/metrics` in
//! Prometheus' text format.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One number to publish.
pub struct Metric {
    pub name: &'static str,
    pub help: &'static str,
    /// True: only grows.
    pub counter: bool,
    pub value: f64,
}

/// What the pages show.
pub struct Pages {
    pub ready: AtomicBool,
    pub metrics: Box<dyn Fn() -> Vec<Metric> + Send + Sync>,
}

fn render(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for Metric { name, help, counter, value } in metrics {
        let kind = if *counter { "counter" } else { "gauge" };
        // Writing to a String does not fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    }
    text
}

pub fn router(pages: Arc<Pages>) -> Router {
    let ready = pages.clone();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                if ready.ready.load(Ordering::Acquire) {
                    (StatusCode::OK, "ready\n")
                } else {
                    (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
                }
            }),
        )
        .route(
            "/metrics",
            get(move || async move {
                let type_ = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
                (type_, render(&(pages.metrics)())).into_response()
            }),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_in_prometheus_text_format() {
        let text = render(&[Metric { name: "pando_x_total", help: "Things.", counter: true, value: 3.0 }]);
        assert_eq!(text, "# HELP pando_x_total Things.\n# TYPE pando_x_total counter\npando_x_total 3\n");
    }
}
