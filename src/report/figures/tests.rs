//! Figures as a whole: what is drawn is what the table says, and nothing of it depends on anything else.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use super::*;
use crate::net::TensorKind;
use crate::num::cast;
use crate::report::files::ResultFolder;
use crate::report::{ReportError, SiteRow};

/// Sites of arrays given as name, registers and bits, and a rise for each that looks random.
struct Sample {
    sites: SiteTable,
    rises: Vec<f64>,
}

impl Sample {
    fn new(arrays: &[(&str, usize, u8)]) -> Self {
        let mut sites = Vec::new();
        for (array, (_, registers, bits)) in arrays.iter().enumerate() {
            for index in 0..*registers {
                sites.extend((0..*bits).map(|bit| SiteRow { array, index, bit, golden: 0.0, faulty: 0.0 }));
            }
        }
        let rise = |(position, site): (usize, &SiteRow)| {
            let noise = (position * 7_919 + position * position % 104_729) % 1_000;
            let magnitude = 10_f64.powi(-i32::from(site.bit) - i32::try_from(noise % 3).unwrap());
            match noise % 10 {
                0 => 0.0,
                1 | 2 => -magnitude * 0.1,
                _ => magnitude * (1.0 + cast::f64_from_count(noise) / 1_000.0),
            }
        };
        let rises = sites.iter().enumerate().map(rise).collect();
        let arrays = arrays.iter().map(|(name, ..)| ((*name).to_owned(), TensorKind::Kernel)).collect();
        Self { sites: SiteTable { arrays, sites }, rises }
    }

    fn input<'a>(&'a self, design: &'a str, rankings: &'a [RankedCurve<'a>]) -> FigureInput<'a> {
        let (sites, rises) = (&self.sites, &self.rises[..]);
        let (metric, event_kind, bit_set) = ("emd", "hgcal", BitSet::Kernels);
        FigureInput { design, metric, event_kind, events: 2_000, golden_mean: 0.75, bit_set, sites, rises, rankings }
    }

    fn rankings(&self) -> [BitRanking; 2] {
        [BitRanking::by_score("oracle", &self.rises), BitRanking::random(self.rises.len(), 1)]
    }
}

fn curves(rankings: &[BitRanking]) -> Vec<RankedCurve<'_>> {
    rankings.iter().map(|ranking| RankedCurve { ranking, relative_area: Some(0.5) }).collect()
}

/// Width, height and RGB pixels of a PNG.
fn pixels(file: &[u8]) -> (usize, usize, Vec<[u8; 3]>) {
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let samples = info.color_type.samples();
    let rgb = bytes.chunks_exact(samples).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    (cast::index(info.width), cast::index(info.height), rgb)
}

/// Place, size and file of the first `count` images of an SVG.
fn embedded(svg: &str, count: usize) -> Vec<([f64; 4], Vec<u8>)> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let images = document.descendants().filter(|node| node.has_tag_name("image")).take(count);
    let read = |image: roxmltree::Node| {
        let place = ["x", "y", "width", "height"].map(|name| image.attribute(name).unwrap().parse().unwrap());
        (place, from_base64(image.attribute("href").unwrap().strip_prefix("data:image/png;base64,").unwrap()))
    };
    images.map(read).collect()
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |sign: u8| match sign {
        b'A'..=b'Z' => sign - b'A',
        b'a'..=b'z' => sign - b'a' + 26,
        b'0'..=b'9' => sign - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let signs: Vec<u32> = text.bytes().filter(|sign| *sign != b'=').map(|sign| u32::from(value(sign))).collect();
    let bytes = signs.chunks(4).flat_map(|group| {
        let word = group.iter().fold(0, |word, sign| (word << 6) | sign) << (6 * (4 - group.len()));
        word.to_be_bytes().into_iter().skip(1).take(group.len() - 1)
    });
    bytes.collect()
}

/// A row of a map's table.
struct MapRow {
    layer: String,
    column: usize,
    bit: usize,
    rise: f64,
}

fn map_rows(csv: &str) -> Vec<MapRow> {
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("layer,tensor,index,bit,register,column,error_rise"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        MapRow {
            layer: cells[0].to_owned(),
            column: cells[5].parse().unwrap(),
            bit: cells[3].parse().unwrap(),
            rise: cells[6].parse().unwrap(),
        }
    };
    lines.map(row).collect()
}

/// Every cell of both pictures has the color of the largest rise that the table has for it.
fn assert_map(figure: &Figure, rises: &[f64]) {
    let rows = map_rows(&figure.csv);
    assert_eq!(rows.iter().map(|row| row.rise).collect::<Vec<_>>(), rises, "the table has every rise");
    let lines = rows.iter().map(|row| row.bit + 1).max().unwrap();
    // Columns of every layer, in the order of the columns.
    let mut spans: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in &rows {
        let span = spans.entry(&row.layer).or_insert((row.column, row.column));
        *span = (span.0.min(row.column), span.1.max(row.column));
    }
    let mut spans: Vec<_> = spans.into_iter().collect();
    spans.sort_by_key(|(_, (first, _))| *first);
    let (heat, palette) = (heat::Heat::of(rises), heat::palette());
    let (sheet_width, _, sheet) = pixels(&figure.picture.png);
    let at = |place: f64| usize::try_from(cast::floor_i64(place)).unwrap();
    let images = embedded(&figure.picture.svg, spans.len());
    let mut next = 0;
    for ((layer, (first, last)), ([x, y, width, height], file)) in spans.into_iter().zip(images) {
        assert_eq!(first, next, "no column is left out, none belongs to two layers");
        next = last + 1;
        let columns = last + 1 - first;
        let mut cells = vec![None; columns * lines];
        for row in rows.iter().filter(|row| row.layer == layer) {
            let cell: &mut Option<f64> = &mut cells[row.bit * columns + row.column - first];
            *cell = Some(cell.map_or(row.rise, |known| known.max(row.rise)));
        }
        let (image_width, image_height, image) = pixels(&file);
        for (position, rise) in cells.iter().enumerate() {
            let expected = palette[usize::from(rise.map_or(heat::NONE, |rise| heat.place(rise)))];
            // A little beside the middle, so that the cell is hit however few pixels it has.
            let right = (cast::f64_from_count(position % columns) + 0.51) / cast::f64_from_count(columns);
            let down = (cast::f64_from_count(position / columns) + 0.51) / cast::f64_from_count(lines);
            let column = at(right * cast::f64_from_count(image_width));
            let line = at(down * cast::f64_from_count(image_height));
            assert_eq!(image[line * image_width + column], expected, "embedded, {layer}, cell {position}");
            let (column, line) = (at(2.0 * (x + right * width)), at(2.0 * (y + down * height)));
            assert_eq!(sheet[line * sheet_width + column], expected, "sheet, {layer}, cell {position}");
        }
    }
}

#[test]
fn every_bit_of_a_map_is_where_the_table_says() {
    let mut sample = Sample::new(&[("first", 5, 2), ("unflipped", 0, 4), ("second", 8, 4)]);
    // The order of the sites and gaps between them do not matter.
    sample.sites.sites.reverse();
    sample.sites.sites.remove(7);
    sample.rises.remove(7);
    let figure = error_map::figure(&sample.input("d", &[]));
    assert_map(&figure, &sample.rises);
    let first = figure.csv.lines().nth(1).unwrap();
    assert!(first.starts_with("second,kernel,7,3,12,12,"), "{first}");
    let last = figure.csv.lines().last().unwrap();
    assert!(last.starts_with("first,kernel,0,0,0,0,"), "{last}");
}

#[test]
fn crowded_maps_show_the_largest_rise_and_stay_small() {
    // As many bits as ECON-T Large has; noise is the worst for compression.
    let sample = Sample::new(&[("conv", 801, 5), ("dense", 8_191, 7)]);
    let figure = error_map::figure(&sample.input("large", &[]));
    let (svg, png) = (&figure.picture.svg, &figure.picture.png);
    assert!(svg.len() < 300_000 && png.len() < 600_000, "{} and {} bytes", svg.len(), png.len());
    assert!(svg.contains("4 neighboring registers"));
    // Where layers meet a column ends, although it is not full.
    let columns: Vec<usize> = map_rows(&figure.csv).iter().map(|row| row.column).collect();
    let (conv, dense) = columns.split_at(801 * 5);
    assert_eq!((conv.last(), dense[0], dense.last()), (Some(&200), 201, Some(&(201 + 2_047))));
    // Neither the frame nor the line between layers covers a cell, not even where cells are one pixel wide.
    let few = Sample::new(&[("a", 2_601, 1), ("b", 2_601, 1)]);
    assert_map(&error_map::figure(&few.input("few", &[])), &few.rises);
}

#[test]
fn positions_count_by_layer() {
    let mut sample = Sample::new(&[("a", 2, 2), ("b, \"c\"", 1, 3)]);
    sample.rises = vec![1.0, 0.0, 2.0, -0.5, 0.0, 0.5, 0.0];
    let figure = positions::figure(&sample.input("d", &[]));
    let rows: Vec<&str> = figure.csv.lines().skip(1).collect();
    assert_eq!(
        rows,
        [
            "0,a,kernel,2,2,1,3,1",
            "0,\"b, \"\"c\"\"\",kernel,1,0,0,0,0",
            "1,a,kernel,2,0,0,-0.5,-0.16666666666666666",
            "1,\"b, \"\"c\"\"\",kernel,1,1,1,0.5,0.16666666666666666",
            "2,\"b, \"\"c\"\"\",kernel,1,0,0,0,0",
        ]
    );
    // In bars of two layers, with the color of the layer and as high as their share.
    let document = roxmltree::Document::parse(&figure.picture.svg).unwrap();
    let bars = |color: &str| -> Vec<f64> {
        let bars =
            document.descendants().filter(|node| node.has_tag_name("rect") && node.attribute("fill") == Some(color));
        bars.map(|bar| bar.attribute("height").unwrap().parse().unwrap()).collect()
    };
    let (first, second) = (bars("#0072b2"), bars("#d55e00"));
    // Its place in the legend, then numbers of bits, then shares of the rise; nothing is drawn where there is none.
    assert_eq!((first.len(), second.len()), (1 + 1 + 2, 1 + 1 + 1));
    assert!((first[1] / second[1] - 2.0).abs() < 1e-3, "two sensitive bits are twice one: {first:?} {second:?}");
    assert!((first[2] / second[2] - 6.0).abs() < 0.01, "3 is six times 0.5: {first:?} {second:?}");
}

#[test]
fn a_folder_collects_designs_and_refuses_what_is_foreign() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("figures");
    let write = |design: &str, sample: &Sample| {
        let rankings = sample.rankings();
        let curves = curves(&rankings);
        let mut folder = ResultFolder::new(&target, is_figure_file)?;
        let names = write_figures(&mut folder, &sample.input(design, &curves));
        folder.finish().map(|()| names.unwrap())
    };
    let read = |name: &str| std::fs::read(target.join(name)).unwrap();
    let (small, large) = (Sample::new(&[("a", 3, 2)]), Sample::new(&[("a", 300, 6), ("b", 700, 4)]));
    let names = write("small/1", &small).unwrap();
    let mark = &Fingerprint::of_bytes(b"small/1").to_string()[..8];
    let figures = ["error_map", "cumulative", "bit_positions"].map(|figure| format!("small_1-{mark}-{figure}"));
    assert_eq!(names, [&figures[..], &["sensitive_share".to_owned()]].concat());
    let files: Vec<String> =
        names.iter().flat_map(|name| ["csv", "svg", "png"].map(|ending| format!("{name}.{ending}"))).collect();
    let before: Vec<Vec<u8>> = files.iter().map(|name| read(name)).collect();
    write("large", &large).unwrap();
    write("small/1", &small).unwrap();
    for (name, bytes) in files.iter().zip(&before).take(9) {
        assert!(read(name) == *bytes, "{name}: the same input gives the same bytes");
    }
    let table = String::from_utf8(read("sensitive_share.csv")).unwrap();
    let designs: Vec<&str> = table.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(designs, ["design", "small/1", "large"]);
    let entries = std::fs::read_dir(&target).unwrap().count();
    assert_eq!(entries, 9 + 9 + 3);
    for entry in std::fs::read_dir(&target).unwrap() {
        let path = entry.unwrap().path();
        assert!(is_figure_file(Path::new(path.file_name().unwrap())), "{}", path.display());
        if path.extension().unwrap() == "svg" {
            let text = std::fs::read_to_string(&path).unwrap();
            let document = roxmltree::Document::parse(&text).unwrap();
            for tag in ["title", "desc"] {
                let node = document.root_element().children().find(|node| node.has_tag_name(tag)).unwrap();
                assert!(node.text().unwrap().len() > 20, "{}: {tag}", path.display());
            }
        }
    }

    std::fs::write(target.join("thesis.csv"), "x").unwrap();
    assert!(matches!(write("large", &large), Err(ReportError::Occupied { .. })));
}

#[test]
fn names_that_differ_in_signs_alone_have_files_of_their_own() {
    let names = ["a b", "a/b", "a:b", "a_b", "a-b", "-a", ".a", "a", "design_.a"];
    let files: Vec<String> = names.iter().map(|name| file_name(name)).collect();
    for (position, file) in files.iter().enumerate() {
        assert!(!files[..position].contains(file), "{}: {file}", names[position]);
        assert!(file.starts_with(|c: char| c.is_alphanumeric()) && !file.contains(['/', ':', ' ']), "{file}");
        assert!(is_figure_file(Path::new(&format!("{file}-error_map.csv"))), "{file}");
    }
    assert_eq!(files[3..5], ["a_b", "a-b"], "what needs no change has none");
    let sample = Sample::new(&[("a", 3, 2)]);
    let root = tempfile::tempdir().unwrap();
    for design in ["a b", "a/b"] {
        let mut folder = ResultFolder::new(&root.path().join("figures"), is_figure_file).unwrap();
        write_figures(&mut folder, &sample.input(design, &[])).unwrap();
        folder.finish().unwrap();
    }
    assert_eq!(std::fs::read_dir(root.path().join("figures")).unwrap().count(), 9 + 9 + 3);
}

#[test]
fn shares_are_of_whole_designs() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("figures");
    let sample = Sample::new(&[("a", 3, 2)]);
    let write = |bit_set: BitSet| {
        let mut folder = ResultFolder::new(&target, is_figure_file).unwrap();
        check_folder(&folder).unwrap();
        let names = write_figures(&mut folder, &FigureInput { bit_set, ..sample.input("a", &[]) }).unwrap();
        folder.finish().unwrap();
        names.len()
    };
    assert_eq!(write(BitSet::Listed), 3);
    assert!(!target.join("sensitive_share.csv").exists());
    assert_eq!((write(BitSet::Kernels), write(BitSet::KernelsAndBiases)), (4, 4));
    let table = std::fs::read(target.join("sensitive_share.csv")).unwrap();
    assert_eq!(write(BitSet::Listed), 3);
    assert_eq!(std::fs::read(target.join("sensitive_share.csv")).unwrap(), table, "left as it is");

    std::fs::write(target.join("sensitive_share.csv"), "a,b\n").unwrap();
    let folder = ResultFolder::new(&target, is_figure_file).unwrap();
    assert!(matches!(check_folder(&folder), Err(FigureError::Foreign { .. })));
}

#[test]
fn mispredictions_are_drawn_as_the_counts_they_are() {
    let mut sample = Sample::new(&[("a", 3, 2)]);
    sample.rises = [4.0, 0.0, 1.0, 75.0, 0.0, 20.0].map(|count| count / 75.0).to_vec();
    let rankings = sample.rankings();
    let curves = curves(&rankings);
    let (metric, events, golden_mean) = ("misprediction", 75, 0.0);
    let input = FigureInput { metric, events, golden_mean, ..sample.input("d", &curves) };
    let map = error_map::figure(&input);
    for text in ["mispredictions that the flip adds, in all events (log scale)", ">50<", "at most 75.00", ">of all<"] {
        assert!(map.picture.svg.contains(text), "{text}");
    }
    let curve = curves::figure(&input);
    assert!(curve.picture.svg.contains(">mispredictions in all events<") && curve.picture.svg.contains(">100<"));
    // Tables have rises of the mean error, whatever the metric.
    assert!(curve.csv.contains(&format!("\noracle,1,{},1\n", 1.0 / 6.0)), "{}", curve.csv);
}

#[test]
fn names_of_figures_are_known() {
    for name in ["a-error_map.csv", "a_b.c-cumulative.svg", "-bit_positions.png", "sensitive_share.png"] {
        assert!(is_figure_file(Path::new(name)), "{name}");
    }
    for name in
        ["error_map.csv", "a-error_map.txt", "b/a-error_map.csv", "a-sensitive_share.csv", "a.csv", "oracle.json"]
    {
        assert!(!is_figure_file(Path::new(name)), "{name}");
    }
}

#[test]
fn input_that_does_not_belong_together_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let sample = Sample::new(&[("a", 3, 2)]);
    let rankings = [BitRanking::random(5, 1)];
    let (none, curves) = ([], curves(&rankings));
    let good = sample.input("d", &none);
    let (many, not_finite) = (vec![curves[0]; 13], [0.0, f64::NAN, 0.0, 0.0, 0.0, 0.0]);
    let nothing = SiteTable { arrays: Vec::new(), sites: Vec::new() };
    let cases = [
        (FigureInput { rises: &sample.rises[1..], ..good }, "5 error rises for 6 bits"),
        (FigureInput { rises: &not_finite, ..good }, "bit 1 is NaN"),
        (FigureInput { rises: &[1e308; 6], ..good }, "sum of the magnitudes of the rises is inf"),
        (FigureInput { golden_mean: f64::NAN, ..good }, "fault-free mean error is NaN"),
        (FigureInput { rankings: &curves, ..good }, "`random`: orders 5 bits, not the 6"),
        (FigureInput { rankings: &many, ..good }, "13 rankings"),
        (FigureInput { sites: &nothing, rises: &[], ..good }, "no bit was flipped"),
    ];
    for (input, reason) in cases {
        let mut folder = ResultFolder::new(&root.path().join("figures"), is_figure_file).unwrap();
        let refused = write_figures(&mut folder, &input).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn unusual_designs_are_drawn_too() {
    let names: Vec<String> = (0..60).map(|n| format!("a layer with a rather long name, number {n}")).collect();
    let many: Vec<(&str, usize, u8)> = names.iter().map(|name| (name.as_str(), 3, 2)).collect();
    let mut samples = vec![Sample::new(&[("one", 1, 1)]), Sample::new(&[("wide", 2, 63)]), Sample::new(&many)];
    for constant in [0.0, -1.0, 1e-300, 1e300] {
        let mut sample = Sample::new(&[("a", 3, 2)]);
        sample.rises.fill(constant);
        samples.push(sample);
    }
    for sample in &samples {
        let rankings = sample.rankings();
        let curves = curves(&rankings);
        let input = FigureInput { golden_mean: -0.5, ..sample.input(&names[0], &curves) };
        let figures = [
            error_map::figure(&input),
            curves::figure(&input),
            curves::figure(&FigureInput { rankings: &[], ..input }),
            positions::figure(&input),
            shares::figure(shares::ShareRow::of(&input).unwrap(), None).unwrap(),
        ];
        for figure in figures {
            let svg = &figure.picture.svg;
            let document = roxmltree::Document::parse(svg).unwrap();
            for node in document.descendants() {
                for attribute in node.attributes().filter(|attribute| attribute.name() != "href") {
                    let value = attribute.value();
                    assert!(!value.contains("NaN") && !value.contains("inf"), "{}: {value}", node.tag_name().name());
                }
            }
            let png = png::Decoder::new(Cursor::new(figure.picture.png)).read_info().unwrap();
            assert!(png.info().width >= 2_000);
        }
    }
}
