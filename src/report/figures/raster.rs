//! `Raster`: a picture of cells with few colors, as an indexed PNG.

use std::fmt::Write;

use kuva::render::render::Primitive;

use super::canvas::{Rgb, paint};
use crate::num::cast;

/// Cells in rows from the top, each a number in a palette, drawn as blocks of pixels all of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raster {
    /// Cells in a row.
    pub(super) columns: usize,
    /// Row after row, a place in the palette per cell.
    pub(super) cells: Vec<u8>,
    /// Colors of the cells.
    pub(super) palette: Vec<Rgb>,
    /// Width of a cell in pixels.
    pub(super) across: usize,
    /// Height of a cell in pixels.
    pub(super) down: usize,
}

impl Raster {
    fn rows(&self) -> usize {
        self.cells.len() / self.columns
    }

    /// Width and height in pixels.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.columns * self.across, self.rows() * self.down)
    }

    /// The PNG file. A cell keeps its edges however the picture is scaled, as each is drawn in as many pixels as it has.
    pub(super) fn png(&self) -> Vec<u8> {
        let (width, height) = self.size();
        let mut pixels = Vec::with_capacity(width * height);
        for row in self.cells.chunks_exact(self.columns) {
            let line: Vec<u8> = row.iter().flat_map(|cell| std::iter::repeat_n(*cell, self.across)).collect();
            for _ in 0..self.down {
                pixels.extend_from_slice(&line);
            }
        }
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, cast::id(width), cast::id(height));
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(self.palette.concat());
        encoder.set_compression(png::Compression::High);
        // Most rows equal the one above.
        encoder.set_filter(png::Filter::Up);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
        written.expect("a picture of this size and palette can be written to memory");
        file
    }

    /// The raster as an element of an SVG, with its upper left corner at `x`, `y` and `density` pixels to a unit.
    pub(super) fn svg_image(&self, x: f64, y: f64, density: u32) -> String {
        let (width, height) = self.size();
        let units = |pixels: usize| cast::f64_from_count(pixels) / f64::from(density);
        let mut text = String::new();
        writeln!(
            text,
            "  <image x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
             href=\"data:image/png;base64,{}\" />",
            units(width),
            units(height),
            base64(&self.png())
        )
        .expect("text can be written to a string");
        text
    }

    /// The same as rectangles: neighbors of one color in a row are one.
    pub(super) fn rectangles(&self, x: f64, y: f64, density: u32) -> Primitive {
        let units = |pixels: usize| cast::f64_from_count(pixels) / f64::from(density);
        let (mut xs, mut ys, mut ws, mut fills) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (row, cells) in self.cells.chunks_exact(self.columns).enumerate() {
            let mut column = 0;
            for run in cells.chunk_by(|a, b| a == b) {
                xs.push(x + units(column * self.across));
                ys.push(y + units(row * self.down));
                ws.push(units(run.len() * self.across));
                fills.push(paint(self.palette[usize::from(run[0])]));
                column += run.len();
            }
        }
        let hs = vec![units(self.down); xs.len()];
        Primitive::RectBatch { x: xs, y: ys, w: ws, h: hs, fills }
    }
}

/// Base 64 of RFC 4648, section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, i| (word << 8) | u32::from(group.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let sign = SIGNS[cast::index((word >> (18 - 6 * i)) & 63)];
            text.push(if cast::index(i) <= group.len() { char::from(sign) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standard() {
        // RFC 4648, section 10.
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xef, 0xbe]), "/+++");
    }

    #[test]
    fn cells_become_blocks_of_pixels() {
        let raster =
            Raster { columns: 2, cells: vec![0, 1, 1, 0], palette: vec![[1, 2, 3], [250, 0, 7]], across: 3, down: 2 };
        let mut reader = png::Decoder::new(std::io::Cursor::new(raster.png())).read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (6, 4));
        assert_eq!(reader.info().palette.as_deref(), Some(&[1, 2, 3, 250, 0, 7][..]));
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(
            pixels.chunks(6).collect::<Vec<_>>(),
            [[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0]]
        );
        assert_eq!(raster.png(), raster.png());
        let Primitive::RectBatch { x, w, h, .. } = raster.rectangles(10.0, 0.0, 2) else { panic!("not a batch") };
        assert_eq!((x, w, h), (vec![10.0, 11.5, 10.0, 11.5], vec![1.5; 4], vec![1.0; 4]));
    }
}
