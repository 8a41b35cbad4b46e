//! What things may be called, and where they lie.

chapter! { NAMESPACES "Namespaces and names";
    KEYS_STAY_IN_THEIR_NAMESPACE
        "Everything that a driver touches lies in one namespace: keys, watches, channels, streams and their groups.";
    HANDLES_OF_ONE_NAMESPACE_SHARE_IT "All handles to a namespace see the same.";
    CRAFTED_KEYS_DO_NOT_REACH_OUT "No key or channel, however crafted, reaches out of its namespace.";
    CRAFTED_PATTERNS_DO_NOT_REACH_OUT
        "No pattern, and no name of a stream, group or member, however crafted, reaches out of its namespace.";
    CLEAR_STAYS_IN_ITS_NAMESPACE "A `clear` touches nothing outside of its namespace.";
    NAMESPACES_HAVE_A_SMALL_ALPHABET
        "The name of a namespace has 1 to 63 of `a-z`, `0-9`, `.`, `_` and `-`, and starts with a letter or digit.";
    ANY_TEXT_IS_A_KEY "A key, a channel and the name of a stream are any UTF-8 of 1 to 512 bytes without NUL.";
    ANY_TEXT_IS_A_GROUP_AND_A_MEMBER
        "The name of a group, a member or a node is any UTF-8 of 1 to 128 bytes without NUL.";
    ANY_TEXT_IS_A_RECORD_ID "The id of a record is any UTF-8 of 1 to 256 bytes.";
    ANY_TEXT_IS_A_WATCHED_KEY
        "A name comes back as it was given, and no two are taken for one: a user never learns of a backend's alphabet.";
    BAD_KEYS_ARE_REFUSED "A name that is empty, too long or contains NUL is refused with `InvalidArgument`.";
}

chapter! { PATTERNS "Patterns";
    STAR_IS_ANY_RUN "`*` matches any run of characters, separators among them.";
    QUESTION_MARK_IS_ONE_CHARACTER "`?` matches one character.";
    CLASS_IS_ONE_OF_ITS_CHARACTERS "`[a-z]` matches one of these characters, `[^a]` one that is none of these.";
    BACKSLASH_TAKES_THE_NEXT_AS_IT_IS "`\\` takes the next character as it is.";
    NAME_WITHOUT_WILDCARDS_IS_THAT_CHANNEL "Any other character stands for itself.";
    EVERY_BACKEND_MATCHES_ALIKE
        "Every backend matches alike: its own filter may only narrow what the one matcher then decides.";
    COSTLY_PATTERN_COSTS_LITTLE "No pattern makes matching expensive: it takes time linear in the name.";
    BAD_PATTERNS_ARE_REFUSED "A malformed pattern is refused with `InvalidArgument`.";
}
