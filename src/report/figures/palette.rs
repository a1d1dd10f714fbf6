//! Colors that people with any color vision can tell apart (Okabe and Ito's, without its yellow, which pales on white).

use super::canvas::{Rgb, Stroke};

/// Curves that can be told apart in one figure.
pub(super) const CURVES: usize = 12;

const SERIES: [Rgb; 6] = [
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0x56, 0xb4, 0xe9],
    [0xe6, 0x9f, 0x00],
];

/// The color of the `position`th of some areas; after six they come lighter, after twelve darker, then again.
pub(super) fn series(position: usize) -> Rgb {
    let color = SERIES[position % SERIES.len()];
    match position / SERIES.len() % 3 {
        0 => color,
        1 => color.map(|part| 255 - (255 - part) / 9 * 4),
        _ => color.map(|part| part / 9 * 5),
    }
}

/// How each of these rankings' curves is drawn. The usual baselines look the same in every figure.
pub(super) fn curve_strokes(names: &[&str]) -> Vec<Stroke> {
    let mut others = 0;
    let mut stroke = |name: &str| match name {
        "oracle" => Stroke::new([0, 0, 0], 3.5),
        "random" => Stroke::new([0x99, 0x99, 0x99], 2.5),
        "msb" => Stroke { dashes: Some((14.0, 6.0)), ..Stroke::new([0x55, 0x55, 0x55], 2.5) },
        _ => {
            let dashes = [None, Some((9.0, 7.0)), Some((2.0, 6.0))][others / SERIES.len() % 3];
            let stroke = Stroke { dashes, ..Stroke::new(SERIES[others % SERIES.len()], 2.5) };
            others += 1;
            stroke
        }
    };
    names.iter().map(|name| stroke(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_curves_look_alike() {
        let others: Vec<String> = (0..9).map(|n| format!("score {n}")).collect();
        let mut names = vec!["oracle", "msb", "random"];
        names.extend(others.iter().map(String::as_str));
        assert_eq!(names.len(), CURVES);
        let strokes = curve_strokes(&names);
        for (position, stroke) in strokes.iter().enumerate() {
            assert!(!strokes[..position].contains(stroke), "{}", names[position]);
        }
        let unusual: Vec<&str> = others.iter().map(String::as_str).chain(["a", "b", "c"]).collect();
        let strokes = curve_strokes(&unusual);
        assert!((1..CURVES).all(|position| !strokes[..position].contains(&strokes[position])));
    }

    #[test]
    fn eighteen_areas_have_colors_of_their_own() {
        let colors: Vec<Rgb> = (0..18).map(series).collect();
        assert!((1..18).all(|position| !colors[..position].contains(&colors[position])), "{colors:?}");
        assert_eq!(series(18), series(0));
    }
}
