//! Which steps wait for which.

/// The order of the steps, found from what they read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Steps by index. Those of one level wait for none of the same level; each starts as soon as what
    /// it needs itself is there.
    pub levels: Vec<Vec<usize>>,
    /// By step: how many steps, itself included, stand in the longest chain behind it.
    pub heights: Vec<u32>,
}

impl Plan {
    /// From what each step needs; or the steps of one cycle, in order.
    pub fn new(needs: &[Vec<usize>]) -> Result<Self, Vec<usize>> {
        let mut level_of: Vec<Option<usize>> = vec![None; needs.len()];
        let mut levels: Vec<Vec<usize>> = Vec::new();
        loop {
            let known = |step: &usize| level_of.get(*step).copied().flatten().is_some();
            let ready: Vec<usize> = needs
                .iter()
                .enumerate()
                .filter(|(at, needs)| !known(at) && needs.iter().all(known))
                .map(|(at, _)| at)
                .collect();
            if ready.is_empty() {
                break;
            }
            for at in &ready {
                if let Some(level) = level_of.get_mut(*at) {
                    *level = Some(levels.len());
                }
            }
            levels.push(ready);
        }
        if let Some(stuck) = level_of.iter().position(Option::is_none) {
            return Err(cycle(needs, &level_of, stuck));
        }
        let mut heights = vec![1_u32; needs.len()];
        for at in levels.iter().rev().flatten() {
            let own = heights.get(*at).copied().unwrap_or(1);
            for need in needs.get(*at).into_iter().flatten() {
                if let Some(height) = heights.get_mut(*need) {
                    *height = (*height).max(own + 1);
                }
            }
        }
        Ok(Self { levels, heights })
    }
}

/// From a step that cannot start, along steps that cannot either, until one comes again.
fn cycle(needs: &[Vec<usize>], level_of: &[Option<usize>], from: usize) -> Vec<usize> {
    let mut way = vec![from];
    let mut at = from;
    loop {
        let stuck = |need: &&usize| level_of.get(**need).copied().flatten().is_none();
        let Some(next) = needs.get(at).and_then(|needs| needs.iter().find(stuck)) else { return way };
        if let Some(begin) = way.iter().position(|step| step == next) {
            return way.split_off(begin);
        }
        way.push(*next);
        at = *next;
    }
}
