//! The gate before a stage: may the next instance be upgraded? Pure: what it weighs has been gathered before.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::ids::{ImageId, InstanceName, RunId};

/// That an image passed its checks on an instance. Kept when a stage is reopened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// On which instance.
    pub instance: InstanceName,
    /// Which image.
    pub image: ImageId,
    /// What a person calls it.
    pub image_ref: String,
    /// When, RFC 3339.
    pub passed_at: String,
    /// In which run.
    pub run: RunId,
    /// How many checks passed.
    pub passed_count: usize,
}

/// What the gate looks at.
#[derive(Clone, Debug)]
pub struct GateFacts {
    /// The stage before, in the pipeline's order.
    pub previous: InstanceName,
    /// What is known of it.
    pub evidence: Option<Evidence>,
    /// What that stage runs on now.
    pub previous_image: Option<ImageId>,
    /// What is to be started.
    pub target: ImageId,
    /// How long evidence counts.
    pub max_age: SignedDuration,
    /// Now.
    pub now: Timestamp,
}

/// One thing that must hold before the gate opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Whether it holds.
    pub holds: bool,
    /// What was looked at and what was seen.
    pub text: String,
    /// What a person can do about it.
    pub lifts: Option<String>,
}

/// Weighs every condition; the gate opens when all hold. Without evidence nothing opens.
pub fn weigh(facts: &GateFacts) -> Vec<Condition> {
    let GateFacts { previous, target, .. } = facts;
    let upgrade_it = || Some(format!("upgrade `{previous}` to this image first"));
    let Some(evidence) = &facts.evidence else {
        return vec![Condition {
            holds: false,
            text: format!("no image has passed the checks on `{previous}` yet"),
            lifts: upgrade_it(),
        }];
    };
    let same = evidence.image == *target;
    let passed_at = evidence.passed_at.parse::<Timestamp>().ok();
    let age = passed_at.map(|at| facts.now.duration_since(at));
    // Evidence from the future is no evidence: the clock is wrong.
    let fresh = age.is_some_and(|age| age <= facts.max_age && age >= SignedDuration::from_mins(-5));
    let still = facts.previous_image.as_ref() == Some(target);
    vec![
        Condition {
            holds: same,
            text: if same {
                format!("this image ({}) passed {} checks on `{previous}`", target.short(), evidence.passed_count)
            } else {
                format!(
                    "`{previous}` passed its checks on {} ({}), not on this image ({})",
                    evidence.image_ref,
                    evidence.image.short(),
                    target.short()
                )
            },
            lifts: if same { None } else { upgrade_it() },
        },
        Condition {
            holds: fresh,
            text: format!("it passed at {}; evidence counts for {:#}", evidence.passed_at, facts.max_age),
            lifts: if fresh {
                None
            } else {
                Some(format!("upgrade `{previous}` again, or raise `upgrade.evidence_max_age`"))
            },
        },
        Condition {
            holds: still,
            text: if still {
                format!("`{previous}` still runs on it")
            } else {
                format!("`{previous}` does not run on it any more")
            },
            lifts: if still { None } else { upgrade_it() },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(digit: char) -> ImageId {
        ImageId::new(format!("sha256:{}", digit.to_string().repeat(64))).unwrap()
    }

    fn facts() -> GateFacts {
        let staging = InstanceName::new("staging").unwrap();
        let evidence = Evidence {
            instance: staging.clone(),
            image: image('a'),
            image_ref: "app:v2".into(),
            passed_at: "2026-01-02T00:00:00Z".into(),
            run: RunId::new("upgrade-1").unwrap(),
            passed_count: 3,
        };
        GateFacts {
            previous: staging,
            evidence: Some(evidence),
            previous_image: Some(image('a')),
            target: image('a'),
            max_age: SignedDuration::from_hours(24),
            now: "2026-01-02T12:00:00Z".parse().unwrap(),
        }
    }

    fn opens(facts: &GateFacts) -> bool {
        weigh(facts).iter().all(|condition| condition.holds)
    }

    #[test]
    fn the_gate_opens_only_for_the_same_image_with_fresh_evidence_that_still_stands() {
        assert!(opens(&facts()));
        assert!(!opens(&GateFacts { evidence: None, ..facts() }));
        assert!(!opens(&GateFacts { target: image('b'), previous_image: Some(image('b')), ..facts() }));
        assert!(!opens(&GateFacts { now: "2026-01-03T00:00:01Z".parse().unwrap(), ..facts() }));
        assert!(!opens(&GateFacts { now: "2026-01-01T00:00:00Z".parse().unwrap(), ..facts() }));
        assert!(!opens(&GateFacts { previous_image: Some(image('b')), ..facts() }));
        assert!(!opens(&GateFacts { previous_image: None, ..facts() }));
    }
}
