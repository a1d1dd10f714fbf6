//! Lists of register bits in CSV: columns `layer,tensor,index,bit`, and `score` where scores are asked for.
//!
//! Only reads: whether a design has such bits is `hw`'s knowledge, so every row keeps its line number.

use super::lines::line_of;
use crate::net::TensorKind;
use crate::num::BitIdx;

/// Why a list of bits cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// A file that is not CSV.
    #[error("{file}: {source}")]
    Csv {
        /// The file.
        file: String,
        /// Line and reason.
        source: csv::Error,
    },
    /// A column that is not there.
    #[error("{file}: line 1: there is no column `{column}`; needed are {needed}")]
    MissingColumn {
        /// The file.
        file: String,
        /// The column.
        column: &'static str,
        /// All columns needed.
        needed: String,
    },
    /// A cell that cannot be understood.
    #[error("{file}: line {line}, column `{column}`: `{text}` is not {expected}")]
    Cell {
        /// The file.
        file: String,
        /// Line, counted from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// What stands there.
        text: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A column that stands there twice.
    #[error("{file}: line 1: column `{column}` stands there twice")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The column.
        column: &'static str,
    },
    /// No row below the header.
    #[error("{file}: there is no row below the header")]
    Empty {
        /// The file.
        file: String,
    },
}

/// One row: a register bit as a user names it.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteRow {
    /// Line in the file, counted from 1.
    pub line: u64,
    /// Name of the layer in the model file.
    pub layer: String,
    /// Which of its tensors.
    pub tensor: TensorKind,
    /// C-order index in the tensor.
    pub index: usize,
    /// Bit, 0 being the most significant.
    pub bit: BitIdx,
    /// The score, where asked for.
    pub score: Option<f64>,
}

/// Whether a list must have a column `score`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreColumn {
    /// Bits alone; further columns are ignored.
    Ignored,
    /// Every bit has a finite score.
    Required,
}

/// Reads a list of bits; `file` names it in messages. Columns may stand in any order, others are ignored.
///
/// # Errors
/// Names file, line and column of the first cell that cannot be understood.
pub fn read_sites(file: &str, text: &[u8], score: ScoreColumn) -> Result<Vec<SiteRow>, SiteError> {
    let csv_error = |source| SiteError::Csv { file: file.to_owned(), source };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let header = reader.headers().map_err(csv_error)?.clone();
    let mut needed = vec!["layer", "tensor", "index", "bit"];
    if score == ScoreColumn::Required {
        needed.push("score");
    }
    let column = |name: &'static str| {
        if header.iter().filter(|field| *field == name).count() > 1 {
            return Err(SiteError::DuplicateColumn { file: file.to_owned(), column: name });
        }
        header.iter().position(|field| field == name).ok_or_else(|| SiteError::MissingColumn {
            file: file.to_owned(),
            column: name,
            needed: needed.join(", "),
        })
    };
    let [layer, tensor, index, bit] = [column("layer")?, column("tensor")?, column("index")?, column("bit")?];
    let score = if score == ScoreColumn::Required { Some(column("score")?) } else { None };

    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(csv_error)?;
        let line = record.position().map_or(0, |start| line_of(text, start));
        let cell = |column: &'static str, at: usize, expected: &'static str| SiteError::Cell {
            file: file.to_owned(),
            line,
            column,
            text: record[at].to_owned(),
            expected,
        };
        rows.push(SiteRow {
            line,
            layer: record[layer].to_owned(),
            tensor: match &record[tensor] {
                "kernel" => TensorKind::Kernel,
                "bias" => TensorKind::Bias,
                _ => return Err(cell("tensor", tensor, "`kernel` or `bias`")),
            },
            index: record[index].parse().map_err(|_| cell("index", index, "a whole number from 0"))?,
            bit: BitIdx(record[bit].parse().map_err(|_| cell("bit", bit, "a bit number from 0 (the MSB) to 31"))?),
            score: match score {
                Some(at) => {
                    let value: f64 = record[at].parse().map_err(|_| cell("score", at, "a number"))?;
                    if !value.is_finite() {
                        return Err(cell("score", at, "a finite number"));
                    }
                    Some(value)
                }
                None => None,
            },
        });
    }
    if rows.is_empty() {
        return Err(SiteError::Empty { file: file.to_owned() });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_in_any_order_and_others_ignored() {
        let text = b"bit,note,layer,index,tensor,score\n0,x,conv,3,kernel,1.5\n 5 ,y,dense,0,bias,-2\n";
        let rows = read_sites("s.csv", text, ScoreColumn::Required).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            rows[1],
            SiteRow {
                line: 3,
                layer: "dense".to_owned(),
                tensor: TensorKind::Bias,
                index: 0,
                bit: BitIdx(5),
                score: Some(-2.0)
            }
        );
        assert_eq!(read_sites("s.csv", text, ScoreColumn::Ignored).unwrap()[0].score, None);
    }

    #[test]
    fn messages_name_line_and_column() {
        let message = |text: &[u8], score| read_sites("s.csv", text, score).unwrap_err().to_string();
        let head = "layer,tensor,index,bit,score\n";
        let cases = [
            ("layer,tensor,index\n", "s.csv: line 1: there is no column `bit`"),
            ("layer,tensor,index,bit,score\n", "s.csv: there is no row"),
            (&format!("{head}a,kernel,0,0,0\na,weights,0,0,0\n"), "line 3, column `tensor`: `weights` is not"),
            (&format!("{head}a,kernel,-1,0,0\n"), "line 2, column `index`: `-1` is not"),
            (&format!("{head}a,kernel,1,999,0\n"), "line 2, column `bit`: `999` is not"),
            (&format!("{head}\n\na,kernel,0,0,0\n\na,kernel,x,0,0\n"), "line 6, column `index`"),
            ("layer,layer,tensor,index,bit,score\n", "line 1: column `layer` stands there twice"),
            (&format!("{head}a,kernel,1,0,nan\n"), "line 2, column `score`: `nan` is not"),
        ];
        for (text, expected) in cases {
            let found = message(text.as_bytes(), ScoreColumn::Required);
            assert!(found.contains(expected), "{found}");
        }
        assert!(message(b"layer,tensor,index,bit\na,kernel,0\n", ScoreColumn::Ignored).contains("line: 2"));
    }
}
