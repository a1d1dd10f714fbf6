//! Spectra that are known by construction, and nalgebra's dense eigenvalues.

use nalgebra::DMatrix;
use proptest::prelude::*;

use super::*;

/// A dense matrix, row by row.
struct Matrix(Vec<Vec<f64>>);

impl SymmetricOperator for Matrix {
    fn dim(&self) -> usize {
        self.0.len()
    }

    fn apply(&self, vector: &[f64], out: &mut [f64]) {
        for (entry, row) in out.iter_mut().zip(&self.0) {
            *entry = dot(row, vector);
        }
    }
}

impl Matrix {
    /// A matrix with this spectrum, in directions that depend on `seed`: a diagonal one between random reflections.
    fn with_spectrum(values: &[f64], seed: u64) -> Self {
        let dim = values.len();
        let mut rows = vec![vec![0.0; dim]; dim];
        for (at, value) in values.iter().enumerate() {
            rows[at][at] = *value;
        }
        let mut draws = Draws::new(seed, 9);
        for _ in 0..dim.min(6) {
            let mut normal: Vec<f64> = (0..dim).map(|_| draws.unit() - 0.5).collect();
            let length = norm(&normal);
            divide(&mut normal, length);
            // P A P with P = 1 - 2 n n'.
            for _ in 0..2 {
                for row in &mut rows {
                    let share = dot(row, &normal);
                    add_scaled(row, -2.0 * share, &normal);
                }
                rows = (0..dim).map(|column| rows.iter().map(|row| row[column]).collect()).collect();
            }
        }
        Self(rows)
    }
}

/// A diagonal matrix.
struct Diagonal(Vec<f64>);

impl SymmetricOperator for Diagonal {
    fn dim(&self) -> usize {
        self.0.len()
    }

    fn apply(&self, vector: &[f64], out: &mut [f64]) {
        for ((entry, value), other) in out.iter_mut().zip(&self.0).zip(vector) {
            *entry = value * other;
        }
    }
}

/// The largest magnitudes, the largest first.
fn magnitudes(values: &[f64], pairs: usize) -> Vec<f64> {
    let mut magnitudes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    magnitudes.sort_by(|a, b| b.total_cmp(a));
    magnitudes.truncate(pairs);
    magnitudes
}

/// Checks the pairs against all eigenvalues there are.
fn check(operator: &dyn SymmetricOperator, all: &[f64], pairs: usize, options: &SpectrumOptions) -> Eigenpairs {
    let found = eigenpairs(operator, pairs, options).unwrap();
    assert!(found.converged, "{found:?}");
    let largest = magnitudes(all, 1)[0];
    // An eigenvalue lies within the residual of each value; the residuals asked for are relative to the largest.
    let tolerance = 2.0 * options.tolerance.max(1e-13 * cast::f64_from_count(all.len())) * largest;
    for (value, magnitude) in found.values.iter().zip(magnitudes(all, pairs)) {
        assert!((value.abs() - magnitude).abs() <= tolerance, "{:?} {:?}", found.values, magnitudes(all, pairs));
        assert!(all.iter().any(|other| (other - value).abs() <= tolerance), "{value}");
    }
    for (at, vector) in found.vectors.iter().enumerate() {
        let mut product = vec![0.0; vector.len()];
        operator.apply(vector, &mut product);
        add_scaled(&mut product, -found.values[at], vector);
        assert!(norm(&product) <= tolerance, "residual of pair {at}: {}", norm(&product));
        assert!((norm(&product) - found.residuals[at]).abs() <= 1e-12 * largest, "as reported");
        for (other, earlier) in found.vectors[..=at].iter().enumerate() {
            let expected = if other == at { 1.0 } else { 0.0 };
            assert!((dot(vector, earlier) - expected).abs() < 1e-10, "orthonormal: {at} {other}");
        }
        let largest = vector.iter().fold(0.0_f64, |a, b| if b.abs() > a.abs() { *b } else { a });
        assert!(largest > 0.0, "the sign of an eigenvector is settled");
    }
    found
}

#[test]
fn spectra_of_every_kind() {
    let cases: Vec<(&str, Vec<f64>, usize)> = vec![
        ("spread out", (0..60).map(f64::from).collect(), 6),
        ("decaying", (0..200).map(|at| 0.9_f64.powi(at)).collect(), 6),
        ("indefinite", (0..120).map(|at| f64::from(at) - 59.5).collect(), 5),
        ("both signs of one magnitude", [5.0, -5.0, 1.0].into_iter().chain((0..80).map(|_| 0.25)).collect(), 3),
        ("repeated", [7.0; 4].into_iter().chain((0..150).map(|at| f64::from(at) / 50.0)).collect(), 6),
        ("repeated more often than asked", [2.0; 9].into_iter().chain([0.5; 91]).collect(), 4),
        ("clustered", (0..6).map(|at| 1.0 + 1e-7 * f64::from(at)).chain((0..90).map(|_| 0.1)).collect(), 6),
        ("the last wanted repeated", [9.0, 4.0, 4.0, 4.0].into_iter().chain([0.5; 60]).collect(), 4),
        ("identity", vec![1.0; 70], 6),
        ("rank one", [3.0].into_iter().chain([0.0; 79]).collect(), 4),
        ("zero", vec![0.0; 50], 3),
        ("one row", vec![-2.5], 1),
        ("all of a small one", vec![1.0, -4.0, 2.0, 2.0, 0.0], 5),
        ("tiny", (0..40).map(|at| 1e-200 * f64::from(at)).collect(), 3),
    ];
    for (name, values, pairs) in cases {
        for seed in 1..4 {
            let options = SpectrumOptions { seed, ..SpectrumOptions::default() };
            let found = check(&Matrix::with_spectrum(&values, seed), &values, pairs, &options);
            assert!(found.products <= 200, "{name}, seed {seed}: {} products", found.products);
        }
    }
}

#[test]
fn large_and_hard_to_tell_apart() {
    // 5,000 rows, eigenvalues that fall slowly: several restarts.
    let values: Vec<f64> = (0..5000).map(|at| 1.0 / (1.0 + f64::from(at) / 20.0)).collect();
    let found = check(&Diagonal(values.clone()), &values, 6, &SpectrumOptions::default());
    let once = SpectrumOptions { copies: Copies::OneEach, ..SpectrumOptions::default() };
    assert!(check(&Diagonal(values.clone()), &values, 6, &once).products < found.products);
    // As exact as doubles allow, whatever is asked.
    let exact = SpectrumOptions { tolerance: 0.0, ..SpectrumOptions::default() };
    let found = eigenpairs(&Diagonal(values), 2, &exact).unwrap();
    assert!(found.converged && found.residuals[0] < 1e-12, "{:?}", found.residuals);
    assert!((found.values[0] - 1.0).abs() < 1e-13 && found.vectors[0][0] > 1.0 - 1e-12);
}

#[test]
fn same_bits_every_time_and_unconverged_when_products_run_out() {
    let values: Vec<f64> = (0..300).map(|at| f64::from(at).sqrt()).collect();
    let operator = Matrix::with_spectrum(&values, 5);
    let options = SpectrumOptions::default();
    assert_eq!(eigenpairs(&operator, 4, &options), eigenpairs(&operator, 4, &options));
    let few = eigenpairs(&operator, 4, &SpectrumOptions { max_products: 9, ..options }).unwrap();
    assert!(!few.converged && few.products == 9 && few.values.len() == 4);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let operator = Diagonal(vec![1.0, 2.0]);
    let options = SpectrumOptions::default();
    assert_eq!(eigenpairs(&operator, 0, &options), Err(SpectrumError::NoPairs));
    assert_eq!(eigenpairs(&operator, 3, &options), Err(SpectrumError::TooManyPairs { asked: 3, dim: 2 }));
    assert_eq!(eigenpairs(&Diagonal(Vec::new()), 1, &options), Err(SpectrumError::TooManyPairs { asked: 1, dim: 0 }));
    let one = SpectrumOptions { max_products: 1, ..options };
    assert_eq!(eigenpairs(&operator, 2, &one), Err(SpectrumError::TooFewProducts { asked: 2, most: 1 }));
    let broken = eigenpairs(&Diagonal(vec![1.0, f64::NAN]), 1, &options);
    assert!(matches!(broken, Err(SpectrumError::NotFinite { product: 1, index: 1, .. })), "{broken:?}");
    let huge = eigenpairs(&Diagonal(vec![1e300; 3]), 1, &options);
    assert!(huge.is_ok_and(|found| (found.values[0] / 1e300 - 1.0).abs() < 1e-9));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn dense_eigenvalues_agree(
        entries in prop::collection::vec(-1.0..1.0_f64, 30 * 30),
        dim in 1..30_usize,
        rank in 1..30_usize,
        seed in 0..1000_u64,
    ) {
        // A sum of `rank` signed dyads: indefinite, often rank-deficient.
        let rows: Vec<Vec<f64>> = (0..dim)
            .map(|row| {
                (0..dim)
                    .map(|column| {
                        let term = |at: usize| entries[at * 30 + row] * entries[at * 30 + column];
                        (0..rank).map(|at| if at % 2 == 0 { term(at) } else { -term(at) }).sum()
                    })
                    .collect()
            })
            .collect();
        let matrix = DMatrix::from_fn(dim, dim, |row, column| rows[row][column]);
        let all: Vec<f64> = matrix.symmetric_eigenvalues().iter().copied().collect();
        let options = SpectrumOptions { seed, ..SpectrumOptions::default() };
        check(&Matrix(rows), &all, 1 + rank % dim, &options);
    }

    #[test]
    fn constructed_spectra_are_found(
        distinct in prop::collection::vec((-3.0..3.0_f64, 1..5_usize), 4..40),
        pairs in 1..7_usize,
        seed in 0..1000_u64,
    ) {
        let values: Vec<f64> = distinct.iter().flat_map(|(value, copies)| vec![*value; *copies]).collect();
        let pairs = pairs.min(values.len());
        let options = SpectrumOptions { seed, ..SpectrumOptions::default() };
        check(&Matrix::with_spectrum(&values, seed), &values, pairs, &options);
    }
}
