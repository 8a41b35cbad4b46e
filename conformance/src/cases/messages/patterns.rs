//! Patterns: one matcher for every backend.

use super::super::prelude::*;
use crate::failure::here;
use crate::readers::Listener;
use linchpin_core::Pattern;

cases! { Messages "messages";
    a_star_is_any_run [Messages] STAR_IS_ANY_RUN
        "Pattern: `*` any run; `*` crosses separators";
    a_question_mark_is_one_character [Messages] QUESTION_MARK_IS_ONE_CHARACTER
        "Pattern: `?` one character";
    a_class_is_one_of_its_characters [Messages] CLASS_IS_ONE_OF_ITS_CHARACTERS
        "Pattern: `[a-z]` one of, `[^a]` none of";
    a_backslash_takes_the_next_as_it_is [Messages] BACKSLASH_TAKES_THE_NEXT_AS_IT_IS
        "Pattern: `\\` takes the next character as it is";
    a_name_without_wildcards_is_that_channel [Messages] NAME_WITHOUT_WILDCARDS_IS_THAT_CHANNEL
        "A pattern without wildcards matches that name, and no longer or shorter one";
    what_looks_like_another_syntax_is_text [Messages] NAME_WITHOUT_WILDCARDS_IS_THAT_CHANNEL
        "Pattern: only `^` at the start of a class excludes, a class is of characters, and braces are text";
    every_backend_matches_alike [Messages] EVERY_BACKEND_MATCHES_ALIKE
        "One matcher in core: a backend's own filter may only narrow what the matcher then decides";
    a_costly_pattern_costs_little [Messages] COSTLY_PATTERN_COSTS_LITTLE
        "One matcher, linear time: no pattern can blow it up";
}

/// The channel that ends a round; some patterns match it too.
const END: &str = "the end of this round";

/// The next message that does not only end a round.
#[track_caller]
fn next(listener: &mut Listener) -> impl Future<Output = Result<(String, String), Failure>> {
    here(async move {
        loop {
            let (channel, payload) = listener.text().await?;
            if channel != END {
                return Ok((channel, payload));
            }
        }
    })
}

/// Publishes to every channel; those that must match arrive, the others do not.
#[track_caller]
fn matches(ctx: &Context, pattern: &str, channels: &[&str], expected: &[&str]) -> impl Future<Output = CaseResult> {
    here(async move {
        // Where nothing must arrive, nothing would be looked for.
        ensure!(!expected.is_empty(), "the case is wrong: {pattern:?} matches none of {channels:?}");
        let driver = ctx.driver();
        let mut listener = Listener::open(&driver, pattern).await?;
        let mut end = Listener::exactly(&driver, END).await?;
        for channel in channels {
            driver.publish(&Channel::new(channel)?, (*channel).to_owned().into()).await?;
        }
        driver.publish(&Channel::new(END)?, "".into()).await?;
        let mut arrived = Vec::new();
        for _ in expected {
            let (channel, payload) = next(&mut listener).await.map_err(|failure| {
                Failure::new(format!("{pattern:?}: of {expected:?} only {arrived:?} arrived; {failure}"))
            })?;
            ensure_eq!(payload, channel, "the payload of a message, which is its channel");
            arrived.push(channel);
        }
        // Channels have no order among each other, so what must not arrive may be late: wait for the last
        // message, then see whether the next one to match is the one published now.
        end.message().await?;
        arrived.sort_unstable();
        let mut wanted: Vec<_> = expected.to_vec();
        wanted.sort_unstable();
        ensure_eq!(arrived, wanted, "the channels that {pattern:?} matched");
        driver.publish(&Channel::new(expected[0])?, "the last one".into()).await?;
        ensure_eq!(next(&mut listener).await?.1, "the last one", "the message after all that match {pattern:?}");
        Ok(())
    })
}

async fn a_star_is_any_run(ctx: Context) -> CaseResult {
    let channels = ["cache", "cache:", "cache:user", "cache:user:7", "cache/a.b/c", "my:cache:x", "cach", "Cache:x"];
    let within = ["cache:", "cache:user", "cache:user:7"];
    matches(&ctx, "cache:*", &channels, &within).await?;
    matches(&ctx, "cache*", &channels, &["cache", "cache:", "cache:user", "cache:user:7", "cache/a.b/c"]).await?;
    matches(&ctx, "*:*:*", &channels, &["cache:user:7", "my:cache:x"]).await?;
    matches(&ctx, "*", &channels, &channels).await
}

async fn a_question_mark_is_one_character(ctx: Context) -> CaseResult {
    let channels = ["sync:1:ops", "sync:é:ops", "sync:🦀:ops", "sync::ops", "sync:12:ops", "sync:/:ops", "sync:.:ops"];
    let one = ["sync:1:ops", "sync:é:ops", "sync:🦀:ops", "sync:/:ops", "sync:.:ops"];
    matches(&ctx, "sync:?:ops", &channels, &one).await?;
    matches(&ctx, "sync:??:ops", &channels, &["sync:12:ops"]).await
}

async fn a_class_is_one_of_its_characters(ctx: Context) -> CaseResult {
    let channels = ["v0", "v5", "v9", "va", "v-", "v^", "v]", "v", "v55", "vé"];
    matches(&ctx, "v[0-9]", &channels, &["v0", "v5", "v9"]).await?;
    matches(&ctx, "v[^0-9]", &channels, &["va", "v-", "v^", "v]", "vé"]).await?;
    matches(&ctx, "v[a5é]", &channels, &["v5", "va", "vé"]).await?;
    matches(&ctx, r"v[\]\^\-]", &channels, &["v-", "v^", "v]"]).await
}

async fn a_backslash_takes_the_next_as_it_is(ctx: Context) -> CaseResult {
    let channels = ["a*", "ab", "a?", "a[b]", r"a\", r"a\*", "a{b}"];
    matches(&ctx, r"a\*", &channels, &["a*"]).await?;
    matches(&ctx, r"a\?", &channels, &["a?"]).await?;
    matches(&ctx, r"a\[b\]", &channels, &["a[b]"]).await?;
    matches(&ctx, r"a\\", &channels, &[r"a\"]).await?;
    matches(&ctx, r"a\\*", &channels, &[r"a\", r"a\*"]).await?;
    matches(&ctx, r"\a\b", &channels, &["ab"]).await
}

async fn a_name_without_wildcards_is_that_channel(ctx: Context) -> CaseResult {
    let channels = ["a", "ab", "abc", "AB", "a/b", " ab", "ab "];
    matches(&ctx, "ab", &channels, &["ab"]).await?;
    matches(&ctx, "a/b", &channels, &["a/b"]).await
}

async fn what_looks_like_another_syntax_is_text(ctx: Context) -> CaseResult {
    let channels = ["!", "a", "b", "^", "{a,b}", "ж", "z", "d", "1", "ё"];
    matches(&ctx, "[!a]", &channels, &["!", "a"]).await?;
    matches(&ctx, "[a^]", &channels, &["a", "^"]).await?;
    matches(&ctx, "{a,b}", &channels, &["{a,b}"]).await?;
    matches(&ctx, "[а-я]", &channels, &["ж"]).await?;
    matches(&ctx, "[^а-я]", &channels, &["!", "a", "b", "^", "z", "d", "1", "ё"]).await?;
    matches(&ctx, r"\d", &channels, &["d"]).await
}

async fn every_backend_matches_alike(ctx: Context) -> CaseResult {
    let channels =
        ["a.b.c", "a.b", "a", "a.*", "a.>", ">", "*", "$sys", "a b", "a\nb", "{a}", "{a,b}", "a|b", "(a)", "a+", "^a$"];
    for text in
        ["a.?.c", "a.>", "a.\\*", ">", "$*", "a?b", "{a}", "{a,b}", "a|b", "(a)", "a+", "^a$", "[$>]*", "a[.]b*"]
    {
        let pattern = Pattern::new(text)?;
        let expected: Vec<_> = channels.into_iter().filter(|channel| pattern.matches(channel)).collect();
        matches(&ctx, text, &channels, &expected).await?;
    }
    Ok(())
}

async fn a_costly_pattern_costs_little(ctx: Context) -> CaseResult {
    let pattern = format!("{}b", "a*".repeat(255));
    let (nearly, fully) = ("a".repeat(512), format!("{}b", "a".repeat(511)));
    matches(&ctx, &pattern, &[&nearly, &nearly, &nearly, &fully], &[&fully]).await
}
