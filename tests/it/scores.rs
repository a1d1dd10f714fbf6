//! Lists of bits and their scores as files: what is written reads back as the same bits, from CSV and from Parquet, and
//! what is broken is refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use proptest::prelude::*;
use serde_json::Value;
use trivote::fault::{Biases, all_sites};
use trivote::hw::Inventory;
use trivote::import::design::Design;
use trivote::import::sites::{RowPlace, ScoreColumn, SiteError, SiteRow, design_of, read_sites};
use trivote::net::TensorKind;
use trivote::num::BitIdx;
use trivote::report::scores::{ScoreError, ScoreTable};
use trivote::report::{Provenance, SiteTable};

use super::cli::{Folder, csv, fail, run};
use super::keras::data;

const NAMES: [&str; 2] = ["scores.csv", "scores.parquet"];

fn provenance() -> Provenance {
    let mut provenance =
        Provenance::new(vec!["trivote".to_owned(), "score".to_owned()], "name", "fingerprint".to_owned());
    provenance.seeds.push(("bits".to_owned(), 7));
    provenance
}

/// The bits of a shipped design.
fn table(biases: Biases) -> SiteTable {
    let design = Design::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_models/econ_t_small")).unwrap();
    let inventory = Inventory::new(&design.accelerator).unwrap();
    SiteTable::new(&design.accelerator, &inventory, &all_sites(&inventory, biases))
}

fn scores_of(rows: &[SiteRow]) -> Vec<u64> {
    rows.iter().map(|row| row.score.unwrap().to_bits()).collect()
}

#[test]
fn scores_read_back_as_the_same_bits() {
    let sites = table(Biases::Include);
    let special = [0.0, -0.0, 0.1 + 0.2, 5e-324, f64::MAX, f64::MIN_POSITIVE, -1.0 / 3.0, 1e-20, 12345678.9e15];
    let count = sites.sites.len();
    let scores = [
        ("special".to_owned(), (0..count).map(|at| special[at % special.len()]).collect::<Vec<f64>>()),
        ("taylor \"2\"".to_owned(), (0..count).map(|at| (at as f64).sin()).collect()),
        ("whole".to_owned(), (0..count).map(|at| at as f64).collect()),
    ];
    let written = ScoreTable::new(&sites, &scores).unwrap();
    for name in NAMES {
        let bytes = written.to_bytes(Path::new(name), &provenance()).unwrap();
        assert_eq!(bytes, written.to_bytes(Path::new(name), &provenance()).unwrap(), "equal tables give equal bytes");
        for (score, values) in &scores {
            let rows = read_sites(name, &bytes, ScoreColumn::Named(score)).unwrap();
            let expected: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
            assert_eq!(scores_of(&rows), expected, "{name}, {score}");
            for (row, site) in rows.iter().zip(&sites.sites) {
                let (layer, tensor) = &sites.arrays[site.array];
                assert_eq!((&row.layer, row.tensor, row.index), (layer, *tensor, site.index));
                assert_eq!(row.bit, BitIdx(site.bit));
            }
        }
        let beside = written.json(&provenance());
        assert_eq!(design_of(name, &bytes, Some(beside.as_bytes())).as_deref(), Some("fingerprint"));
        let own = design_of(name, &bytes, None);
        assert_eq!(own.is_some(), name == "scores.parquet", "Parquet says it itself");
        let summary: Value = serde_json::from_str(&beside).unwrap();
        assert_eq!(summary["scores"][1], "taylor \"2\"");
        assert_eq!(summary["bits"], count);
    }
    // Parquet is known by its first bytes as well as by its name.
    let bytes = written.to_bytes(Path::new(NAMES[1]), &provenance()).unwrap();
    assert!(read_sites("renamed", &bytes, ScoreColumn::Named("whole")).is_ok());
}

#[test]
fn scores_that_could_not_be_read_back_are_not_written() {
    let sites = table(Biases::Exclude);
    let count = sites.sites.len();
    let refused = |name: &str, values: Vec<f64>| {
        ScoreTable::new(&sites, &[("first".to_owned(), vec![0.0; count]), (name.to_owned(), values)]).unwrap_err()
    };
    for name in ["", " a", "a,b", "a:b", "a\nb", "layer", "bit", "first"] {
        assert!(matches!(refused(name, vec![0.0; count]), ScoreError::Name { .. }), "{name}");
    }
    assert!(matches!(refused("a", vec![0.0; 3]), ScoreError::Length { found: 3, expected, .. } if expected == count));
    let mut values = vec![0.0; count];
    values[7] = f64::NAN;
    let message = refused("a", values).to_string();
    assert!(message.contains("score `a` of `en_dense_0.kernel[0].bit[7]` is NaN"), "{message}");
}

#[test]
fn an_oracle_in_either_form_ranks_like_the_oracle() {
    let folder = Folder::new();
    let [text, parquet] = [folder.path("o.csv"), folder.path("o.parquet")];
    for out in [&text, &parquet] {
        run(&["oracle", "econ_t_medium", "--limit", "10", "-o", out]);
    }
    assert_eq!(
        fs::read_to_string(format!("{text}.json")).unwrap(),
        fs::read_to_string(format!("{parquet}.json")).unwrap(),
        "the form is no part of the result"
    );
    let rows = csv(&fs::read_to_string(&text).unwrap());
    let bytes = fs::read(&parquet).unwrap();
    for column in ["golden", "faulty", "changed_events", "mean_error", "error_rise"] {
        let expected: Vec<u64> = rows.iter().map(|row| row[column].parse::<f64>().unwrap().to_bits()).collect();
        assert_eq!(scores_of(&read_sites("o", &bytes, ScoreColumn::Named(column)).unwrap()), expected, "{column}");
    }
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let described = reader.metadata().file_metadata();
    let names: Vec<&str> = described.schema_descr().columns().iter().map(|column| column.name()).collect();
    let header = fs::read_to_string(&text).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(names.join(","), header, "the same columns");
    assert!(described.created_by().unwrap().starts_with("trivote "));

    let rankings = format!("oracle,{text}:error_rise,{parquet}:mean_error");
    let sweep: Value = serde_json::from_str(&run(&[
        "sweep",
        "econ_t_medium",
        "--limit",
        "10",
        "--budgets",
        "10%",
        "--rankings",
        &rankings,
        "--json",
    ]))
    .unwrap();
    assert_eq!(sweep["points"][1]["ranking"], "error_rise");
    assert_eq!(sweep["points"][2]["ranking"], "mean_error");
    for point in 1..3 {
        assert_eq!(sweep["points"][point]["rise_remaining"], sweep["points"][0]["rise_remaining"]);
    }
    assert_eq!(sweep["points"][1]["bits_protected"], 1272);
    // The bits of the list, in its order.
    let [once, again] = [folder.path("once.csv"), folder.path("again.csv")];
    run(&["oracle", "econ_t_medium", "--limit", "10", "--sites", &text, "-o", &once]);
    run(&["oracle", "econ_t_medium", "--limit", "10", "--sites", &parquet, "-o", &again]);
    assert_eq!(fs::read(&once).unwrap(), fs::read(&text).unwrap());
    assert_eq!(fs::read(&again).unwrap(), fs::read(&text).unwrap());
}

#[test]
fn a_sweep_says_what_is_wrong_with_a_score_file() {
    let folder = Folder::new();
    let sites = table(Biases::Exclude);
    let count = sites.sites.len();
    let scores = [("hessian".to_owned(), vec![1.0; count]), ("taylor".to_owned(), vec![2.0; count])];
    let written = ScoreTable::new(&sites, &scores).unwrap();
    let refuse = |code: i32, ranking: &str, parts: &[&str]| {
        let error = fail(code, &["sweep", "econ_t_small", "--limit", "1", "--rankings", ranking]);
        for part in parts {
            assert!(error.contains(part), "{ranking}: `{part}` is not in {error}");
        }
    };
    for name in NAMES {
        let bytes = written.to_bytes(Path::new(name), &provenance()).unwrap();
        let other = folder.write(name, &bytes);
        folder.write(&format!("{name}.json"), written.json(&provenance()));
        refuse(1, &format!("{other}:taylor"), &[name, "another design", "fingerprint", "econ_t_small"]);
    }
    let text = folder.write("a:b.csv", written.to_bytes(Path::new("a.csv"), &provenance()).unwrap());
    refuse(1, &text, &["a:b.csv: there is no score column `score`", "it has hessian, taylor; name one as"]);
    refuse(1, &format!("{text}:fisher"), &["no score column `fisher`", "hessian, taylor"]);
    refuse(2, &format!("{text}.no:fisher"), &["FILE:COLUMN"]);
    refuse(1, &format!("{text}:taylor,{text}:hessian,{text}:taylor"), &["is asked for twice"]);
    let good: Value = serde_json::from_str(&run(&[
        "sweep",
        "econ_t_small",
        "--limit",
        "1",
        "--budgets",
        "5%",
        "--rankings",
        &format!("{text}:taylor"),
        "--json",
    ]))
    .unwrap();
    assert_eq!(good["points"][0]["ranking"], "taylor");
    assert_eq!(good["provenance"]["inputs"].as_array().unwrap().iter().filter(|i| i[0] == text.as_str()).count(), 1);
    let zipped = folder.write("short.parquet", b"PAR1 and no more");
    refuse(1, &zipped, &["short.parquet", "cannot be read as Parquet"]);
}

/// A column of a file as others might write it.
enum Column {
    Texts(&'static [&'static str]),
    Short(&'static [i32], Option<LogicalType>),
    Long(&'static [i64], Option<LogicalType>),
    Singles(&'static [f32]),
    Doubles(&'static [f64]),
    Flags(&'static [bool]),
    /// Values and whether there is one.
    Gaps(&'static [f64], &'static [i16]),
}

fn foreign(columns: &[(&str, Column)]) -> Vec<u8> {
    let field = |(name, column): &(&str, Column)| -> TypePtr {
        let (physical, logical, repetition) = match column {
            Column::Texts(_) => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String), Repetition::REQUIRED),
            Column::Short(_, logical) => (PhysicalType::INT32, logical.clone(), Repetition::REQUIRED),
            Column::Long(_, logical) => (PhysicalType::INT64, logical.clone(), Repetition::REQUIRED),
            Column::Singles(_) => (PhysicalType::FLOAT, None, Repetition::REQUIRED),
            Column::Doubles(_) => (PhysicalType::DOUBLE, None, Repetition::REQUIRED),
            Column::Flags(_) => (PhysicalType::BOOLEAN, None, Repetition::REQUIRED),
            Column::Gaps(..) => (PhysicalType::DOUBLE, None, Repetition::OPTIONAL),
        };
        let builder = Type::primitive_type_builder(name, physical).with_repetition(repetition);
        Arc::new(builder.with_logical_type(logical).build().unwrap())
    };
    let schema = Type::group_type_builder("foreign").with_fields(columns.iter().map(field).collect()).build().unwrap();
    let mut writer =
        SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(WriterProperties::builder().build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, column) in columns {
        let mut next = group.next_column().unwrap().unwrap();
        macro_rules! write {
            ($type:ty, $values:expr, $levels:expr) => {
                next.typed::<$type>().write_batch($values, $levels, None).unwrap()
            };
        }
        match column {
            Column::Texts(texts) => {
                let texts: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(*text)).collect();
                write!(ByteArrayType, &texts, None)
            }
            Column::Short(values, _) => write!(Int32Type, values, None),
            Column::Long(values, _) => write!(Int64Type, values, None),
            Column::Singles(values) => write!(FloatType, values, None),
            Column::Doubles(values) => write!(DoubleType, values, None),
            Column::Flags(values) => write!(BoolType, values, None),
            Column::Gaps(values, levels) => write!(DoubleType, values, Some(levels)),
        };
        next.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// Two bits, and a score.
fn with_score(score: Column) -> Vec<u8> {
    foreign(&[
        ("score", score),
        ("bit", Column::Long(&[0, 5], None)),
        ("layer", Column::Texts(&["conv", "dense"])),
        ("tensor", Column::Texts(&["kernel", "bias"])),
        ("index", Column::Short(&[3, 0], None)),
    ])
}

#[test]
fn numbers_of_every_type_are_scores() {
    let rows = |score| read_sites("f.parquet", &with_score(score), ScoreColumn::Named("score"));
    let second = |score| rows(score).unwrap()[1].score.unwrap();
    assert_eq!(second(Column::Short(&[1, -2], None)), -2.0);
    assert_eq!(second(Column::Short(&[1, -2], Some(LogicalType::integer(32, false)))), 4294967294.0);
    assert_eq!(second(Column::Long(&[1, -2], None)), -2.0);
    assert_eq!(second(Column::Long(&[1, -1], Some(LogicalType::integer(64, false)))), 2.0_f64.powi(64));
    assert_eq!(second(Column::Singles(&[1.0, 0.1])), f64::from(0.1_f32));
    assert_eq!(second(Column::Gaps(&[1.0, -0.5], &[1, 1])), -0.5);
    assert_eq!(
        rows(Column::Doubles(&[1.0, 2.5])).unwrap()[1],
        SiteRow {
            place: RowPlace::Row(2),
            layer: "dense".to_owned(),
            tensor: TensorKind::Bias,
            index: 0,
            bit: BitIdx(5),
            score: Some(2.5)
        }
    );
}

#[test]
fn messages_name_row_and_column() {
    let message = |bytes: &[u8]| read_sites("f.parquet", bytes, ScoreColumn::Named("score")).unwrap_err().to_string();
    let bits = |layer, tensor, index, bit| {
        let score = ("score", Column::Doubles(&[1.0, 2.0]));
        foreign(&[("layer", layer), ("tensor", tensor), ("index", index), ("bit", bit), score])
    };
    let layers = || Column::Texts(&["a", "b"]);
    let tensors = || Column::Texts(&["kernel", "kernel"]);
    let numbers = || Column::Long(&[0, 1], None);
    let cases = [
        (
            with_score(Column::Doubles(&[1.0, f64::NAN])),
            "f.parquet: row 2, column `score`: `NaN` is not a finite number",
        ),
        (with_score(Column::Gaps(&[1.0], &[1, 0])), "row 2, column `score`: `null` is not a number"),
        (with_score(Column::Texts(&["1", "2"])), "column `score` is of type BYTE_ARRAY (String); it must hold numbers"),
        (with_score(Column::Flags(&[true, false])), "column `score` is of type BOOLEAN; it must hold numbers"),
        (
            with_score(Column::Short(&[1, 2], Some(LogicalType::Date))),
            "column `score` is of type INT32 (Date); it must hold numbers",
        ),
        (bits(layers(), Column::Texts(&["kernel", "x"]), numbers(), numbers()), "row 2, column `tensor`: `x` is not"),
        (
            bits(layers(), tensors(), Column::Long(&[0, -1], None), numbers()),
            "row 2, column `index`: `-1` is not a whole",
        ),
        (
            bits(layers(), tensors(), numbers(), Column::Long(&[256, 0], None)),
            "row 1, column `bit`: `256` is not a bit",
        ),
        (
            bits(layers(), tensors(), Column::Doubles(&[0.0, 1.0]), numbers()),
            "`index` is of type DOUBLE; it must hold whole",
        ),
        (bits(numbers(), tensors(), numbers(), numbers()), "column `layer` is of type INT64; it must hold text"),
        (foreign(&[("layer", layers()), ("layer", layers())]), "column `layer` stands there twice"),
        (
            foreign(&[("layer", layers()), ("tensor", tensors())]),
            "there is no column `index`; needed are layer, tensor",
        ),
        (with_score(Column::Doubles(&[1.0, 2.0]))[..200].to_vec(), "cannot be read as Parquet"),
        (Vec::new(), "cannot be read as Parquet"),
    ];
    for (bytes, expected) in cases {
        let found = message(&bytes);
        assert!(found.contains(expected), "{found}");
    }
    let none = foreign(&[
        ("layer", Column::Texts(&[])),
        ("tensor", Column::Texts(&[])),
        ("index", Column::Long(&[], None)),
        ("bit", Column::Long(&[], None)),
        ("score", Column::Doubles(&[])),
    ]);
    assert!(message(&none).contains("there is no row"), "{}", message(&none));
}

#[test]
fn files_of_pandas_are_read() {
    let bytes = fs::read(data("scores_pandas.parquet")).unwrap();
    let read = |column| read_sites("p.parquet", &bytes, ScoreColumn::Named(column));
    let (scores, ranks) = (read("score").unwrap(), read("rank").unwrap());
    assert_eq!(scores.len(), 12);
    for (at, (score, rank)) in scores.iter().zip(&ranks).enumerate() {
        assert_eq!(score.score, Some(f64::from(at as f32 / 3.0)));
        assert_eq!(rank.score, Some((11 - at) as f64));
        assert_eq!(score.layer, if at < 6 { "conv2d_0_m" } else { "encoded_vector" });
        assert_eq!(score.tensor, if at < 9 { TensorKind::Kernel } else { TensorKind::Bias });
        assert_eq!((score.index, usize::from(score.bit.0)), (at / 6, at % 6));
        assert_eq!(score.place, RowPlace::Row(at as u64 + 1));
    }
    let gap = read("gaps").unwrap_err().to_string();
    assert!(gap.contains("row 8, column `gaps`: `null` is not a number"), "{gap}");
}

/// A small file of ours.
fn small_file() -> Vec<u8> {
    let mut sites = table(Biases::Exclude);
    sites.sites.truncate(40);
    let scores = [("score".to_owned(), (0..40).map(f64::from).collect::<Vec<f64>>())];
    ScoreTable::new(&sites, &scores).unwrap().to_bytes(Path::new("s.parquet"), &provenance()).unwrap()
}

#[test]
fn truncated_files_are_refused() {
    let bytes = small_file();
    for length in 0..bytes.len() {
        let read = read_sites("s.parquet", &bytes[..length], ScoreColumn::Named("score"));
        assert!(read.is_err(), "{length} of {} bytes", bytes.len());
    }
    assert!(read_sites("s.parquet", &bytes, ScoreColumn::Named("score")).is_ok());
}

#[test]
fn a_file_that_trips_its_reader_is_damaged_and_no_more_is_said() {
    let good = small_file();
    let broken = (0..good.len()).flat_map(|at| [0x00, 0x0f, 0xff].map(|byte| (at, byte))).find_map(|(at, byte)| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        let read = read_sites("s.parquet", &bytes, ScoreColumn::Ignored);
        matches!(read, Err(SiteError::Damaged { .. })).then_some(bytes)
    });
    let broken =
        broken.expect("the reader of the crate `parquet` has assertions that files can trip; if not, drop the guard");
    let folder = Folder::new();
    let file = folder.write("broken.parquet", broken);
    let error = fail(1, &["oracle", "econ_t_small", "--limit", "1", "--sites", &file]);
    assert!(error.contains("broken.parquet: is damaged"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn broken_files_are_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        own in any::<bool>(),
    ) {
        let mut bytes = if own { small_file_once().clone() } else { with_score(Column::Gaps(&[1.0, 2.0], &[1, 1])) };
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        // Nothing but a result: no panic comes through, and a refusal names the file.
        match read_sites("s.parquet", &bytes, ScoreColumn::Named("score")) {
            Ok(rows) => prop_assert!(rows.iter().all(|row| row.score.unwrap().is_finite())),
            Err(error) => prop_assert!(error.to_string().starts_with("s.parquet: "), "{}", error),
        }
        let _ = design_of("s.parquet", &bytes, None);
    }
}

fn small_file_once() -> &'static Vec<u8> {
    static FILE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    FILE.get_or_init(small_file)
}
