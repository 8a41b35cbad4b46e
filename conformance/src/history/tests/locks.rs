//! Locks.

use super::*;

fn acquire(span: Span, token: u64) -> Operation {
    operation(span, Event::Acquire { lock: "l".to_owned(), reply: Reply::Answered(Revision(token)) })
}

fn release(at: u64, token: u64) -> Operation {
    operation((at, at), Event::Release { lock: "l".to_owned(), token: Revision(token) })
}

#[test]
fn a_lock_is_held_by_one_at_a_time() {
    legal([acquire((1, 2), 10), release(5, 10), acquire((1, 6), 20), release(7, 20)]);
    illegal("held by two at the same time", [acquire((1, 2), 10), release(5, 10), acquire((1, 4), 20)]);
    illegal("held by two at the same time", [acquire((1, 2), 10), acquire((1, 4), 20)]);
}

#[test]
fn tokens_grow() {
    illegal("got the token 10 after 20", [acquire((1, 2), 20), release(5, 20), acquire((5, 6), 10), release(7, 10)]);
    illegal("got the token 10 after 10", [acquire((1, 2), 10), release(2, 10), acquire((5, 6), 10)]);
}
