//! What is asked for, and what is answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Form, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use issuer::{SigningKey, TEST_DAYS, grant};
use license::{Day, Licensee, ProxyId, TrustedKey};
use serde::Deserialize;

use super::door::Caller;
use super::limit::Limit;
use super::page::{Page, STYLE};
use crate::cli::TEST_LICENSEE;
use crate::print;

/// What all requests share.
struct Office {
    key: SigningKey,
    is_development: bool,
    limit: Mutex<Limit>,
}

/// The form.
#[derive(Debug, Deserialize)]
struct Application {
    proxy_id: String,
}

/// The page, its style, and the license that is asked for by its form.
pub(super) fn routes(key: SigningKey) -> Router {
    let is_development = TrustedKey::parse(&key.public_key()).is_ok_and(|key| key.is_development());
    let office = Office { key, is_development, limit: Mutex::new(Limit::new(Instant::now())) };
    Router::new()
        .route("/", get(form))
        .route("/style.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .route("/license", post(license).get(form))
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(with_rules))
        .with_state(Arc::new(office))
}

async fn form(State(office): State<Arc<Office>>) -> Response {
    office.page("", None).into_response()
}

async fn nothing_here(State(office): State<Arc<Office>>) -> Response {
    let page = office.page("", Some("There is nothing at this address. Here is the page that there is."));
    (StatusCode::NOT_FOUND, page).into_response()
}

async fn license(
    State(office): State<Arc<Office>>,
    ConnectInfo(Caller(address)): ConnectInfo<Caller>,
    application: Result<Form<Application>, FormRejection>,
) -> Response {
    let Ok(Form(Application { proxy_id: text })) = application else {
        let page = office.page("", Some("This is not what the form sends. Paste the Proxy ID below."));
        return (StatusCode::BAD_REQUEST, page).into_response();
    };
    // What is pasted may be the whole line that -L prints.
    let trimmed = text.trim().trim_start_matches("OS4X Proxy ID:").trim();
    let Ok(proxy_id) = trimmed.parse::<ProxyId>() else {
        let page = office.page(&text, Some(&no_id(trimmed)));
        return (StatusCode::UNPROCESSABLE_ENTITY, page).into_response();
    };
    // Nothing can have been left half done under this lock.
    let limited =
        office.limit.lock().unwrap_or_else(PoisonError::into_inner).on_request(address, Instant::now());
    if let Err(wait) = limited {
        let seconds = wait.as_secs() + 1;
        let sorry = format!("Too many licenses were asked for. Try again in {seconds} seconds.");
        let page = office.page(&text, Some(&sorry));
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())], page)
            .into_response();
    }
    match office.issue(proxy_id) {
        Ok(signed) => {
            print::line(format!("a test license for {proxy_id} went to {address}"));
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), DOWNLOAD], signed).into_response()
        }
        Err(reason) => {
            print::line(format!("no license for {proxy_id}: {reason}"));
            let page = office
                .page(&text, Some("The license could not be signed. The terminal of the server says why."));
            (StatusCode::INTERNAL_SERVER_ERROR, page).into_response()
        }
    }
}

impl Office {
    fn page(&self, proxy_id: &str, problem: Option<&str>) -> Page {
        Page::new(proxy_id, problem, self.is_development)
    }

    fn issue(&self, proxy_id: ProxyId) -> Result<String, String> {
        let licensee: Licensee = TEST_LICENSEE.parse()?;
        let license = grant(proxy_id, licensee, Day::today(), TEST_DAYS);
        self.key.sign(&license).map_err(|error| error.to_string())
    }
}

/// What is wrong, as somebody sees it who has pasted the wrong thing.
fn no_id(text: &str) -> String {
    let count = text.chars().count();
    match (count, text.ends_with("px")) {
        (0, _) => String::from("Paste the Proxy ID here first."),
        (66, true) => String::from("This is no Proxy ID: there is a character in it other than 0-9 and a-f."),
        (66, false) => String::from("This is no Proxy ID: it does not end in px."),
        (64, false) => String::from("This is no Proxy ID: the px at its end is missing."),
        _ => format!(
            "This is no Proxy ID: it has 64 digits and px, 66 characters in all, and this has {count}."
        ),
    }
}

/// Nothing from elsewhere, nothing that runs, nobody's frame, and no copies of licenses on the way.
async fn with_rules(mut response: Response) -> Response {
    for (name, value) in RULES {
        response.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
    }
    response
}

const RULES: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];
const DOWNLOAD: (HeaderName, &str) = (header::CONTENT_DISPOSITION, "attachment; filename=\"os4x_proxy.lic\"");
/// A form with a Proxy ID has less than a hundred.
const BODY_BYTES_MAX: usize = 4_096;
