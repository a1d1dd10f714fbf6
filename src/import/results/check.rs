//! Whether the figures of a sweep can be drawn: each point and target once, areas and shares that can be some.

use std::collections::HashSet;

use super::ResultError;
use super::forms::{PointForm, SweepForm};

/// Beyond all areas in any unit, and all shares of them: a million million gates.
const MOST: f64 = 1e12;

/// By how much a share may miss the quotient of the rises beside it: reading numbers rounds them by far less.
const SHARE_TOLERANCE: f64 = 1e-9;

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Area,
    Share,
    /// A share of a sum with terms below 0.
    SignedShare,
}

/// Checks that the share removed is what the rises say: none where they do not sum up to more than 0.
fn check_share(path: &str, rise: f64, point: &PointForm) -> Result<(), ResultError> {
    let expected = (rise > 0.0).then_some((rise - point.rise_remaining) / rise).filter(|share| share.is_finite());
    let agrees = match (point.share_removed, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() <= SHARE_TOLERANCE * expected.abs().max(1.0),
        (found, expected) => found.is_none() && expected.is_none(),
    };
    if agrees {
        return Ok(());
    }
    Err(ResultError::Disagrees {
        path: path.to_owned(),
        ranking: point.ranking.clone(),
        budget: point.budget.clone(),
        found: point.share_removed,
        left: point.rise_remaining,
        rise,
    })
}

/// Checks a sweep.
///
/// # Errors
/// When a point or target is there twice, or a number cannot be what it is said to be.
pub(super) fn sweep(path: &str, form: &SweepForm) -> Result<(), ResultError> {
    let check = |place: Option<String>, numbers: &[(&'static str, Option<f64>, Kind)]| {
        let odd = numbers.iter().find_map(|(field, value, kind)| {
            let is_odd =
                |value: &f64| value.is_nan() || value.abs() > MOST || (*value < 0.0 && *kind != Kind::SignedShare);
            value.filter(is_odd).map(|value| (*field, value, *kind))
        });
        match odd {
            Some((field, value, kind)) => {
                let what = if kind == Kind::Area { "area" } else { "share" };
                Err(ResultError::Absurd { path: path.to_owned(), field, place, value, what })
            }
            None => Ok(()),
        }
    };
    let doubled = |what, ranking: &str, of: String| {
        Err(ResultError::Doubled { path: path.to_owned(), what, ranking: ranking.to_owned(), of })
    };
    check(
        None,
        &[
            ("area_per_bit", form.area_per_bit, Kind::Area),
            ("register_area", Some(form.register_area), Kind::Area),
            ("accelerator_area", Some(form.accelerator_area), Kind::Area),
        ],
    )?;
    let mut seen = HashSet::new();
    for point in &form.points {
        if !seen.insert((&point.ranking, &point.budget)) {
            return doubled("points", &point.ranking, point.budget.clone());
        }
        check(
            Some(format!("`{}` at {}", point.ranking, point.budget)),
            &[
                ("area_added", Some(point.area_added), Kind::Area),
                ("share_of_registers", Some(point.share_of_registers), Kind::Share),
                ("share_of_accelerator", Some(point.share_of_accelerator), Kind::Share),
                ("share_removed", point.share_removed, Kind::SignedShare),
                ("price", point.price, Kind::SignedShare),
            ],
        )?;
        check_share(path, form.unprotected.rise, point)?;
    }
    let mut seen = HashSet::new();
    for target in &form.targets {
        let share = format!("a share of {}", target.share);
        check(
            Some(format!("`{}` for {share}", target.ranking)),
            &[
                ("share", Some(target.share), Kind::Share),
                ("area_added", target.area_added, Kind::Area),
                ("share_of_accelerator", target.share_of_accelerator, Kind::Share),
            ],
        )?;
        // Equal shares have equal bits, now that none is below 0 or no number.
        if !seen.insert((&target.ranking, (target.share + 0.0).to_bits())) {
            return doubled("targets", &target.ranking, share);
        }
    }
    Ok(())
}
