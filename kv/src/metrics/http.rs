//! Connections, each with one question: bounded in number, time and bytes, so that whoever is
//! slow, sends much or opens many holds up nobody else.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::connections::Connections;
use super::pages::Pages;
use crate::limits::{
    HTTP_ACCEPT_AGAIN, HTTP_CONNECTION_TIME, HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX,
    HTTP_SOCKET_BUFFER_BYTES,
};

/// Bounds what the kernel keeps for each connection; they have it from the listener.
pub(super) fn bound_buffers(listener: &TcpListener) {
    let socket = SockRef::from(listener);
    // A kernel that refuses has bounds of its own.
    let _ = socket.set_recv_buffer_size(HTTP_SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(HTTP_SOCKET_BUFFER_BYTES);
    // What nobody takes after the end of a connection is dropped, too.
    let _ = socket.set_tcp_user_timeout(Some(HTTP_CONNECTION_TIME));
}

/// Serves until the process ends.
pub(super) async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        host::output::to_stderr("kv: warning: --metrics: its socket cannot be waited for");
        return;
    };
    let mut connections = Connections::<JoinHandle<()>>::new(HTTP_CONNECTIONS_MAX);
    loop {
        let gives_way = match listener.accept().await {
            Ok((stream, peer)) => {
                let serving = tokio::spawn(serve_one(stream, pages.clone()));
                connections.add(peer.ip().to_canonical(), serving, JoinHandle::is_finished)
            }
            // There is no descriptor to spare: one is freed, or waited for.
            Err(_) => {
                sleep(HTTP_ACCEPT_AGAIN).await;
                connections.give_way()
            }
        };
        if let Some(connection) = gives_way.filter(|connection| !connection.is_finished()) {
            connection.abort();
            pages.observed.http.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn serve_one(stream: TcpStream, pages: Arc<Pages>) {
    let is_asked = Arc::new(AtomicBool::new(false));
    let (asks, of_answers) = (is_asked.clone(), pages.clone());
    let answer = service_fn(move |question: hyper::Request<_>| {
        asks.store(true, Ordering::Relaxed);
        let (method, path) = (question.method(), question.uri().path());
        let answer = of_answers.answer(method, path, question.headers());
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_CONNECTION_TIME)
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        // The answer is not copied for each connection.
        .writev(true)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    let ended = timeout(HTTP_CONNECTION_TIME, served).await;
    let counters = &pages.observed.http;
    match ended {
        Ok(Ok(())) if is_asked.load(Ordering::Relaxed) => {
            counters.answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Ok(())) => {} // It was a look whether somebody listens.
        _ => {
            counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
