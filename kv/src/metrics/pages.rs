//! The pages, and how old what they tell may be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method, Response, StatusCode};

use super::accept::Format;
use super::families::{Facts, render};
use super::health;
use crate::limits::HTTP_FIGURES_AGE;
use crate::observed::Observed;

const PLAIN: &str = "text/plain; charset=utf-8";
const INDEX: &str = "kv: /metrics /healthz /readyz\n";

/// What is given out.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) observed: Arc<Observed>,
    facts: Facts,
    stop: Arc<AtomicBool>,
    /// Of text, and of OpenMetrics: all who ask at once share one.
    last: Mutex<[Option<(Instant, Bytes)>; 2]>,
}

impl Pages {
    pub(super) fn new(observed: Arc<Observed>, facts: Facts, stop: Arc<AtomicBool>) -> Self {
        Self { observed, facts, stop, last: Mutex::default() }
    }

    /// The answer to a question.
    pub(super) fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET it\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/metrics" => {
                let accept: Vec<_> = headers
                    .get_all(ACCEPT)
                    .iter()
                    .filter_map(|value| value.to_str().ok())
                    .collect();
                let format = Format::of(&accept.join(","));
                page(StatusCode::OK, format.content_type(), self.figures(format))
            }
            "/healthz" => self.state(health::healthy),
            "/readyz" => {
                let stops = self.stop.load(Ordering::Relaxed);
                self.state(|workers, now_ns| health::ready(workers, now_ns, stops))
            }
            "/" => page(StatusCode::OK, PLAIN, INDEX),
            _ => page(StatusCode::NOT_FOUND, PLAIN, INDEX),
        }
    }

    fn figures(&self, format: Format) -> Bytes {
        // What panicked while it held this left it whole.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = &mut last[format as usize];
        if let Some((made, text)) = last
            && made.elapsed() < HTTP_FIGURES_AGE
        {
            return text.clone();
        }
        let text = Bytes::from(render(&self.observed, self.facts, format));
        *last = Some((Instant::now(), text.clone()));
        text
    }

    fn state(
        &self,
        of: impl FnOnce(&[crate::worker::WorkerFigures], u64) -> Result<(), String>,
    ) -> Response<Full<Bytes>> {
        let workers: Vec<_> = self.observed.workers().collect();
        match of(&workers, udp::clock::now_ns()) {
            Ok(()) => page(StatusCode::OK, PLAIN, "ok\n"),
            Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")),
        }
    }
}

fn page(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
