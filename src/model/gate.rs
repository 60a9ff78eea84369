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

/// A person's word that a stage may be upgraded, bound to what was known when it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who, as the host knows them.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// The [`GateFacts::fingerprint`] of what was approved.
    pub evidence: String,
    /// It counts for nothing after this, RFC 3339.
    pub until: String,
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
    /// What the stage behind the gate runs on now.
    pub current: Option<ImageId>,
    /// How long evidence counts.
    pub max_age: SignedDuration,
    /// Now.
    pub now: Timestamp,
}

impl GateFacts {
    /// Names everything that an approval rests on: the pass, both images, and what would be replaced. Another pass,
    /// another image or another container in between is another fingerprint.
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest, Sha256};
        let optional = |image: &Option<ImageId>| image.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut words = vec![self.previous.to_string(), self.target.to_string()];
        words.extend([optional(&self.previous_image), optional(&self.current)]);
        if let Some(evidence) = &self.evidence {
            words.extend([evidence.image.to_string(), evidence.passed_at.clone(), evidence.run.to_string()]);
            words.push(evidence.passed_count.to_string());
        }
        // No word holds a line break.
        let hash = Sha256::digest(words.join("\n"));
        hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// When the evidence stops to count; `None` without any.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let passed_at = self.evidence.as_ref()?.passed_at.parse::<Timestamp>().ok()?;
        passed_at.checked_add(self.max_age).ok()
    }

    /// Whether a person has approved exactly this, and not too long ago.
    pub fn is_approved(&self, approval: Option<&Approval>) -> bool {
        approval.is_some_and(|approval| {
            let until = approval.until.parse::<Timestamp>();
            approval.evidence == self.fingerprint() && until.is_ok_and(|until| self.now <= until)
        })
    }
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
            text: match (passed_at, facts.expires_at()) {
                (Some(at), Some(until)) => format!("it passed at {}, which counts until {}", moment(at), moment(until)),
                _ => format!("it passed at `{}`, which is no time", evidence.passed_at),
            },
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

fn moment(at: Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y-%m-%d %H:%M:%S UTC")
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
            current: Some(image('c')),
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

    #[test]
    fn an_approval_counts_for_what_was_approved_and_no_longer_than_it_says() {
        let approved = facts();
        let approval = Approval {
            by: "anna".into(),
            reason: "looked at it".into(),
            evidence: approved.fingerprint(),
            until: "2026-01-02T13:00:00Z".into(),
        };
        assert!(approved.is_approved(Some(&approval)));
        assert!(!approved.is_approved(None));
        let late = GateFacts { now: "2026-01-02T13:00:01Z".parse().unwrap(), ..facts() };
        assert!(!late.is_approved(Some(&approval)));
        assert!(!approved.is_approved(Some(&Approval { until: "soon".into(), ..approval.clone() })));
        let evidence = facts().evidence.unwrap();
        let others = [
            GateFacts { evidence: None, ..facts() },
            GateFacts {
                evidence: Some(Evidence { passed_at: "2026-01-02T01:00:00Z".into(), ..evidence.clone() }),
                ..facts()
            },
            GateFacts {
                evidence: Some(Evidence { run: RunId::new("upgrade-2").unwrap(), ..evidence.clone() }),
                ..facts()
            },
            GateFacts { evidence: Some(Evidence { image: image('b'), ..evidence.clone() }), ..facts() },
            GateFacts { evidence: Some(Evidence { passed_count: 2, ..evidence }), ..facts() },
            GateFacts { previous_image: Some(image('b')), ..facts() },
            GateFacts { target: image('b'), ..facts() },
            GateFacts { current: Some(image('d')), ..facts() },
            GateFacts { current: None, ..facts() },
        ];
        for other in others {
            assert!(!other.is_approved(Some(&approval)), "{other:?}");
        }
        // Time alone changes nothing of what was approved.
        assert_eq!(late.fingerprint(), approved.fingerprint());
    }
}
