//! A web service that keeps the sessions of its users in the store:
//! `cargo run --example session_cache -- 127.0.0.1:7400 127.0.0.1:8080`.
//!
//! ```text
//! curl -i -c cookies -d alice http://127.0.0.1:8080/login
//! curl -i -b cookies          http://127.0.0.1:8080/me
//! curl -i -b cookies -X POST  http://127.0.0.1:8080/logout
//! ```
//!
//! Most requests only read their session, so the near cache is on. This process sees its own
//! logouts at once; another one may take a session for valid for [`CACHE_AGE`] longer.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::env;
use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{COOKIE, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use client::{CacheConfig, Client, Config, Record};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Sessions that are kept in this process.
const CACHE_ENTRIES: usize = 100_000;
/// How stale a session may be.
const CACHE_AGE: Duration = Duration::from_secs(1);
/// A browser waits no longer than this for the store.
const TIMEOUT: Duration = Duration::from_millis(250);
/// How often a write is tried whose outcome is not known.
const TRIES: usize = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let servers = arguments.next().unwrap_or_else(|| "127.0.0.1:7400".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());

    let config = Config::default()
        .with_timeout(TIMEOUT)
        .with_cache(CacheConfig::new(CACHE_ENTRIES, CACHE_AGE));
    // This blocks, which is right before there is anything to serve.
    let store = Client::connect_with(&client::resolve(&servers)?, &config)?;
    let service = Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
        .route("/logout", post(logout))
        .with_state(store);

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, service)
        .with_graceful_shutdown(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await?;
    // All requests are answered. The last handle was dropped with the service: the servers
    // know that this client has gone.
    println!("stopped");
    Ok(())
}

/// Begins a session. The body is the user's name; a real service would ask for a password.
async fn login(State(store): State<Client>, name: String) -> Result<Response, Failure> {
    if name.is_empty() {
        return Ok((StatusCode::BAD_REQUEST, "who are you?\n").into_response());
    }
    let mut tries = 1..TRIES;
    loop {
        let id = new_id();
        let written = store.put(&key(&id), name.as_bytes()).await;
        match written {
            Ok(_) => {
                let cookie = format!("session={id}; HttpOnly; SameSite=Lax; Path=/");
                return Ok(([(SET_COOKIE, cookie)], format!("hello {name}\n")).into_response());
            }
            // Perhaps it was written. Nobody will ever learn its id, so another session can
            // begin beside it.
            Err(error) if error.is_indeterminate() && tries.next().is_some() => {}
            Err(error) => return Err(Failure(error)),
        }
    }
}

/// Tells whose session it is.
async fn me(State(store): State<Client>, headers: HeaderMap) -> Result<Response, Failure> {
    let Some(id) = session_id(&headers) else { return Ok(nobody()) };
    Ok(match find(&store, id).await? {
        Some(session) => (StatusCode::OK, [&session.value[..], b"\n"].concat()).into_response(),
        None => nobody(),
    })
}

/// Ends a session: an empty value stands for one that is over.
async fn logout(State(store): State<Client>, headers: HeaderMap) -> Result<Response, Failure> {
    let Some(id) = session_id(&headers) else { return Ok(nobody()) };
    // A record stays for ever, so only a login may make one: anybody can invent a cookie.
    if find(&store, id).await?.is_none() {
        return Ok(nobody());
    }
    let mut tries = 1..TRIES;
    loop {
        match store.put(&key(id), b"").await {
            Ok(_) => return Ok((StatusCode::OK, "goodbye\n").into_response()),
            // Nothing else is written to a session after its login, so to do it twice does no
            // harm.
            Err(error) if error.is_indeterminate() && tries.next().is_some() => {}
            Err(error) => return Err(Failure(error)),
        }
    }
}

/// The session of that name, if it is not over.
async fn find(store: &Client, id: &str) -> Result<Option<Record>, client::Error> {
    let session = store.get(&key(id)).await?;
    Ok(session.filter(|session| !session.value.is_empty()))
}

/// A call that failed, and with it the request.
struct Failure(client::Error);

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let text = format!("{error}\n");
        match error {
            // Nothing has happened: the browser may repeat its request.
            error if error.may_retry() => {
                (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], text).into_response()
            }
            // Whoever asked has to look first whether it has happened.
            client::Error::Indeterminate(_) => (StatusCode::GATEWAY_TIMEOUT, text).into_response(),
            client::Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, text).into_response(),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, text).into_response(),
        }
    }
}

fn nobody() -> Response {
    (StatusCode::UNAUTHORIZED, "log in first\n").into_response()
}

/// A name that nobody can guess.
fn new_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    format!("{:032x}", u128::from_le_bytes(bytes))
}

fn key(id: &str) -> Vec<u8> {
    [b"session:", id.as_bytes()].concat()
}

fn session_id(headers: &HeaderMap) -> Option<&str> {
    let mut cookies = headers.get(COOKIE)?.to_str().ok()?.split(';');
    cookies.find_map(|cookie| cookie.trim().strip_prefix("session="))
}
