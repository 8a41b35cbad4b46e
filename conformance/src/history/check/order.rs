//! Real time: what was known before a call was made.

/// A call, and the number (a revision, a position) that it told when it returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) called: u64,
    /// When it told the number; the end of time if it never did.
    pub(super) returned: u64,
    pub(super) told: u64,
}

/// The greatest number told before a call was made, and which point told it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    pub(super) number: u64,
    pub(super) by: usize,
}

/// The floor under each point; none under those that were called before anything was told. A call and a
/// return at the same moment overlap.
pub(super) fn floors(points: &[Point]) -> Vec<Option<Floor>> {
    let mut calls: Vec<usize> = (0..points.len()).collect();
    let mut returns = calls.clone();
    calls.sort_unstable_by_key(|&index| points[index].called);
    returns.sort_unstable_by_key(|&index| points[index].returned);
    let mut returns = returns.into_iter().peekable();
    let mut floors = vec![None; points.len()];
    let mut floor: Option<Floor> = None;
    for call in calls {
        while let Some(by) = returns.next_if(|&index| points[index].returned < points[call].called) {
            let number = points[by].told;
            if floor.is_none_or(|floor| floor.number < number) {
                floor = Some(Floor { number, by });
            }
        }
        floors[call] = floor;
    }
    floors
}
