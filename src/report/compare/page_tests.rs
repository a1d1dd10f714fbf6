use serde_json::{Value, json};

use super::html;
use crate::import::results::{PlanningForm, PointForm, TargetForm};
use crate::num::cast;
use crate::report::compare::{
    AnalysisEntry, AreaFacts, BitFacts, BitMap, Comparison, Curve, ErrorFacts, MapArray, MeanEntry, MissionEntry,
    PositionEntry, Source, SweepEntry, SweepRow, System,
};
use crate::report::{DesignFacts, Provenance};

/// Arrays of the reference systems: layer, registers of kernel and bias, width.
type Layers<'a> = &'a [(&'a str, usize, usize, usize)];

const SMALL: Layers<'_> = &[("en_dense_0", 1024, 16, 8), ("en_dense_1", 256, 16, 8)];
const MEDIUM: Layers<'_> = &[("conv2d_0_m", 72, 8, 6), ("encoded_vector", 2048, 16, 6)];
const LARGE: Layers<'_> = &[("conv2d_0_m", 800, 32, 5), ("encoded_vector", 8192, 16, 7)];
const CIFAR: Layers<'_> = &[("conv", 57_440, 0, 8)];

/// What no name may do to the page.
const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\u{2028}&\"'{{ 7 * 7 }}";

/// A pseudo-random share for a number (splitmix64).
fn noise(seed: usize) -> f64 {
    let mut state = cast::u64_from_len(seed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    cast::f64_from_u64((state ^ (state >> 31)) >> 11) / 2_f64.powi(53)
}

/// Rises that fall by position, some below zero, some exactly zero; biases not flipped.
fn map(layers: Layers<'_>) -> BitMap {
    let mut map = BitMap { arrays: Vec::new(), rises: Vec::new() };
    for (layer, kernels, biases, width) in layers {
        for (tensor, registers) in [("kernel", *kernels), ("bias", *biases)] {
            let array = MapArray { layer: (*layer).to_owned(), tensor: tensor.to_owned(), registers, width: *width };
            map.arrays.push(array);
            for place in 0..registers * width {
                let seed = map.rises.len();
                let size = 0.05 * noise(place / width).powi(3) * 3_f64.powi(-i32::try_from(place % width).unwrap());
                let rise = match noise(seed) {
                    share if share < 0.1 => 0.0,
                    share if share < 0.35 => -0.3 * size * noise(seed + 7),
                    _ => size * noise(seed + 7),
                };
                map.rises.push((tensor == "kernel").then(|| cast::nearest_f32(rise)));
            }
        }
    }
    map
}

fn sweep(source: usize, rise: f64, bits: usize, is_verified: bool) -> SweepEntry {
    let mut points = Vec::new();
    for (place, ranking) in ["oracle", "bit-curve", "hessian", "gradient", "msb", "random"].into_iter().enumerate() {
        for percent in [1, 2, 5, 10, 15, 20, 30, 50, 75, 100] {
            let share = cast::f64_from_count(percent) / 100.0;
            let order = cast::f64_from_count(place);
            let removed = if percent == 100 { 1.0 } else { 1.03 * (1.0 - (-share * (24.0 - 4.5 * order)).exp()) };
            let verified = json!({
                "cells": bits * 3, "read_wrong": bits - bits * percent / 100, "rise_remaining": rise * (1.0 - removed),
                "share_removed": removed, "mean_rise_per_upset": 0.001, "exhaustive_equal": true,
                "mission": {
                    "predicted_rise": 0.2 * (1.0 - removed), "observed_rise": 0.201 * (1.0 - removed), "low": 0.18 * (1.0 - removed),
                    "high": 0.22 * (1.0 - removed), "inside": percent != 30,
                    "predicted_rise_with_clusters": null, "inside_with_clusters": null, "removed_inside": true, "removed": removed - 0.002, "removed_low": removed - 0.01,
                    "removed_high": removed + 0.006,
                },
            });
            let point = PointForm {
                ranking: ranking.to_owned(),
                budget: format!("{percent}%"),
                protection: "feedback".to_owned(),
                bits_protected: bits * percent / 100,
                area_added: 10.958 * share * cast::f64_from_count(bits),
                share_of_registers: 1.61 * share,
                share_of_accelerator: 0.068 * share,
                rise_remaining: rise * (1.0 - removed),
                share_removed: Some(removed),
                price: Some(0.01 * order * (1.0 - share)),
                sensitive_remaining: bits / 2 * (100 - percent) / 100,
                mean_rise_per_upset: rise * (1.0 - removed) / cast::f64_from_count(bits),
                plan: Some(format!("plans/{ranking}-{percent}pct.json")),
                planning: None,
                verified: is_verified.then_some(verified),
            };
            points.push(SweepRow { point, is_on_front: place == 0 });
        }
    }
    let [protection, technology, unit] = ["feedback", "osu018", "GE"].map(str::to_owned);
    let target = |SweepRow { point, .. }: &SweepRow| TargetForm {
        ranking: point.ranking.clone(),
        share: 0.9,
        bits_protected: Some(point.bits_protected),
        area_added: Some(point.area_added),
        share_of_accelerator: Some(point.share_of_accelerator),
    };
    let targets = points.chunk_by(|a, b| a.point.ranking == b.point.ranking).map(|points| target(&points[0])).collect();
    SweepEntry { source, protection, technology, unit, points, targets }
}

fn curves(source: usize) -> Vec<Curve> {
    let curve = |(place, ranking): (usize, &str)| {
        let bits: Vec<f64> = (0..500).map(|point| (cast::f64_from_count(point) / 499.0).powi(2)).collect();
        let steep = 24.0 - 4.0 * cast::f64_from_count(place);
        let rise =
            |share: &f64| (1.0 + 0.6 * share * (1.0 - share)) * (1.0 - (-share * steep).exp()) / (1.0 - (-steep).exp());
        let rise = bits.iter().map(rise).collect();
        Curve {
            ranking: ranking.to_owned(),
            source,
            lines: Vec::new(),
            area: Some(1.0 - 0.02 * cast::f64_from_count(place)),
            bits,
            rise,
        }
    };
    ["oracle", "bit-curve", "hessian", "gradient", "msb", "random"].into_iter().enumerate().map(curve).collect()
}

fn mission(source: usize, style: &str, scrub: &str, size: f64) -> MissionEntry {
    let at = |part: usize, scale: f64| {
        let mean = size * scale * cast::f64_from_count(part + 1) / 24.0 * (1.0 + 0.2 * noise(part));
        let interval = (size > 0.0).then_some([0.8 * mean, 1.25 * mean]);
        MeanEntry { mean, interval }
    };
    MissionEntry {
        source,
        environment: "hgcal, 1e-6 strikes per flip-flop and second".to_owned(),
        cluster_sizes: Some("1:1".to_owned()),
        style: style.to_owned(),
        plan: (style == "feedback").then(|| "sweep/plans/oracle-15pct.json".to_owned()),
        scrub: scrub.to_owned(),
        mission_s: 86_400.0,
        replicas: 50,
        confidence: 0.95,
        metric: "emd".to_owned(),
        events: 2000,
        protected_bits: if style == "none" { 0 } else { 1908 },
        strikes: MeanEntry { mean: 1107.2, interval: Some([1097.0, 1117.4]) },
        wrong_share: at(23, 0.3),
        error_rise: at(23, 1.0),
        first_wrong_s: MeanEntry { mean: 83.81, interval: None },
        first_wrong_at_least_s: (size == 0.0).then_some(6006.0),
        times_s: (1..=24).map(|hour| cast::f64_from_count(hour) * 3600.0).collect(),
        error_rise_by_time: (0..24).map(|part| at(part, 1.0)).collect(),
        wrong_share_by_time: (0..24).map(|part| at(part, 0.3)).collect(),
    }
}

fn system(label: &str, layers: Layers<'_>, first_source: usize) -> System {
    let map = map(layers);
    let flipped: Vec<f64> = map.rises.iter().flatten().map(|rise| f64::from(*rise)).collect();
    let bits = flipped.len();
    let rise: f64 = flipped.iter().sum();
    let registers = map.arrays.iter().map(|array| array.registers).sum();
    let position = |bit| {
        let count = bits / layers[0].3;
        PositionEntry {
            bit,
            bits: count,
            sensitive: count * 7 / (8 + bit),
            rise: rise * 0.5_f64.powi(i32::try_from(bit).unwrap() + 1),
        }
    };
    System {
        label: label.to_owned(),
        fingerprint: "5f53cb0c33b92723bdac2dc1b8175a90ae715b5af86d27842f620b665de46e85".to_owned(),
        facts: Some(DesignFacts {
            name: label.to_owned(),
            registers,
            register_bits: map.rises.len(),
            io: "econ_t".to_owned(),
            clock_mhz: 40.0,
            latency_cycles: 2,
            latency_s: 50e-9,
            interval_cycles: 1,
        }),
        error: Some(ErrorFacts { metric: "emd".to_owned(), events: 2000, golden_mean: 1.246 }),
        area: Some(AreaFacts {
            technology: "osu018".to_owned(),
            unit: "GE".to_owned(),
            registers: 69_536.0,
            accelerator: 1_211_355.7,
        }),
        bits: Some(BitFacts {
            candidates: bits,
            effective: Some(bits * 4 / 5),
            sensitive: bits * 5 / 9,
            rise,
            listed_in: None,
        }),
        sweeps: vec![sweep(first_source, rise, bits, first_source == 0)],
        map: Some(map),
        positions: (0..layers[0].3).map(position).collect(),
        curves: curves(first_source + 1),
        missions: vec![
            mission(first_source + 2, "none", "none", 3.0),
            mission(first_source + 2, "none", "60s", 0.005),
            mission(first_source + 2, "feedback", "none", 0.3),
            mission(first_source + 2, "feedback", "60s", 0.0),
        ],
        analyses: vec![AnalysisEntry {
            source: first_source + 3,
            loss: "telescope".to_owned(),
            events: 2000,
            mean_loss: 0.0123,
            gradient_norm: 0.456,
            eigenvalues: vec![12.3, 4.5, -0.6],
            traces: layers.iter().map(|layer| (layer.0.to_owned(), 3.4)).collect(),
        }],
    }
}

fn source(path: &str, verb: &str, system: &str) -> Source {
    let words = ["trivote", verb, "econ_t_small", "--seed", "1", "--write", "a file"];
    let mut provenance = Provenance::new(words.map(str::to_owned).to_vec(), system, "5f53cb0c".repeat(8));
    provenance.events = Some("0c33b927".repeat(8));
    provenance.seeds = vec![("events".to_owned(), 1), ("random ranking".to_owned(), 1)];
    provenance.inputs =
        vec![("design.toml".to_owned(), "4e85ab0f".repeat(8)), ("model.h5".to_owned(), "86d27842".repeat(8))];
    Source { path: path.to_owned(), verb: verb.to_owned(), system: system.to_owned(), provenance }
}

fn comparison(systems: &[(&str, Layers<'_>)]) -> Comparison {
    let sources = systems.iter().flat_map(|(label, _)| {
        ["sweep", "oracle", "simulate", "analyze"].map(|verb| source(&format!("results/{label}/{verb}"), verb, label))
    });
    Comparison {
        sources: sources.collect(),
        systems: systems
            .iter()
            .enumerate()
            .map(|(number, (label, layers))| system(label, layers, 4 * number))
            .collect(),
    }
}

/// A label alone: nothing is known of the system.
fn bare(label: &str) -> System {
    System {
        label: label.to_owned(),
        fingerprint: "00".repeat(32),
        facts: None,
        error: None,
        area: None,
        bits: None,
        sweeps: Vec::new(),
        map: None,
        positions: Vec::new(),
        curves: Vec::new(),
        missions: Vec::new(),
        analyses: Vec::new(),
    }
}

/// The data that the page's script reads.
fn page_data(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"page-data\">").unwrap();
    let (text, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(text).unwrap()
}

/// The page without what stands in script and style elements.
fn markup(page: &str) -> String {
    let mut rest = page;
    let mut text = String::new();
    while let Some(start) = ["<script", "<style"].iter().filter_map(|tag| rest.find(tag)).min() {
        let name = if rest[start..].starts_with("<script") { "script" } else { "style" };
        let open = start + rest[start..].find('>').unwrap() + 1;
        text.push_str(&rest[..open]);
        rest = &rest[open + rest[open..].find(&format!("</{name}>")).unwrap()..];
    }
    text + rest
}

fn section_ids(page: &str) -> Vec<&str> {
    page.split("<section id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn markup_is_well_formed_and_complete() {
    let page = html(&comparison(&[("ECON-T Small", SMALL), ("ECON-T Medium", MEDIUM)]));
    // What HTML leaves open is closed, and what XML does not know is named, so that an XML reader can check the nesting.
    let mut xml = markup(&page).replacen("<!DOCTYPE html>", "", 1).replace(" checked", " checked=\"\"");
    for tag in ["<meta ", "<link ", "<input "] {
        let parts: Vec<String> = xml
            .split(tag)
            .enumerate()
            .map(|(part, text)| if part == 0 { text.to_owned() } else { text.replacen('>', "/>", 1) })
            .collect();
        xml = parts.join(tag);
    }
    let document = roxmltree::Document::parse(&xml).unwrap();
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!(count("figure"), 2 * 5);
    assert_eq!(count("caption"), count("table"));
    for table in document.descendants().filter(|node| node.has_tag_name("table")) {
        let heads = table.descendants().filter(|node| node.has_tag_name("th"));
        assert!(heads.clone().count() > 1 && heads.clone().all(|head| head.has_attribute("scope")));
        let rows: Vec<usize> = table
            .descendants()
            .filter(|node| node.has_tag_name("tr"))
            .map(|row| row.children().filter(roxmltree::Node::is_element).count())
            .collect();
        assert!(rows.len() > 1 && rows.iter().all(|cells| *cells == rows[0]), "{rows:?}");
    }
    let ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    assert!((1..ids.len()).all(|place| !ids[..place].contains(&ids[place])), "{ids:?}");
    let links =
        document.descendants().filter_map(|node| node.attribute("href")).filter_map(|link| link.strip_prefix('#'));
    assert!(links.clone().count() > 8 && links.clone().all(|link| ids.contains(&link)));
    assert_eq!(
        section_ids(&page),
        [
            "systems",
            "tradeoff",
            "map",
            "curves",
            "positions",
            "missions",
            "derivatives",
            "verification",
            "points",
            "sources"
        ]
    );
}

#[test]
fn nothing_is_loaded_and_the_policy_names_every_script() {
    let page = html(&comparison(&[("ECON-T Small", SMALL)]));
    let outside = markup(&page);
    assert!(
        !outside.contains(" src=")
            && !outside.contains("http:")
            && !outside.contains("https:")
            && !outside.contains("url(")
    );
    assert!(!super::STYLE.contains("url(") && !super::STYLE.contains("@import"));
    let scripts: Vec<&str> = page
        .split("<script")
        .skip(1)
        .map(|rest| rest.split_once('>').unwrap())
        .filter(|(head, _)| !head.contains("application/json"))
        .map(|(_, rest)| rest.split_once("</script>").unwrap().0)
        .collect();
    assert_eq!(scripts.len(), 3);
    assert!(page.contains(&super::policy(&scripts).replace('\'', "&#x27;").replace('/', "&#x2f;")));
    assert_eq!(outside.matches("<script").count(), outside.matches("</script>").count());
}

#[test]
fn the_library_is_the_published_build() {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(super::LIBRARY.as_bytes());
    let text: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text.concat(), "61f13280aba3161f77fc801bf5f9c786f55f10432153a0683fc5cc0700b013d5");
}

#[test]
fn names_never_become_markup() {
    let mut hostile = comparison(&[(HOSTILE, &[(HOSTILE, 4, 1, 3)])]);
    hostile.sources[0].path = HOSTILE.to_owned();
    hostile.sources[0].provenance.command.push(HOSTILE.to_owned());
    let system = &mut hostile.systems[0];
    system.error.as_mut().unwrap().metric = HOSTILE.to_owned();
    system.sweeps[0].points.iter_mut().for_each(|row| {
        row.point.ranking = HOSTILE.to_owned();
        row.point.budget = HOSTILE.to_owned();
        row.point.plan = Some(HOSTILE.to_owned());
        row.point.planning = Some(PlanningForm { method: HOSTILE.to_owned(), gap: 0.0, verdict: HOSTILE.to_owned() });
        row.point.verified = Some(json!({ "cells": HOSTILE, "mission": { "inside": HOSTILE } }));
    });
    system.curves[0].ranking = HOSTILE.to_owned();
    for mission in &mut system.missions {
        mission.environment = HOSTILE.to_owned();
        mission.style = HOSTILE.to_owned();
    }
    system.analyses[0].loss = HOSTILE.to_owned();
    let page = html(&hostile);
    let outside = markup(&page);
    assert!(!outside.contains("<img"), "an element made of a name");
    assert!(!outside.contains(" 49"), "a template made of a name");
    let (_, data) = page.split_once("id=\"page-data\">").unwrap();
    let data = data.split_once("</script>").unwrap().0;
    assert!(!data.contains(['<', '>', '&', '\u{2028}']), "data that a reader of HTML sees");
    let plain = html(&comparison(&[("plain", &[("plain", 4, 1, 3)])]));
    assert_eq!(page.matches("</script>").count(), plain.matches("</script>").count());
    assert_eq!(page_data(&page)["systems"][0]["label"], HOSTILE);
    assert!(page.contains("&lt;&#x2f;script&gt;&lt;img src=x onerror=alert(1)&gt;"));
}

#[test]
fn sections_without_data_are_left_out() {
    let nothing = Comparison { systems: vec![bare("alone")], sources: vec![source("a", "oracle", "alone")] };
    assert_eq!(section_ids(&html(&nothing)), ["systems", "sources"]);
    let mut some = comparison(&[("whole", SMALL)]);
    some.systems.push(bare("alone"));
    some.systems[0].missions.clear();
    some.systems[0].map = None;
    some.systems[0].sweeps[0].points.iter_mut().for_each(|row| row.point.verified = None);
    let page = html(&some);
    assert_eq!(section_ids(&page), ["systems", "tradeoff", "curves", "positions", "derivatives", "points", "sources"]);
    assert!(!page.contains("href=\"#map\"") && !page.contains("data-system=\"1\""));
    assert!(page_data(&page)["systems"][0]["map"].is_null());
    let empty = html(&Comparison { systems: Vec::new(), sources: Vec::new() });
    assert_eq!(section_ids(&empty), ["sources"]);
}

#[test]
fn pages_are_small_and_the_same_every_time() {
    let three = comparison(&[("ECON-T Small", SMALL), ("ECON-T Medium", MEDIUM), ("ECON-T Large", LARGE)]);
    let page = html(&three);
    assert_eq!(
        three.systems.iter().filter_map(|system| system.bits.as_ref()).map(|bits| bits.candidates).sum::<usize>(),
        84_304
    );
    assert!(page.len() < 2_500_000, "{} bytes", page.len());
    assert_eq!(page, html(&three));
    let page = html(&comparison(&[("CIFAR-10 CNN", CIFAR)]));
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
}

#[test]
fn maps_hold_every_rise() {
    let whole = comparison(&[("ECON-T Medium", MEDIUM)]);
    let map = whole.systems[0].map.as_ref().unwrap();
    let data = page_data(&html(&whole));
    let shown = &data["systems"][0]["map"];
    assert_eq!(shown["rises"].as_str().unwrap().len(), (map.rises.len() * 4).div_ceil(3) * 4);
    assert_eq!(shown["rises"], super::encode::base64_f32(&map.rises));
    assert_eq!(shown["arrays"][2]["registers"], 2048);
}

#[test]
fn lines_are_told_apart() {
    let mut whole = comparison(&[("two sweeps", SMALL)]);
    let mut again = whole.systems[0].sweeps[0].clone();
    again.source = 7;
    whole.systems[0].sweeps.push(again.clone());
    again.protection = "unvoted".to_owned();
    again.points.iter_mut().for_each(|row| row.point.protection = "unvoted".to_owned());
    whole.systems[0].sweeps.push(again.clone());
    again.technology = "xc7".to_owned();
    whole.systems[0].sweeps.push(again);
    let data = page_data(&html(&whole));
    let tradeoffs = data["systems"][0]["tradeoffs"].as_array().unwrap();
    assert_eq!(tradeoffs.len(), 2);
    let labels: Vec<&str> = tradeoffs[0]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| data["lines"][usize::try_from(line["line"].as_u64().unwrap()).unwrap()]["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels.len(), 18);
    assert!(labels.contains(&"oracle · feedback · source 1") && labels.contains(&"oracle · feedback · source 8"));
    assert!(labels.contains(&"oracle · unvoted"));
    let areas: Vec<f64> = tradeoffs[0]["lines"][0]["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["area_added"].as_f64().unwrap())
        .collect();
    assert!(areas.is_sorted() && areas.len() == 10);
}

#[test]
fn tables_say_what_it_costs() {
    let page = html(&comparison(&[("ECON-T Small", SMALL)]));
    assert!(page.contains("<th scope=\"row\">Latency</th><td class=\"n\">2 cycles, 50 ns</td>"));
    assert!(page.contains("<th scope=\"row\">oracle</th><td class=\"n\">0.07</td></tr>"));
    assert!(page.contains("trivote sweep econ_t_small --seed 1 --write &#x27;a file&#x27;"));
    assert!(page.contains("<td class=\"n\">1107</td>"));
    assert!(page.contains("<td class=\"n\">83.81 s</td>") && page.contains("<td class=\"n\">&gt; 100.1 min</td>"));
}
