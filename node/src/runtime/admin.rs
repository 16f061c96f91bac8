//! The admin HTTP server, on the main thread's own tokio runtime: it never touches a core, it asks
//! through the control channel and waits, for a bounded time.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use proto::id::Id;
use proto::key::{KEY_BYTES, Key};
use proto::message::{Failed, FailureCode, LookupAnswer, LookupMode};
use proto::peer::Peer;
use serde::{Deserialize, Serialize};

use super::control::Call;
use super::metrics;
use super::node::{NoAnswer, Node};
use super::node_status::NodeStatus;
use super::readiness;
use crate::engine::request::{AdminAnswer, AdminRequest, ClientAnswer, MemberName, RingMember};

/// Serves until the task is dropped.
pub(crate) async fn serve(node: Arc<Node>, listener: TcpListener) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/ring", get(ring))
        .route("/lookup/{key}", get(lookup))
        .route("/metrics", get(metrics_text))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(node);
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!(%error, "the admin server ended");
    }
}

/// A request that cannot be served: one line of text.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

impl From<NoAnswer> for Refusal {
    fn from(error: NoAnswer) -> Self {
        let status = match error {
            NoAnswer::Late => StatusCode::GATEWAY_TIMEOUT,
            NoAnswer::Preparing(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Self {
        let status = match failed.code {
            FailureCode::Invalid => StatusCode::BAD_REQUEST,
            FailureCode::Forbidden => StatusCode::FORBIDDEN,
            FailureCode::MemoryFull | FailureCode::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
            FailureCode::Overloaded
            | FailureCode::NoRoute
            | FailureCode::NotMember
            | FailureCode::StorageFailed => StatusCode::SERVICE_UNAVAILABLE,
            FailureCode::Unknown => StatusCode::GATEWAY_TIMEOUT,
        };
        Self(status, failed.reason)
    }
}

async fn livez() -> &'static str {
    "ok\n"
}

#[derive(Deserialize)]
struct ReadyQuery {
    verbose: Option<String>,
}

async fn readyz(
    State(node): State<Arc<Node>>,
    query: Result<Query<ReadyQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(bad_query)?;
    let checks = readiness::checks(&node).await;
    let is_ready = checks.iter().all(|(is_ok, _)| *is_ok);
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut text = String::new();
    for (is_ok, what) in checks {
        if query.verbose.is_some() || !is_ok {
            text.push_str(&format!("[{}] {what}\n", if is_ok { '+' } else { '-' }));
        }
    }
    text.push_str(if is_ready { "ready\n" } else { "not ready\n" });
    Ok((status, text).into_response())
}

async fn status(State(node): State<Arc<Node>>) -> Result<Response, Refusal> {
    let answer = node
        .ask(0, |reply| Call::Admin(AdminRequest::Status, reply))
        .await?;
    let AdminAnswer::Status(ring) = answer else {
        return Err(NoAnswer::Late.into());
    };
    let reports = node.reports().await?;
    Ok(json(&NodeStatus::of(&node, *ring, &reports)))
}

async fn ring(State(node): State<Arc<Node>>) -> Result<Response, Refusal> {
    let answer = node
        .ask(0, |reply| Call::Admin(AdminRequest::Ring, reply))
        .await?;
    match answer {
        AdminAnswer::Ring(members) => Ok(json::<Vec<RingMember>>(&members)),
        AdminAnswer::Status(_) | AdminAnswer::Left => Err(NoAnswer::Late.into()),
    }
}

#[derive(Deserialize)]
struct LookupQuery {
    trace: Option<String>,
    hex: Option<String>,
    mode: Option<String>,
}

/// What `/lookup/{key}` answers.
#[derive(Serialize)]
struct LookupReport {
    key: String,
    target: String,
    mode: &'static str,
    owner: MemberName,
    predecessor: Option<MemberName>,
    rpcs: u8,
    timeouts: u8,
    cached: bool,
    path: Vec<MemberName>,
    elapsed_us: u64,
}

async fn lookup(
    State(node): State<Arc<Node>>,
    Path(text): Path<String>,
    query: Result<Query<LookupQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(bad_query)?;
    let key = parse_key(&text, is_on(query.hex.as_deref()))?;
    let mode = parse_mode(query.mode.as_deref(), is_on(query.trace.as_deref()))?;
    let target: Id = key.position();
    match node
        .ask(0, |reply| Call::Lookup(target, mode, reply))
        .await?
    {
        ClientAnswer::Owner(answer) => Ok(json(&lookup_report(&key, &target, mode, &answer))),
        ClientAnswer::Failed(failed) => Err(failed.into()),
        ClientAnswer::Stored(_) | ClientAnswer::Value { .. } | ClientAnswer::Absent(_) => {
            Err(NoAnswer::Late.into())
        }
    }
}

fn lookup_report(key: &Key, target: &Id, mode: LookupMode, answer: &LookupAnswer) -> LookupReport {
    LookupReport {
        key: key.to_string(),
        target: target.to_string(),
        mode: mode_name(mode),
        owner: MemberName::from(&answer.owner),
        predecessor: answer
            .predecessor
            .as_ref()
            .map(|peer: &Peer| MemberName::from(peer)),
        rpcs: answer.route.rpcs,
        timeouts: answer.route.timeouts,
        cached: answer.route.cached,
        path: answer.path.iter().map(MemberName::from).collect(),
        elapsed_us: answer.elapsed_us,
    }
}

fn parse_key(text: &str, is_hex: bool) -> Result<Key, Refusal> {
    if !is_hex {
        return Ok(Key::from_text(text));
    }
    let mut bytes = [0; KEY_BYTES];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Ok(Key::from_bytes(bytes)),
        Err(_) => Err(bad("with hex=1 a key is 64 hexadecimal digits")),
    }
}

fn parse_mode(mode: Option<&str>, is_traced: bool) -> Result<LookupMode, Refusal> {
    match mode {
        None if is_traced => Ok(LookupMode::Traced),
        None | Some("cached") => Ok(LookupMode::Cached),
        Some("recursive") if is_traced => Ok(LookupMode::Traced),
        Some("recursive") => Ok(LookupMode::Recursive),
        Some("traced") => Ok(LookupMode::Traced),
        Some("iterative") => Ok(LookupMode::Iterative),
        Some(_) => Err(bad("mode is cached, recursive, traced or iterative")),
    }
}

const fn mode_name(mode: LookupMode) -> &'static str {
    match mode {
        LookupMode::Cached => "cached",
        LookupMode::Recursive => "recursive",
        LookupMode::Traced => "traced",
        LookupMode::Iterative => "iterative",
    }
}

/// A flag of a query: there and not switched off.
fn is_on(flag: Option<&str>) -> bool {
    flag.is_some_and(|flag| !matches!(flag, "0" | "false"))
}

async fn metrics_text(State(node): State<Arc<Node>>) -> Result<Response, Refusal> {
    let text = metrics::encode(&node, &node.reports().await?);
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

fn json<T: Serialize>(body: &T) -> Response {
    match serde_json::to_string_pretty(body) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn not_found() -> Refusal {
    let known = "/livez /readyz /status /ring /lookup/{key} /metrics";
    Refusal(
        StatusCode::NOT_FOUND,
        format!("no such page; there are {known}"),
    )
}

async fn wrong_method() -> Refusal {
    Refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        "only GET is served here".into(),
    )
}

fn bad(why: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, why.into())
}

#[expect(clippy::needless_pass_by_value, reason = "the signature map_err wants")]
fn bad_query(rejection: QueryRejection) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, rejection.body_text())
}
