//! What a crash may leave: a fate for every effect that is not durable yet, and which of the many
//! combinations are tried. A choice prints as text that replays it.

use std::fmt;
use std::str::FromStr;

use crate::dice::Dice;

/// What becomes of one effect that is not durable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fate {
    /// It never reached the medium: `-`.
    Lost,
    /// It reached the medium: `+`.
    Whole,
    /// Some of its sectors of 512 bytes did: `t` and the seed that says which. Names are whole.
    Torn(u64),
    /// Some did, and some of the others hold noise: `g` and the seed.
    Garbage(u64),
}

/// What becomes of each effect that is not durable, in the order of
/// [`super::SimDisk::loose_effects`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct CrashChoice(pub Vec<Fate>);

/// How a choice was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CrashKind {
    /// One of all subsets, of few effects.
    Subset,
    /// Nothing that is not durable.
    None,
    /// Everything.
    All,
    /// What came first.
    Prefix,
    /// What came later, without all of what came first.
    Reordered,
    /// Some in sectors.
    Torn,
    /// Some in sectors, with noise.
    Garbage,
}

/// Up to so many effects, every subset is tried.
pub const SUBSET_EFFECTS_MAX: usize = 4;

impl CrashChoice {
    /// Everything has the same fate.
    #[must_use]
    pub fn all(fate: Fate, effects: usize) -> Self {
        Self(vec![fate; effects])
    }

    /// The choices to be tried for so many effects: every subset of up to
    /// [`SUBSET_EFFECTS_MAX`], a sample of each kind of more; and `samples` of those that tear.
    #[must_use]
    pub fn plan(effects: usize, samples: usize, dice: &mut Dice) -> Vec<(CrashKind, Self)> {
        let mut plan = Vec::new();
        if effects <= SUBSET_EFFECTS_MAX {
            let subsets = (0..1u32 << effects).map(|subset| {
                let fates = (0..effects).map(|effect| whole_if(subset >> effect & 1 == 1));
                (CrashKind::Subset, Self(fates.collect()))
            });
            plan.extend(subsets);
        } else {
            plan.push((CrashKind::None, Self::all(Fate::Lost, effects)));
            plan.push((CrashKind::All, Self::all(Fate::Whole, effects)));
            for _ in 0..samples {
                plan.push((CrashKind::Prefix, Self::prefix(effects, dice)));
                plan.push((CrashKind::Reordered, Self::reordered(effects, dice)));
            }
        }
        if effects > 0 {
            for _ in 0..samples {
                plan.push((CrashKind::Torn, Self::torn(effects, Fate::Torn, dice)));
                plan.push((CrashKind::Garbage, Self::torn(effects, Fate::Garbage, dice)));
            }
        }
        plan
    }

    /// One choice of any kind.
    #[must_use]
    pub fn any(effects: usize, dice: &mut Dice) -> (CrashKind, Self) {
        match dice.below(6) {
            0 => (CrashKind::None, Self::all(Fate::Lost, effects)),
            1 => (CrashKind::All, Self::all(Fate::Whole, effects)),
            2 => (CrashKind::Prefix, Self::prefix(effects, dice)),
            3 => (CrashKind::Reordered, Self::reordered(effects, dice)),
            4 => (CrashKind::Torn, Self::torn(effects, Fate::Torn, dice)),
            _ => (CrashKind::Garbage, Self::torn(effects, Fate::Garbage, dice)),
        }
    }

    fn prefix(effects: usize, dice: &mut Dice) -> Self {
        let kept = dice.index(effects + 1);
        Self((0..effects).map(|effect| whole_if(effect < kept)).collect())
    }

    /// A later effect is kept, an earlier one lost, the others as it comes.
    fn reordered(effects: usize, dice: &mut Dice) -> Self {
        let mut fates: Vec<Fate> = (0..effects).map(|_| whole_if(dice.one_in(2))).collect();
        if effects > 1 {
            let lost = dice.index(effects - 1);
            let kept = lost + 1 + dice.index(effects - lost - 1);
            fates[lost] = Fate::Lost;
            fates[kept] = Fate::Whole;
        }
        Self(fates)
    }

    fn torn(effects: usize, tear: impl Fn(u64) -> Fate, dice: &mut Dice) -> Self {
        let mut fates: Vec<Fate> = (0..effects)
            .map(|_| match dice.below(3) {
                0 => whole_if(dice.one_in(2)),
                _ => tear(dice.below(1 << 32)),
            })
            .collect();
        if let Some(fate) = (effects > 0).then(|| dice.index(effects)) {
            fates[fate] = tear(dice.below(1 << 32));
        }
        Self(fates)
    }

    /// The fate of an effect; one that is not named is lost.
    #[must_use]
    pub fn fate(&self, effect: usize) -> Fate {
        self.0.get(effect).copied().unwrap_or(Fate::Lost)
    }
}

impl fmt::Display for CrashChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fate) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match fate {
                Fate::Lost => f.write_str("-")?,
                Fate::Whole => f.write_str("+")?,
                Fate::Torn(seed) => write!(f, "t{seed}")?,
                Fate::Garbage(seed) => write!(f, "g{seed}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for CrashChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.split(',').filter(|word| !word.is_empty());
        let fates = words.map(|word| match word.split_at(1) {
            ("-", "") => Ok(Fate::Lost),
            ("+", "") => Ok(Fate::Whole),
            ("t", seed) => seed.parse().map(Fate::Torn).map_err(|e| e.to_string()),
            ("g", seed) => seed.parse().map(Fate::Garbage).map_err(|e| e.to_string()),
            _ => Err(format!("`{word}` is no fate: -, +, tSEED or gSEED")),
        });
        fates.collect::<Result<_, _>>().map(Self)
    }
}

const fn whole_if(is_whole: bool) -> Fate {
    if is_whole { Fate::Whole } else { Fate::Lost }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_every_subset_of_few_and_every_kind_of_many() {
        let plan = CrashChoice::plan(3, 2, &mut Dice::new(1));
        let subsets = plan.iter().filter(|(kind, _)| *kind == CrashKind::Subset);
        assert_eq!((subsets.count(), plan.len()), (8, 12));
        assert_eq!(CrashChoice::plan(0, 2, &mut Dice::new(1)).len(), 1);
        let plan = CrashChoice::plan(9, 1, &mut Dice::new(1));
        let kinds: Vec<_> = plan.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds[..2], [CrashKind::None, CrashKind::All]);
        assert_eq!(kinds[2..4], [CrashKind::Prefix, CrashKind::Reordered]);
        assert_eq!(kinds[4..], [CrashKind::Torn, CrashKind::Garbage]);
    }

    #[test]
    fn choices_read_as_they_are_printed() {
        let mut dice = Dice::new(3);
        for effects in 0..9 {
            let (_, choice) = CrashChoice::any(effects, &mut dice);
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!("+,x".parse::<CrashChoice>().is_err());
    }
}
