//! What things may be called, and where they lie.

use super::{Chapter, Clause};

pub(super) const NAMESPACES: Chapter = Chapter {
    title: "Namespaces and names",
    clauses: &[
        Clause {
            text: "Everything that a driver touches lies in one namespace: keys, watches, channels, streams and their \
                   groups.",
            cases: &[
                "names.keys_stay_in_their_namespace",
                "names.watches_stay_in_their_namespace",
                "names.messages_stay_in_their_namespace",
                "names.streams_stay_in_their_namespace",
            ],
        },
        Clause {
            text: "All handles to a namespace see the same.",
            cases: &["names.handles_of_one_namespace_share_it"],
        },
        Clause {
            text: "No key or channel, however crafted, reaches out of its namespace.",
            cases: &["names.crafted_keys_do_not_reach_out", "names.crafted_channels_do_not_reach_out"],
        },
        Clause {
            text: "No pattern, and no name of a stream, group or member, however crafted, reaches out of its \
                   namespace.",
            cases: &["names.crafted_patterns_do_not_reach_out", "names.crafted_streams_do_not_reach_out"],
        },
        Clause {
            text: "A `clear` touches nothing outside of its namespace.",
            cases: &["names.clear_stays_in_its_namespace", "names.clear_leaves_other_streams"],
        },
        Clause {
            text: "The name of a namespace has 1 to 63 of `a-z`, `0-9`, `.`, `_` and `-`, and starts with a letter or \
                   digit.",
            cases: &["names.namespaces_have_a_small_alphabet"],
        },
        Clause {
            text: "A key, a channel and the name of a stream are any UTF-8 of 1 to 512 bytes without NUL.",
            cases: &["names.any_text_is_a_key", "names.any_text_is_a_channel", "names.any_text_is_a_stream"],
        },
        Clause {
            text: "The name of a group, a member or a node is any UTF-8 of 1 to 128 bytes without NUL.",
            cases: &["names.any_text_is_a_group_and_a_member"],
        },
        Clause {
            text: "The id of a record is any UTF-8 of 1 to 256 bytes.",
            cases: &["names.any_text_is_a_record_id"],
        },
        Clause {
            text: "A name comes back as it was given, and no two are taken for one: a user never learns of a \
                   backend's alphabet.",
            cases: &[
                "names.any_text_is_a_watched_key",
                "names.any_text_has_dead_letters",
                "names.long_keys_differ_in_their_last_byte",
                "names.long_channels_differ_in_their_last_byte",
                "names.long_streams_differ_in_their_last_byte",
            ],
        },
        Clause {
            text: "A name that is empty, too long or contains NUL is refused with `InvalidArgument`.",
            cases: &["names.bad_keys_are_refused", "names.bad_channels_are_refused", "names.bad_nodes_are_refused"],
        },
    ],
};

pub(super) const PATTERNS: Chapter = Chapter {
    title: "Patterns",
    clauses: &[
        Clause {
            text: "`*` matches any run of characters, separators among them.",
            cases: &["messages.a_star_is_any_run"],
        },
        Clause { text: "`?` matches one character.", cases: &["messages.a_question_mark_is_one_character"] },
        Clause {
            text: "`[a-z]` matches one of these characters, `[^a]` one that is none of these.",
            cases: &["messages.a_class_is_one_of_its_characters"],
        },
        Clause {
            text: "`\\` takes the next character as it is.",
            cases: &["messages.a_backslash_takes_the_next_as_it_is"],
        },
        Clause {
            text: "Any other character stands for itself.",
            cases: &[
                "messages.a_name_without_wildcards_is_that_channel",
                "port.patterns_take_hostile_characters_literally",
                "messages.what_looks_like_another_syntax_is_text",
            ],
        },
        Clause {
            text: "Every backend matches alike: its own filter may only narrow what the one matcher then decides.",
            cases: &["messages.every_backend_matches_alike"],
        },
        Clause {
            text: "No pattern makes matching expensive: it takes time linear in the name.",
            cases: &["messages.a_costly_pattern_costs_little"],
        },
        Clause {
            text: "A malformed pattern is refused with `InvalidArgument`.",
            cases: &["names.bad_patterns_are_refused"],
        },
    ],
};
