//! `Canvas`: a drawing that becomes an SVG and a PNG of the same picture.
//!
//! Lengths are in units of an SVG pixel; the PNG has [`DENSITY`] pixels to a unit. The PNG brings its font along and the
//! SVG names fonts that draw alike, so neither depends on the machine it was made on.

use kuva::RasterBackend;
use kuva::backend::svg::SvgBackend;
use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::raster::Raster;
use crate::num::cast;

/// Pixels of the PNG, and of embedded images, to a unit of length.
pub(super) const DENSITY: u32 = 2;

/// Fonts of about the same widths, the one of the PNG first.
const FONTS: &str = "DejaVu Sans, Verdana, Bitstream Vera Sans, sans-serif";

/// A color: red, green, blue.
pub(super) type Rgb = [u8; 3];

/// Text.
pub(super) const INK: Rgb = [0x22, 0x22, 0x22];
/// Axes, and text of less weight.
pub(super) const GRAY: Rgb = [0x66, 0x66, 0x66];
/// Lines of a grid.
pub(super) const GRID: Rgb = [0xe2, 0xe2, 0xe2];
/// What there is nothing to say of.
pub(super) const NOTHING: Rgb = [0xd4, 0xd4, 0xd4];
/// The sheet.
pub(super) const PAPER: Rgb = [0xff, 0xff, 0xff];

/// Where a label's text lies from its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// The text begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// A line of text; `y` is its base line.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) text: String,
    pub(super) size: u32,
    pub(super) anchor: Anchor,
    pub(super) color: Rgb,
    pub(super) turned: Turned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    No,
    /// Read from below.
    Up,
}

impl Label {
    /// Plain dark text that begins at `x`, `y`.
    pub(super) fn new(x: f64, y: f64, size: u32, text: impl Into<String>) -> Self {
        Self { x, y, text: text.into(), size, anchor: Anchor::Start, color: INK, turned: Turned::No }
    }

    pub(super) const fn anchor(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }

    pub(super) const fn color(mut self, color: Rgb) -> Self {
        self.color = color;
        self
    }

    pub(super) const fn up(mut self) -> Self {
        self.turned = Turned::Up;
        self
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stroke {
    pub(super) color: Rgb,
    pub(super) width: f64,
    /// Lengths drawn and left out in turn.
    pub(super) dashes: Option<(f64, f64)>,
}

impl Stroke {
    pub(super) const fn new(color: Rgb, width: f64) -> Self {
        Self { color, width, dashes: None }
    }
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) const fn right(&self) -> f64 {
        self.x + self.width
    }

    pub(super) const fn bottom(&self) -> f64 {
        self.y + self.height
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }
}

/// A figure as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// SVG text.
    pub(super) svg: String,
    /// PNG file.
    pub(super) png: Vec<u8>,
}

/// What is drawn so far.
#[derive(Debug)]
pub(super) struct Canvas {
    width: f64,
    height: f64,
    images: Vec<(f64, f64, Raster)>,
    elements: Vec<Primitive>,
}

impl Canvas {
    /// A white sheet.
    pub(super) const fn new(width: f64, height: f64) -> Self {
        Self { width, height, images: Vec::new(), elements: Vec::new() }
    }

    /// A raster with its upper left corner at `x`, `y`, below all that is drawn otherwise.
    pub(super) fn image(&mut self, x: f64, y: f64, raster: Raster) {
        self.images.push((x, y, raster));
    }

    pub(super) fn label(&mut self, label: Label) {
        let Label { x, y, text, size, anchor, color, turned } = label;
        self.elements.push(Primitive::Text {
            x,
            y,
            content: printable(&text),
            size,
            anchor: match anchor {
                Anchor::Start => TextAnchor::Start,
                Anchor::Middle => TextAnchor::Middle,
                Anchor::End => TextAnchor::End,
            },
            rotate: (turned == Turned::Up).then_some(-90.0),
            bold: false,
            color: Some(paint(color)),
        });
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        self.curve(&[from, to], stroke);
    }

    pub(super) fn curve(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        // The crate starts the dashes anew at every point of a curve, so curves are cut here.
        let pieces = stroke.dashes.map_or_else(|| vec![points.to_vec()], |dashes| dashed(points, dashes));
        self.elements.extend(pieces.into_iter().map(|points| Primitive::PolyLine {
            points,
            stroke: paint(stroke.color),
            stroke_width: stroke.width,
            stroke_dasharray: None,
        }));
    }

    pub(super) fn rectangle(&mut self, area: Area, color: Rgb) {
        self.elements.push(rectangle(area, Some(color), None));
    }

    pub(super) fn outline(&mut self, area: Area, stroke: Stroke) {
        self.elements.push(rectangle(area, None, Some(stroke)));
    }

    pub(super) fn dot(&mut self, center: (f64, f64), radius: f64, color: Rgb) {
        self.elements.push(Primitive::Circle {
            cx: center.0,
            cy: center.1,
            r: radius,
            fill: paint(color),
            fill_opacity: None,
            stroke: Some(paint(PAPER)),
            stroke_width: Some(1.0),
        });
    }

    /// The picture, named `title` and told in words by `description` for whoever does not see it.
    pub(super) fn finish(self, title: &str, description: &str) -> Picture {
        let mut scene = Scene::new(self.width, self.height).with_background(None);
        scene.elements = self.elements;
        let drawn = SvgBackend::new().with_pretty(true).render_scene(&scene);
        // The crate has no images, descriptions nor view boxes; its opening tag is replaced by one that has.
        let body = drawn.split_once('>').map_or("", |(_, body)| body);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" font-family=\"{FONTS}\">\n  <title>{}</title>\n  <desc>{}</desc>\n  \
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\" />\n",
            escaped(title),
            escaped(description),
            width = self.width,
            height = self.height,
        );
        let mut rectangles = Vec::new();
        for (x, y, raster) in &self.images {
            svg.push_str(&raster.svg_image(*x, *y, DENSITY));
            rectangles.push(raster.rectangles(*x, *y, DENSITY));
        }
        svg.push_str(body.trim_start_matches('\n'));
        if !svg.ends_with('\n') {
            svg.push('\n');
        }
        scene.background_color = Some("#ffffff".to_owned());
        scene.elements = rectangles.into_iter().chain(scene.elements).collect();
        let backend = RasterBackend { scale: cast::nearest_f32(f64::from(DENSITY)) };
        let png = backend.render_scene(&scene).expect("a sheet of some size can be drawn in memory");
        Picture { svg, png }
    }
}

fn rectangle(area: Area, fill: Option<Rgb>, stroke: Option<Stroke>) -> Primitive {
    Primitive::Rect {
        x: area.x,
        y: area.y,
        width: area.width,
        height: area.height,
        fill: fill.map_or(Color::None, paint),
        stroke: stroke.map(|stroke| paint(stroke.color)),
        stroke_width: stroke.map(|stroke| stroke.width),
        opacity: None,
    }
}

pub(super) const fn paint(color: Rgb) -> Color {
    Color::Rgb(color[0], color[1], color[2])
}

/// The pieces of a curve that are drawn when lengths of `on` and `off` take turns along it.
fn dashed(points: &[(f64, f64)], (on, off): (f64, f64)) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<(f64, f64)> = points.first().copied().into_iter().collect();
    let mut drawn = true;
    let mut left = on;
    for ends in points.windows(2) {
        let (dx, dy) = (ends[1].0 - ends[0].0, ends[1].1 - ends[0].1);
        let length = dx.hypot(dy);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let cut = (ends[0].0 + dx * done / length, ends[0].1 + dy * done / length);
            if drawn {
                piece.push(cut);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece.push(cut);
            }
            drawn = !drawn;
            left = if drawn { on } else { off };
        }
        left -= length - done;
        if drawn {
            piece.push(ends[1]);
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

/// Without what XML cannot hold, and with dollars that the drawing crate does not take for mathematics.
fn printable(text: &str) -> String {
    without_controls(text).replace('$', "\\$")
}

fn without_controls(text: &str) -> String {
    let allowed = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if allowed(c) { c } else { ' ' }).collect()
}

fn escaped(text: &str) -> String {
    without_controls(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// About how wide `text` is at `size`, in the widths of the PNG's font; generous rather than short.
pub(super) fn text_width(text: &str, size: u32) -> f64 {
    let width = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | ' ' | 'I' | '(' | ')' | '[' | ']' => 0.36,
        'f' | 'r' | 't' | '-' => 0.41,
        'm' | 'w' | 'M' | 'W' | '%' => 0.96,
        'A'..='Z' => 0.72,
        ' '..='~' => 0.63,
        _ => 0.84,
    };
    text.chars().map(width).sum::<f64>() * f64::from(size)
}

/// `text`, cut with an ellipsis where it would be wider than `width`.
pub(super) fn fitted(text: &str, size: u32, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while kept.pop().is_some() {
        let cut: String = kept.iter().chain(&['…']).collect();
        if text_width(&cut, size) <= width {
            return cut;
        }
    }
    "…".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_makes_well_formed_xml_and_stays_as_it_is() {
        let name = "a<b>&\"c'\u{1}$x_2$ ]]> é";
        let mut canvas = Canvas::new(200.0, 50.0);
        canvas.label(Label::new(5.0, 20.0, 12, name));
        let picture = canvas.finish(name, name);
        let document = roxmltree::Document::parse(&picture.svg).unwrap();
        let shown = "a<b>&\"c' $x_2$ ]]> é";
        for tag in ["title", "desc", "text"] {
            let node = document.descendants().find(|node| node.has_tag_name(tag)).unwrap();
            assert_eq!(node.text(), Some(shown), "{tag}");
        }
        let root = document.root_element();
        assert_eq!(root.attribute("viewBox"), Some("0 0 200 50"));
        let png = png::Decoder::new(std::io::Cursor::new(picture.png)).read_info().unwrap();
        assert_eq!((png.info().width, png.info().height), (400, 100));
    }

    #[test]
    fn dashes_run_on_over_the_points_of_a_curve() {
        let curve = [(0.0, 0.0), (2.0, 0.0), (4.0, 0.0), (4.0, 6.0)];
        assert_eq!(
            dashed(&curve, (3.0, 2.0)),
            [vec![(0.0, 0.0), (2.0, 0.0), (3.0, 0.0)], vec![(4.0, 1.0), (4.0, 4.0)],]
        );
        assert_eq!(dashed(&curve, (20.0, 1.0)), [curve.to_vec()]);
    }

    #[test]
    fn long_text_is_cut_to_its_place() {
        assert_eq!(fitted("short", 10, 100.0), "short");
        let cut = fitted("a_very_long_layer_name", 10, 60.0);
        assert!(cut.ends_with('…') && cut.starts_with("a_very") && text_width(&cut, 10) <= 60.0, "{cut}");
        assert_eq!(fitted("wide", 10, 1.0), "…");
    }
}
