//! Lists of bits as CSV.

use super::{BIT, FINITE, NUMBER, RowPlace, ScoreColumn, SiteError, SiteRow, TENSOR, WHOLE, find_columns, tensor_kind};
use crate::import::lines::line_of;
use crate::num::BitIdx;

/// The rows of a CSV file.
pub(super) fn read(file: &str, text: &[u8], score: ScoreColumn<'_>) -> Result<Vec<SiteRow>, SiteError> {
    let csv_error = |source| SiteError::Csv { file: file.to_owned(), source };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let header = reader.headers().map_err(csv_error)?.clone();
    let names: Vec<&str> = header.iter().collect();
    let ([layer, tensor, index, bit], score) = find_columns(file, &names, score)?;

    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(csv_error)?;
        let place = RowPlace::Line(record.position().map_or(0, |start| line_of(text, start)));
        let cell = |at: usize, expected: &'static str| SiteError::Cell {
            file: file.to_owned(),
            place,
            column: names[at].to_owned(),
            text: record[at].to_owned(),
            expected,
        };
        let score = match score {
            Some(at) => {
                let value: f64 = record[at].parse().map_err(|_| cell(at, NUMBER))?;
                if !value.is_finite() {
                    return Err(cell(at, FINITE));
                }
                Some(value)
            }
            None => None,
        };
        rows.push(SiteRow {
            place,
            layer: record[layer].to_owned(),
            tensor: tensor_kind(&record[tensor]).ok_or_else(|| cell(tensor, TENSOR))?,
            index: record[index].parse().map_err(|_| cell(index, WHOLE))?,
            bit: BitIdx(record[bit].parse().map_err(|_| cell(bit, BIT))?),
            score,
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::super::read_sites;
    use super::*;
    use crate::net::TensorKind;

    #[test]
    fn columns_in_any_order_and_others_ignored() {
        let text = b"bit,note,layer,index,tensor,score\n0,x,conv,3,kernel,1.5\n 5 ,y,dense,0,bias,-2\n";
        let rows = read_sites("s.csv", text, ScoreColumn::Named("score")).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            rows[1],
            SiteRow {
                place: RowPlace::Line(3),
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
            ("layer,tensor,index\n", "s.csv: there is no column `bit`; needed are layer, tensor, index, bit, score"),
            ("layer,tensor,index,bit,score\n", "s.csv: there is no row"),
            (&format!("{head}a,kernel,0,0,0\na,weights,0,0,0\n"), "line 3, column `tensor`: `weights` is not"),
            (&format!("{head}a,kernel,-1,0,0\n"), "line 2, column `index`: `-1` is not"),
            (&format!("{head}a,kernel,1,999,0\n"), "line 2, column `bit`: `999` is not"),
            (&format!("{head}\n\na,kernel,0,0,0\n\na,kernel,x,0,0\n"), "line 6, column `index`"),
            ("layer,layer,tensor,index,bit,score\n", "s.csv: column `layer` stands there twice"),
            (
                "layer,tensor,index,bit,golden,error_rise\n",
                "s.csv: there is no score column `score`; it has golden, error_rise; name one as s.csv:COLUMN",
            ),
            ("layer,tensor,index,bit\n", "no score column `score`; it has no column besides"),
            (&format!("{head}a,kernel,1,0,nan\n"), "line 2, column `score`: `nan` is not"),
        ];
        for (text, expected) in cases {
            let found = message(text.as_bytes(), ScoreColumn::Named("score"));
            assert!(found.contains(expected), "{found}");
        }
        assert!(message(b"layer,tensor,index,bit\na,kernel,0\n", ScoreColumn::Ignored).contains("line: 2"));
    }
}
