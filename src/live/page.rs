//! The HTML page: the front end alone, which then asks a server, or with the data of a run in it.
//!
//! The front end is written by hand in `front/`: no build, no other program, nothing from outside. A
//! page with its data is one file that asks for nothing.

use super::story::Story;

/// The script of the front end, its files one after the other.
pub const SCRIPT: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("front/basics.js"),
    include_str!("front/data.js"),
    include_str!("front/chart.js"),
    include_str!("front/graph.js"),
    include_str!("front/tables.js"),
    include_str!("front/steer.js"),
    include_str!("front/main.js"),
    "})();\n"
);
/// Its style.
pub const STYLE: &str = include_str!("front/style.css");
/// What a browser may do with a page from the server.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";
const POLICY_OF_A_FILE: &str =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";
const BODY: &str = include_str!("front/body.html");

/// The page that asks its server for the data; with `steers`, it has what steers the run.
pub fn live(steers: bool) -> String {
    let page = html("", "<link rel=\"stylesheet\" href=\"/live.css\">", "Thalweg", "<script src=\"/live.js\"></script>");
    if steers { page.replacen("<section id=\"steer\"", "<section id=\"steer\" data-on=\"1\"", 1) } else { page }
}

/// The page of a run, with all of its data.
pub fn frozen(story: &Story) -> String {
    let data = serde_json::to_string(story).unwrap_or_default();
    let policy = format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY_OF_A_FILE}\">\n");
    let scripts =
        format!("<script type=\"application/json\" id=\"story\">{}</script>\n<script>\n{SCRIPT}</script>", within_a_script(&data));
    let (name, policy_name) = (escaped(&story.about.title), escaped(&story.about.policy));
    let title = if story.about.is_analysis { format!("Analysis of {name}") } else { format!("{name} · policy {policy_name}") };
    html(&policy, &format!("<style>\n{STYLE}</style>"), &title, &scripts)
}

fn html(policy: &str, style: &str, title: &str, scripts: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n{policy}<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n{style}\n</head>\n<body>\n{BODY}{scripts}\n</body>\n</html>\n"
    )
}

/// JSON that ends no element and begins no comment: outside of strings none of these occurs.
fn within_a_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{About, Model, OperatorAbout};

    /// The front end fits in what a page may weigh, and none of it can end the element that it is in.
    #[test]
    fn the_front_end_is_small_and_asks_for_nothing_from_outside() {
        let all = format!("{SCRIPT}{STYLE}{BODY}");
        assert!(all.len() < 300_000, "{} bytes", all.len());
        for forbidden in
            ["</script", "<!--", "</style", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https:"]
        {
            assert!(!all.contains(forbidden), "{forbidden}");
        }
        let outside = all.match_indices("http:").filter(|(at, _)| !all[*at..].starts_with("http://www.w3.org/2000/svg"));
        assert_eq!(outside.count(), 0);
        assert!(live(false).contains("src=\"/live.js\"") && !live(false).contains("id=\"story\""));
        assert!(live(true).contains("data-on") && !live(false).contains("data-on"));
    }

    #[test]
    fn names_are_harmless_whatever_they_are() {
        let nasty = "</script><script>alert(1)</script><!-- \u{2028} & \" ' \\ </title>";
        let about = About { title: nasty.to_owned(), policy: nasty.to_owned(), ..About::default() };
        let operators = vec![OperatorAbout { name: nasty.to_owned(), ..OperatorAbout::default() }];
        let page = frozen(&Model::of_operators(about, operators).story());
        assert_eq!(page.matches("<script").count(), 2, "the data and the program");
        assert_eq!(page.matches("</script").count(), 2);
        assert_eq!(page.matches("<!--").count(), 0);
        assert_eq!(page.matches("</title>").count(), 1);
        let from = page.find("id=\"story\">").unwrap() + "id=\"story\">".len();
        let data: serde_json::Value = serde_json::from_str(&page[from..from + page[from..].find("</script>").unwrap()]).unwrap();
        assert_eq!(data["operators"][0]["name"], nasty, "and nothing is lost");
    }
}
