use super::*;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn a_call_waits_as_long_as_opening_takes_before_it_opens_another() {
    for (took, patience) in [(1, 10), (60, 60), (3_000, 250)] {
        let inner = Inner { took: ms(took), ..Inner::default() };
        assert_eq!(inner.patience(), ms(patience), "{took} ms");
    }
}

#[test]
fn calls_that_wait_for_longer_than_two_take_to_open_are_worth_another() {
    for (took, waited, is_busy) in [(1, 19, false), (1, 21, true), (60, 119, false), (60, 121, true)] {
        let inner = Inner { took: ms(took), waits: Some((Instant::now(), ms(waited))), ..Inner::default() };
        assert_eq!(inner.is_busy(), is_busy, "{took} ms, {waited} ms");
    }
    let long_ago = Instant::now().checked_sub(ms(1_001)).expect("the clock is older");
    let inner = Inner { waits: Some((long_ago, ms(500))), ..Inner::default() };
    assert!(!inner.is_busy(), "what was a second ago counts no more");
}
