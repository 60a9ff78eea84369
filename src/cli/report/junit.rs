//! Reports as JUnit XML: a suite for each instance, a case for each item of the verdict.

use quick_junit::{NonSuccessKind, Report as Junit, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::model::verdict::{Item, Outcome};
use crate::ops::report::Report;

/// The document.
pub(super) fn xml(reports: &[Report]) -> Result<String, SerializeError> {
    let mut document = Junit::new("tidegate");
    for report in reports {
        let mut suite = TestSuite::new(report.looked.instance.as_str());
        suite.add_property(("at", report.looked.at.as_str()));
        if let Some(against) = &report.looked.against {
            suite.add_property(("compared with", against.as_str()));
        }
        suite.add_test_cases(report.looked.verdict.items.iter().map(case));
        document.add_test_suite(suite);
    }
    document.to_string()
}

/// What blocks is a failure or an error, as the checks said. What is bad and was bad before is skipped, with the reason:
/// it says nothing about this run. Other warnings pass, with their reason as output.
fn case(item: &Item) -> TestCase {
    let (word, reason) = item.outcome.word();
    let text = format!("{word}: {}", reason.unwrap_or_default());
    let not = |kind| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_type(word).set_message(reason.unwrap_or_default());
        status
    };
    let status = match item.outcome {
        Outcome::Fail { .. } => not(NonSuccessKind::Failure),
        Outcome::Error { .. } | Outcome::Inconclusive { .. } => not(NonSuccessKind::Error),
        Outcome::KnownBad { .. } => {
            let mut status = TestCaseStatus::skipped();
            status.set_type(word).set_message(reason.unwrap_or_default());
            status
        }
        _ => TestCaseStatus::success(),
    };
    let is_warning = matches!(status, TestCaseStatus::Success { .. }) && item.outcome != Outcome::Pass;
    let mut case = TestCase::new(item.title.as_str(), status);
    case.set_classname(item.id.as_str());
    if is_warning {
        case.set_system_out(text);
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::tests::example;

    #[test]
    fn failures_are_failures_and_text_is_escaped() {
        let xml = xml(&[example()]).unwrap();
        insta::assert_snapshot!(xml);
    }
}
