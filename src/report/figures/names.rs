//! Names of arrays above a map: over the middle of wide arrays; those of narrow ones hang on leaders, on lines of their own.

use super::axis::TEXT_SIZE;
use super::canvas::{Anchor, text_width};

/// Lines of names above a map.
const LINES: usize = 12;

/// Between the texts of a line.
const APART: f64 = 14.0;

/// Between a leader and its text.
const BESIDE: f64 = 6.0;

/// An array to be named; lengths are from the map's left edge.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub(super) left: f64,
    pub(super) width: f64,
    /// What it is called, and the same with its size.
    pub(super) short: String,
    pub(super) full: String,
}

/// Where names may stand: the ends of the lowest line, which lies between other heads, and those of the lines above it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Room {
    pub(super) lowest: (f64, f64),
    pub(super) above: (f64, f64),
}

/// A name in its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlacedName {
    pub(super) text: String,
    /// Left edge, from the map's.
    pub(super) x: f64,
    /// Counted up from the map.
    pub(super) line: usize,
    /// Where a line leads up to it, if its array is narrower.
    pub(super) leader: Option<f64>,
}

impl PlacedName {
    /// Where its text is drawn from: widths are rather over-estimated, so what hangs to the left of a leader ends there.
    pub(super) fn anchored(&self) -> (f64, Anchor) {
        match self.leader {
            Some(leader) if leader > self.x => (leader - BESIDE, Anchor::End),
            _ => (self.x, Anchor::Start),
        }
    }

    fn right(&self) -> f64 {
        self.x + text_width(&self.text, TEXT_SIZE)
    }

    /// Whether both cannot be read: texts that touch, or a leader through a text.
    fn disturbs(&self, other: &Self) -> bool {
        let crosses = |flag: &Self, text: &Self| {
            let is_through = |leader: f64| (text.x - BESIDE / 2.0..text.right() + BESIDE / 2.0).contains(&leader);
            flag.line > text.line && flag.leader.is_some_and(is_through)
        };
        let touches = self.x < other.right() + APART && other.x < self.right() + APART;
        (self.line == other.line && touches) || crosses(self, other) || crosses(other, self)
    }

    fn is_within(&self, room: Room) -> bool {
        let (left, right) = if self.line == 0 { room.lowest } else { room.above };
        self.x >= left && self.right() <= right
    }
}

/// The names that find a place, in the order of the arrays; no text touches another, no leader crosses one.
pub(super) fn place_names(arrays: &[Named], room: Room) -> Vec<PlacedName> {
    let mut placed: Vec<Option<PlacedName>> = arrays.iter().map(over_its_array).collect();
    let narrow = || (0..arrays.len()).filter(|array| over_its_array(&arrays[*array]).is_none());
    // To the right of their leaders from the right on, where there is room; what is left to the left of them from the left on:
    // so leaders are stairs, and none is in the way of a text.
    let (right, left): (Vec<usize>, Vec<usize>) =
        narrow().partition(|array| flag(&arrays[*array], &arrays[*array].full, Hang::Right, 1).is_within(room));
    let order = right.into_iter().rev().map(|array| (array, Hang::Right));
    for (array, hang) in order.chain(left.into_iter().map(|array| (array, Hang::Left))) {
        let Named { short, full, .. } = &arrays[array];
        let other = if hang == Hang::Right { Hang::Left } else { Hang::Right };
        let ways = [(full, hang), (short, hang), (full, other), (short, other)];
        let mut flags = ways
            .into_iter()
            .flat_map(|(text, hang)| (0..LINES).map(move |line| flag(&arrays[array], text, hang, line)));
        let is_free =
            |flag: &PlacedName| flag.is_within(room) && !placed.iter().flatten().any(|other| other.disturbs(flag));
        let found = flags.find(is_free);
        placed[array] = found;
    }
    placed.into_iter().flatten().collect()
}

/// The name of an array that is wide enough for it.
fn over_its_array(array: &Named) -> Option<PlacedName> {
    let fits = |text: &&String| text_width(text, TEXT_SIZE) <= array.width;
    let text = [&array.full, &array.short].into_iter().find(fits)?;
    let x = array.left + (array.width - text_width(text, TEXT_SIZE)) / 2.0;
    Some(PlacedName { text: text.clone(), x, line: 0, leader: None })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hang {
    Left,
    Right,
}

fn flag(array: &Named, text: &str, hang: Hang, line: usize) -> PlacedName {
    let leader = array.left + array.width / 2.0;
    let x = match hang {
        Hang::Right => leader + BESIDE,
        Hang::Left => leader - BESIDE - text_width(text, TEXT_SIZE),
    };
    PlacedName { text: text.to_owned(), x, line, leader: Some(leader) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arrays of these widths side by side.
    fn arrays(widths: &[f64]) -> Vec<Named> {
        let mut left = 0.0;
        let named = |(number, width): (usize, &f64)| {
            let array = Named {
                left,
                width: *width,
                short: format!("conv2d_{number} kernel"),
                full: format!("conv2d_{number} kernel (96 registers)"),
            };
            left += width + 4.0;
            array
        };
        widths.iter().enumerate().map(named).collect()
    }

    fn placed(widths: &[f64]) -> (Vec<Named>, Vec<PlacedName>) {
        let named = arrays(widths);
        let end = named.last().map_or(0.0, |last| last.left + last.width);
        let room = Room { lowest: (0.0, end), above: (-72.0, end + 100.0) };
        let placed = place_names(&named, room);
        for (position, name) in placed.iter().enumerate() {
            assert!(name.is_within(room), "{name:?}");
            let (x, anchor) = name.anchored();
            let beside = name.leader.map(|leader| (x - leader).abs());
            assert!(beside.is_none_or(|beside| (beside - BESIDE).abs() < 1e-9), "{anchor:?} {name:?}");
            assert!(!placed[..position].iter().any(|other| other.disturbs(name)), "{name:?} of {placed:?}");
        }
        (named, placed)
    }

    #[test]
    fn every_array_of_a_usual_network_has_its_name() {
        // Large kernels with small biases between them, at the ends and in the middle, as of a CNN or an encoder.
        let cases: [&[f64]; 6] = [
            &[600.0, 8.0, 150.0, 8.0],
            &[36.0, 4.0, 1024.0, 8.0],
            &[5.0, 2.0, 45.0, 2.0, 45.0, 2.0, 357.0, 2.0, 357.0, 2.0, 446.0, 1.0],
            &[446.0, 1.0, 300.0, 1.0, 40.0, 2.0, 30.0, 2.0, 5.0, 1.0],
            &[500.0],
            &[10.0, 800.0, 10.0],
        ];
        for widths in cases {
            let (named, placed) = placed(widths);
            assert_eq!(placed.len(), named.len(), "{widths:?}: {placed:?}");
            for (array, name) in named.iter().zip(&placed) {
                assert!(name.text.starts_with(&array.short), "in the order of the arrays");
                assert_eq!(name.leader.is_some(), text_width(&array.short, TEXT_SIZE) > array.width);
            }
        }
    }

    #[test]
    fn what_finds_no_place_is_left_out() {
        let (named, placed) = placed(&[3.0; 80]);
        assert!(placed.len() < named.len() && placed.len() > 3, "{}", placed.len());
    }
}
