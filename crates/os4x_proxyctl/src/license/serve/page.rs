//! The page.

use axum::response::{Html, IntoResponse, Response};
use issuer::TEST_DAYS;

/// The page with its form, as HTML.
pub(super) struct Page(String);

impl Page {
    /// With what was pasted before, and what is wrong with it.
    pub(super) fn new(proxy_id: &str, problem: Option<&str>, is_development: bool) -> Self {
        let (error, described) = match problem {
            Some(problem) => (
                format!("<p id=\"problem\" class=\"problem\" role=\"alert\">{}</p>", escaped(problem)),
                "aria-invalid=\"true\" aria-describedby=\"problem hint\"",
            ),
            None => (String::new(), "aria-describedby=\"hint\""),
        };
        let key = if is_development { DEVELOPMENT } else { OWN_KEY };
        let page = TEMPLATE
            .replace("{title}", if problem.is_some() { "Error: Test license" } else { "Test license" })
            .replace("{days}", &TEST_DAYS.to_string())
            .replace("{key}", key)
            .replace("{described}", described)
            .replace("{problem}", &error)
            // Last, so that nothing that was typed is taken for one of these words.
            .replace("{proxy_id}", &escaped(proxy_id));
        Self(page)
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        Html(self.0).into_response()
    }
}

/// As text, and as an attribute in double quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

const DEVELOPMENT: &str = "signed with the development key, which is public: builds that were made to trust \
                           another key refuse it";
const OWN_KEY: &str =
    "signed with the key of whoever runs this page: builds that trust it accept the license";
const TEMPLATE: &str = include_str!("page.html");
/// Of the page.
pub(super) const STYLE: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_text() {
        let Page(page) = Page::new("\"><script>{problem}{key}", Some("<b>"), true);
        assert!(page.contains("value=\"&quot;&gt;&lt;script&gt;{problem}{key}\""), "{page}");
        assert!(page.contains("&lt;b&gt;") && !page.contains("<script") && !page.contains("<b>"), "{page}");
        let Page(page) = Page::new("", None, false);
        assert!(!page.contains('{') && !page.contains("role=\"alert\""), "{page}");
    }
}
