//! Receipts as words of a command line: the receipt's JSON in URL-safe Base64 without padding.

use crate::exit::{Failure, SOFTWARE};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use linchpin::Receipt;

pub(super) fn encode(receipt: &Receipt) -> Result<String, Failure> {
    let json = serde_json::to_vec(receipt);
    let json = json.map_err(|error| Failure::new(SOFTWARE, format!("a receipt cannot be written: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

pub(super) fn decode(word: &str) -> Result<Receipt, Failure> {
    let json = URL_SAFE_NO_PAD.decode(word).ok();
    let receipt = json.and_then(|json| serde_json::from_slice(&json).ok());
    receipt.ok_or_else(|| {
        let problem = format!("{word:?} is no receipt; take the \"receipt\" that `linchpin stream claim` printed");
        Failure::invalid(problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin::{GroupName, Position, StreamName};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_decodes(stream in r"[^\x00]{1,40}", group in r"[^\x00]{1,20}", position: u64, delivery: u32) {
            let (stream, group) = (StreamName::new(stream).expect("a name"), GroupName::new(group).expect("a name"));
            for stream in [stream.clone(), stream.dead_letters(&group)] {
                let receipt = Receipt { stream, group: group.clone(), position: Position(position), delivery };
                let word = encode(&receipt).expect("encoded");
                prop_assert!(word.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)));
                prop_assert_eq!(decode(&word).ok(), Some(receipt));
            }
        }

        #[test]
        fn anything_else_is_refused(word in r"\PC{0,60}") {
            prop_assert!(decode(&word).is_err());
        }
    }
}
