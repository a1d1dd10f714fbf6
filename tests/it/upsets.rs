//! Upsets in time on protected registers: arrivals, placement and weight bank together against what theory says.

use std::num::NonZeroUsize;

use trivote::fault::{Arrivals, ClusterSizes, Draws};
use trivote::hw::{BitId, Cycle, Inventory, Load, Placement, Protection, TmrStyle, WeightBank};
use trivote::net::{Dense, Network, NetworkBuilder, Op, WeightTensor};
use trivote::num::{QFormat, qkeras};

/// 64 registers of 8 bits.
fn network() -> Network {
    let mut net = NetworkBuilder::new("n", "x", &[8], qkeras::quantized_relu(4, 1).unwrap()).unwrap();
    let source = net.input();
    let raw = (0..64).map(|value| (value * 37) % 256 - 128).collect();
    let kernel = WeightTensor::new(vec![8, 8], raw, QFormat::signed(8, 1).unwrap()).unwrap();
    net.push("dense", Op::Dense(Dense { kernel, bias: None }), &[source]).unwrap();
    net.finish().unwrap()
}

struct Mission {
    style: TmrStyle,
    distance: usize,
    sizes: &'static str,
    mean_cycles: f64,
    cycles: u64,
}

/// What is wrong at the end of a mission.
struct End {
    strikes: usize,
    /// Bits that the datapath reads wrong.
    wrong_bits: u32,
    wrong_copies: u32,
}

impl Mission {
    fn fly(&self, network: &Network, replica: u64) -> End {
        let inventory = Inventory::new(network).unwrap();
        let protection = |_: BitId| Protection::from(self.style);
        let placement = Placement::new(&inventory, protection, NonZeroUsize::new(self.distance).unwrap());
        let mut bank = WeightBank::new(network, &inventory, protection);
        let sizes: ClusterSizes = self.sizes.parse().unwrap();
        let end = Cycle(self.cycles);
        let (mut now, mut strikes) = (0, 0);
        for strike in Arrivals::new(Draws::new(21, replica), &sizes, placement.len(), self.mean_cycles, end) {
            bank.rest(strike.at.0 - now);
            now = strike.at.0;
            for hit in placement.struck(strike.first, strike.size) {
                let (register, bit) = inventory.locate_bit(hit.bit);
                bank.flip(register, bit, hit.copy);
            }
            strikes += 1;
        }
        bank.rest(self.cycles - now);
        bank.settle();
        let format = inventory.arrays()[0].format;
        let wrong = bank.wrong_values().into_iter();
        let wrong_bits = wrong
            .map(|(register, value)| (format.to_bits(value) ^ format.to_bits(bank.intended(register))).count_ones());
        let end = End { strikes, wrong_bits: wrong_bits.sum(), wrong_copies: bank.wrong_copies() };
        // A scrub mends everything.
        bank.tick(Load::Reload);
        assert_eq!(bank.wrong_copies(), 0);
        end
    }
}

#[test]
fn unvoted_copies_lose_the_vote_as_often_as_theory_says() {
    let network = network();
    // One scrub period with lambda * T = 0.01 for each copy.
    let copies = 3.0 * 512.0;
    let mission = Mission {
        style: TmrStyle::Unvoted,
        distance: 4,
        sizes: "1:1",
        mean_cycles: 1e9 / (0.01 * copies),
        cycles: 1_000_000_000,
    };
    let periods = 400_u32;
    let lost: u32 = (0..periods).map(|replica| mission.fly(&network, replica.into()).wrong_bits).sum();
    // An odd number of hits leaves a copy wrong: p = (1 - exp(-2 lambda T)) / 2, near lambda T; two or three wrong of three
    // lose, 3 p^2 (1 - p) + p^3, near 3 (lambda T)^2.
    let p = (1.0 - (-0.02_f64).exp()) / 2.0;
    let exact = 3.0 * p * p * (1.0 - p) + p * p * p;
    let rule = 3.0 * 0.01_f64 * 0.01;
    assert!((exact / rule - 1.0).abs() < 0.03);
    // Bits are independent, so the count is close to Poisson: three standard deviations.
    let expected = rule * f64::from(periods) * 512.0;
    assert!((f64::from(lost) - expected).abs() < 3.0 * expected.sqrt(), "{lost}, expected {expected}");
}

#[test]
fn feedback_loses_to_clusters_that_span_two_copies_and_to_nothing_else() {
    let network = network();
    // A strike every 40,000 cycles: two in one cycle are a matter of luck that these seeds do not have.
    for style in [TmrStyle::Feedback, TmrStyle::Feedback3] {
        let mission = |distance, sizes| Mission { style, distance, sizes, mean_cycles: 4e4, cycles: 40_000_000 };
        let fly = |mission: Mission| {
            let end = mission.fly(&network, 1);
            assert!(end.strikes > 900 && end.strikes < 1100);
            (end.wrong_bits, end.wrong_copies)
        };
        assert_eq!(fly(mission(1, "1:1")), (0, 0));
        assert_eq!(fly(mission(3, "1:0.8,3:0.2")), (0, 0), "clusters as wide as the distance");
        let (wrong_bits, wrong_copies) = fly(mission(3, "1:0.8,4:0.2"));
        assert!(wrong_bits > 0 && wrong_copies == 3 * wrong_bits, "the wrong vote is written back");
    }
}

#[test]
fn unprotected_bits_that_were_hit_oddly_often_are_wrong() {
    let network = network();
    let mission = Mission { style: TmrStyle::None, distance: 1, sizes: "1:1", mean_cycles: 1e6, cycles: 512_000_000 };
    let wrong: u32 = (0..40).map(|replica| mission.fly(&network, replica).wrong_bits).sum();
    // One hit expected in each of 40 x 512 bits: (1 - exp(-2)) / 2 of them are hit an odd number of times.
    let bits = 40.0 * 512.0;
    let p = (1.0 - (-2.0_f64).exp()) / 2.0;
    let deviation = (bits * p * (1.0 - p)).sqrt();
    assert!((f64::from(wrong) - bits * p).abs() < 3.0 * deviation, "{wrong}, expected {}", bits * p);
}
