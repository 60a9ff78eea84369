//! Reports as one HTML file that needs nothing else: styles, script and pictures are in it. It asks nothing of the net.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::counts;
use crate::model::verdict::{Item, Outcome};
use crate::ops::report::{Page, Report};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// Nothing may be loaded from anywhere. Text from outside is escaped, so that the only script is the one below.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The document.
pub(super) fn page(reports: &[Report]) -> String {
    let pass = reports.iter().all(|report| report.looked.verdict.is_pass());
    let names: Vec<&str> = reports.iter().map(|report| report.looked.instance.as_str()).collect();
    let title = format!("Tidegate: checks of {}", names.join(" and "));
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Checks" span class={ "badge " (if pass { "pass" } else { "fail" }) } { (if pass { "passed" } else { "failed" }) } }
                    @if let Some(run) = reports.first().and_then(|report| report.run.as_ref()) { p class="quiet" { "run " code { (run) } } }
                    p class="tools" {
                        input id="search" type="search" placeholder="Filter by name or reason" aria-label="Filter";
                        label { input id="all" type="checkbox"; " show what passed" }
                        span id="shown" class="quiet" aria-live="polite" {}
                    }
                }
                main { @for report in reports { (instance(report)) } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    document.into_string()
}

fn instance(report: &Report) -> Markup {
    let looked = &report.looked;
    let at = looked.at.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ");
    html! {
        section {
            h2 { (looked.instance) }
            p class="quiet" {
                "seen " (at) " UTC, "
                @match &looked.against {
                    Some(against) => { "compared with " (against) },
                    None => "compared with nothing: whatever does not work counts",
                }
            }
            p { @for (word, count) in counts(&looked.verdict) { span class={ "badge " (class(word)) } { (count) " " (word) } } }
            table {
                thead { tr { th { "Result" } th { "Check" } th { "What was seen" } } }
                tbody { @for item in &looked.verdict.items { (row(item)) } }
            }
            @if !report.pages.is_empty() {
                h3 { "Pages in a browser" }
                @for page in &report.pages { (pictures(page, &looked.verdict.items)) }
                @if report.left_out > 0 { p class="quiet" { (report.left_out) " more pages passed as well as the last of these; their pictures lie beside the journal" } }
            }
        }
    }
}

fn row(item: &Item) -> Markup {
    let (word, reason) = item.outcome.word();
    html! {
        tr class=[(item.outcome == Outcome::Pass).then_some("passed")] {
            td { span class={ "badge " (class(word)) } { (word) } }
            td { (item.title) div class="id" { (item.id) } }
            td { (reason.unwrap_or_default()) }
        }
    }
}

fn pictures(page: &Page, items: &[Item]) -> Markup {
    let outcome = items.iter().find(|item| item.id == page.check).map(|item| &item.outcome);
    let word = outcome.map_or("not judged", |outcome| outcome.word().0);
    let open = outcome.is_some_and(Outcome::blocks);
    html! {
        details open[open] {
            summary {
                span class={ "badge " (class(word)) } { (word) } " " (page.title)
                span class="quiet" {
                    " " (page.notes.took_ms) " ms"
                    @if let Some(share) = page.share { ", " (format!("{:.1}", share * 100.0)) " % of the picture differs" }
                }
            }
            @if let Some(at) = &page.notes.at { p class="quiet" { (at) } }
            ul {
                @for said in &page.notes.console_errors { li { "console: " (said) } }
                @for request in &page.notes.failed_requests { li { (request) } }
            }
            div class="pictures" {
                (picture("before", page.before.as_deref()))
                (picture("now", page.after.as_deref()))
                @if page.difference.is_some() { (picture("what differs", page.difference.as_deref())) }
            }
        }
    }
}

fn picture(caption: &str, png: Option<&[u8]>) -> Markup {
    html! {
        figure {
            figcaption { (caption) }
            @match png {
                Some(png) => img alt=(caption) src={ "data:image/png;base64," (STANDARD.encode(png)) };,
                None => p class="quiet" { "no picture" },
            }
        }
    }
}

fn class(word: &str) -> &'static str {
    match word {
        "pass" => "pass",
        "fail" => "fail",
        "error" | "inconclusive" => "error",
        _ => "warn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::tests::example;

    #[test]
    fn all_of_it_is_in_the_file_and_nothing_is_run_that_came_from_a_page() {
        let page = page(&[example()]);
        assert!(!page.contains("<script>alert") && !page.contains("<b>x</b>"), "text from outside became markup");
        for part in [
            "data:image/png;base64,b25l",
            "b25l",
            "dHdv",
            "dGhyZWU=",
            "25.0 % of the picture differs",
            "1234 ms",
            "it is blank",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        // The namespace of no picture, no font, no style: nothing is asked of the net.
        assert!(!page.contains("src=\"http") && !page.contains("href="), "it asks for more");
    }
}
