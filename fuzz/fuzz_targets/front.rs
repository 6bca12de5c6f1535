//! A station says what it likes on `-Q`, in pieces as it likes: nothing panics, nothing is held beyond the bound, and
//! however the bytes are cut the same comes of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use os4x_proxyclient::front::{FRONT_BYTES_MAX, Front, Rejection, Step, Users};
use wire::Destination;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, said)) = bytes.split_first() else { return };
    let users = match first % 2 {
        0 => Users::default(),
        _ => Users::try_from(vec![String::from("a:b")]).expect("a user"),
    };
    let whole = play(&users, said, said.len().max(1));
    let cut = play(&users, said, usize::from(first / 2) + 1);
    assert_eq!(whole, cut);
});

/// What a station heard, and what came of it; `None`: it would have to say more.
type Outcome = (Vec<u8>, Option<Result<Destination, Rejection>>);

fn play(users: &Users, said: &[u8], piece: usize) -> Outcome {
    let (mut front, mut heard, mut held) = (Front::Unknown, Vec::new(), Vec::new());
    // As much as is read at most, however much there is.
    let mut rest = said;
    loop {
        match front.on_bytes(&held, users) {
            Step::More => {
                let room = FRONT_BYTES_MAX - held.len();
                let (next, left) = rest.split_at(rest.len().min(piece).min(room));
                if next.is_empty() {
                    return (heard, None);
                }
                held.extend_from_slice(next);
                rest = left;
            }
            Step::Say(used, reply) => {
                held.drain(..used);
                heard.extend(reply);
            }
            Step::Ask(used, destination) => {
                assert!(used <= held.len());
                return (heard, Some(Ok(destination)));
            }
            Step::Reject(reply, rejection) => {
                heard.extend(reply);
                return (heard, Some(Err(rejection)));
            }
        }
    }
}
