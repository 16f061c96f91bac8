//! The inputs that the fuzzer found worth keeping, each of which takes another way through the
//! recovery, are replayed in the ordinary tests.

use std::fs;

use harness::binaries::workspace_dir;
use harness::dice::Dice;

#[test]
fn the_corpus_of_the_fuzzer_is_recovered() {
    let folder = workspace_dir().join("tests/fuzz/corpus/recovery");
    let entries = fs::read_dir(&folder).expect("the corpus is in the repository");
    let mut inputs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    inputs.sort();
    let mut bytes = 0;
    for input in &inputs {
        let data = fs::read(input).expect("an input");
        println!("{}", input.display());
        harness::fuzz::recovery(&data);
        bytes += data.len();
    }
    assert!(inputs.len() >= 10, "{} inputs", inputs.len());
    assert!(bytes < 200 * 1024, "the corpus has grown to {bytes} bytes");
}

#[test]
fn inputs_of_chance_are_recovered() {
    for seed in 0..20_000 {
        let mut dice = Dice::new(seed);
        let mut data = vec![0; dice.index(120)];
        dice.fill(&mut data);
        if let Err(panic) = std::panic::catch_unwind(|| harness::fuzz::recovery(&data)) {
            println!("seed {seed}: {data:?}");
            std::panic::resume_unwind(panic);
        }
    }
}
