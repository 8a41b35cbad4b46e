//! What goes around a driver.

use super::{Chapter, Clause};

pub(super) const LAYERS: Chapter = Chapter {
    title: "Layers",
    clauses: &[
        Clause {
            text: "A stored name may have 768 bytes: a user's 512, and what layers and recipes put in front of them.",
            cases: &["names.a_layers_prefix_has_room"],
        },
        Clause { text: "A layer changes what a call costs, never what it means.", cases: &[] },
        Clause { text: "A nested namespace is a namespace of its own.", cases: &[] },
        Clause {
            text: "A retry repeats what was surely not applied, and what may have been only if that cannot apply it \
                   twice.",
            cases: &[],
        },
        Clause {
            text: "The error of the last attempt says that repeating will not help, and still whether it may have \
                   been applied.",
            cases: &[],
        },
        Clause { text: "An attempt that gets no answer ends after its timeout.", cases: &[] },
    ],
};
