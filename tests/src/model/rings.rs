//! Which rings an exploration begins with. A ring is drawn as letters round the circle, `M` for a
//! member and `j` for a place where somebody may join; drawings that differ by a turn of the circle
//! are one, since members compare ids by betweenness only.

/// All drawings with at most `members` places, `joins` of them free; those that another drawing
/// contains, because nobody need join, are left out.
#[must_use]
pub fn drawings(members: usize, joins: usize) -> Vec<String> {
    let mut found = Vec::new();
    for standing in 1..=members {
        let free = joins.min(members - standing);
        for places in 0u32..1 << (standing + free) {
            let drawing: String = (0..standing + free)
                .map(|place| if places & (1 << place) != 0 { 'M' } else { 'j' })
                .collect();
            let stands = drawing.matches('M').count() == standing;
            if stands && turns(&drawing).all(|turned| drawing <= turned) {
                found.push(drawing);
            }
        }
    }
    found
}

fn turns(drawing: &str) -> impl Iterator<Item = String> + '_ {
    (0..drawing.len()).map(|by| format!("{}{}", &drawing[by..], &drawing[..by]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_differ_by_more_than_a_turn() {
        assert_eq!(drawings(1, 0), ["M"]);
        assert_eq!(drawings(4, 2), ["Mjj", "MMjj", "MjMj", "MMMj", "MMMM"]);
        assert_eq!(drawings(4, 0), ["M", "MM", "MMM", "MMMM"]);
    }
}
