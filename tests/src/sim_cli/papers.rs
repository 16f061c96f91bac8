//! Scratch
use crate::dice::Dice;
use crate::still_ring::histogram::Histogram;
use crate::still_ring::*;
use clap::Args;
use proto::message::LookupMode;

/// The tables of the papers: parameters and output.
#[derive(Debug, Args)]
pub(super) struct Papers {}

fn many(
    ring: &mut StillRing,
    count: usize,
    mode: LookupMode,
    dice: &mut Dice,
) -> (Histogram, Histogram, usize) {
    let (mut f, mut t, mut bad) = (Histogram::default(), Histogram::default(), 0);
    for _ in 0..count {
        let (o, target) = (ring.any_host(dice), any_id(dice));
        let w = ring.lookup(o, target, mode);
        match &w.result {
            Ok(found) => {
                assert_eq!(&found.owner, ring.owner(&target));
                f.add(w.forwards());
                t.add(w.timeouts());
            }
            Err(_) => bad += 1,
        }
    }
    (f, t, bad)
}

impl Papers {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut dice = Dice::new(1);
        for n in [128usize, 1024, 16384] {
            let at = std::time::Instant::now();
            let mut all = Histogram::default();
            let mut badn = 0;
            for r in 0..10 {
                let mut ring = StillRing::of_size(Setup::of_papers(&format!("r{r}"), 1, 1), n);
                let (f, _, bad) = many(&mut ring, 10000, LookupMode::Recursive, &mut dice);
                all.join(&f);
                badn += bad;
            }
            let want = (n as f64).log2() / 2.0 - 0.13;
            println!(
                "N {n} mean {:.3} want {want:.3} 1-99 {}-{} bad {badn} {:?}",
                all.mean(),
                all.quantile(0.01),
                all.quantile(0.99),
                at.elapsed()
            );
        }
        for mode in [LookupMode::Recursive, LookupMode::Iterative] {
            for direct in [false, true] {
                for p in 0..=5 {
                    let (mut f, mut t, mut badn) = (Histogram::default(), Histogram::default(), 0);
                    for r in 0..4 {
                        let mut ring = StillRing::of_size(
                            Setup {
                                direct,
                                ..Setup::of_papers(&format!("r{r}"), 1, 20)
                            },
                            1000,
                        );
                        ring.kill(p as f64 / 10.0, false, &mut dice);
                        let (a, b, bad) = many(&mut ring, 5000, mode, &mut dice);
                        f.join(&a);
                        t.join(&b);
                        badn += bad;
                    }
                    println!(
                        "{mode:?} direct {direct} p {p} path {:.3} timeouts {:.3} bad {badn}",
                        f.mean(),
                        t.mean()
                    );
                }
            }
        }
        for (n, bits) in [(1000, 1), (1000, 4), (10000, 1), (10000, 4)] {
            let mut ring = StillRing::of_size(Setup::of_papers("b", bits, 16), n);
            let (f, _, bad) = many(&mut ring, 10000, LookupMode::Recursive, &mut dice);
            println!("N {n} bits {bits} {:.3} {bad}", f.mean());
        }
        let at = std::time::Instant::now();
        let mut ring = StillRing::of_size(Setup::of_papers("m", 1, 1), 1_000_000);
        println!("built {:?}", at.elapsed());
        let (f, _, bad) = many(&mut ring, 20000, LookupMode::Recursive, &mut dice);
        println!("1M {:.3} {bad} {:?}", f.mean(), at.elapsed());
        println!(
            "{}",
            std::fs::read_to_string("/proc/self/status")?
                .lines()
                .filter(|l| l.starts_with("VmHWM"))
                .collect::<String>()
        );
        Ok(())
    }
}
