//! Dates that have passed.

use alloc::format;
use core::time::Duration;

use super::{FindingKind, List};
use crate::document::duration_text;
use crate::policy::Policy;

/// Notes reviews that are due and grants that have ended.
pub(super) fn find(policy: &Policy, wall: Duration, list: &mut List<'_>) {
    let today = i64::try_from(wall.as_secs() / DAY.as_secs()).unwrap_or(i64::MAX);
    for allow in &policy.allows {
        let Some(review) = allow.review.filter(|review| review.days() < today) else { continue };
        let (year, month, day) = (review.year, review.month, review.day);
        let problem = format!("the review of {} was due on {year:04}-{month:02}-{day:02}", allow.id);
        let mend = "look at it again, then remove it or write a later `review`";
        list.note(FindingKind::Overdue, allow.line, "allow.review", problem, mend);
    }
    for grant in policy.grants.iter().filter(|grant| grant.until <= wall) {
        let ago = duration_text(roughly(wall - grant.until));
        let problem = format!("{} no longer holds {}: it ended {ago} ago", grant.node, grant.capability);
        list.note(
            FindingKind::Expired,
            grant.line,
            "grant.until",
            problem,
            "remove the grant, or give it anew",
        );
    }
}

/// In the greatest unit of which it has at least two.
fn roughly(time: Duration) -> Duration {
    let unit = [86_400, 3600, 60].into_iter().find(|unit| time.as_secs() >= 2 * unit).unwrap_or(1);
    Duration::from_secs(time.as_secs() / unit * unit)
}

const DAY: Duration = Duration::from_secs(86_400);
