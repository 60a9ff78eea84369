//! Git's errors, by the codes of the contract.

use crate::api::envelope::ApiError;
use crate::broken::GIT_CODES;
use crate::git::Trouble;

/// An error with one of the codes of [`GIT_CODES`]; any other text becomes the generic one.
pub fn coded(code: &str, message: impl Into<String>) -> ApiError {
    let known = GIT_CODES.iter().find(|(each, _)| *each == code);
    let (code, status) = known.copied().unwrap_or(("AE-GIT-5016", 400));
    ApiError::new(status, code, title(code), message)
}

fn title(code: &str) -> &'static str {
    match code {
        "AE-GIT-4031" => "Invalid Git configuration",
        "AE-GIT-4032" => "Invalid Git SSH configuration",
        "AE-GIT-4033" => "Invalid Git repository",
        "AE-GIT-4036" | "AE-GIT-4037" => "Git merge failed",
        "AE-GIT-4046" | "AE-GIT-4047" => "Merge conflicts",
        "AE-GIT-4048" => "Git upstream changes",
        "AE-GIT-5013" => "Git file system error",
        "AE-GIT-5014" => "Git command timed out",
        "AE-GIT-5020" => "Git file in use",
        _ => "Git action failed",
    }
}

/// The configuration is not complete.
pub fn incomplete(why: &str) -> ApiError {
    coded("AE-GIT-4031", format!("Git configuration is invalid. Details: {why}"))
}

/// The host does not take the key.
pub fn access(why: &str) -> ApiError {
    coded(
        "AE-GIT-4032",
        format!(
            "SSH key is not configured correctly. Did you forget to add the SSH key to your remote repository? {why}"
        ),
    )
}

/// A step did not work.
pub fn step(verb: &str, why: &str) -> ApiError {
    coded("AE-GIT-4044", format!("git {verb} failed. \nDetails: {why}"))
}

/// A step did not work, by an error of another step: how a client sees an error that passed through.
pub fn wrapped(verb: &str, error: &ApiError) -> ApiError {
    step(verb, error.message())
}

/// Something about git itself went wrong during a step.
pub fn of(verb: &str, trouble: Trouble) -> ApiError {
    let said = trouble.said();
    match trouble {
        Trouble::Access(_) => access(&said),
        Trouble::TimedOut(_) => coded("AE-GIT-5014", said),
        Trouble::NoClone => coded("AE-GIT-4051", format!("Unable to find the repository. {said}")),
        Trouble::Files(_) => coded("AE-GIT-5013", said),
        Trouble::NoGit => coded("AE-GIT-5016", said),
        Trouble::Content(_) | Trouble::Failed(_) => step(verb, &said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    #[test]
    fn each_code_has_its_status() {
        assert_eq!(coded("AE-GIT-4036", "").into_response().status(), 406);
        assert_eq!(coded("anything", "").code(), "AE-GIT-5016");
        let refused = of("pull", Trouble::Access("no".into()));
        assert_eq!(refused.code(), "AE-GIT-4032");
        let inner = coded("AE-GIT-4048", "Git push failed");
        assert_eq!(
            wrapped("commit", &inner).into_json()["errorDisplay"],
            "AE-GIT-4044: git commit failed. \nDetails: Git push failed"
        );
    }
}
