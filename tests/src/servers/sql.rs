//! As much of Postgres's protocol as it takes to ask past any driver.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const INVALID_AUTHORIZATION: &str = "28";

/// What a Postgres or a `PgBouncer` at this URL answers to a query, or to a few with semicolons in between: a
/// line for each row, with `|` between its values, as `psql -At` prints it. It logs in without a password and
/// without TLS.
///
/// # Errors
///
/// Says what the server says, or that it asks for a password.
pub async fn sql(url: &str, query: &str) -> io::Result<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (user, rest) = rest.split_once('@').unwrap_or(("postgres", rest));
    let (address, database) = rest.split_once('/').unwrap_or((rest, "postgres"));
    let database = database.split_once('?').map_or(database, |(database, _)| database);

    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&startup(user, database)).await?;
    finish(&mut stream).await?;
    stream.write_all(&message(b"Q", &[query, ""])).await?;
    finish(&mut stream).await
}

/// Whether a server has decided on `postgres`: that they may log in, with what, or not at all. One that still
/// recovers has not.
pub(super) async fn greets(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<bool> {
    stream.write_all(&startup("postgres", "postgres")).await?;
    let (kind, content) = receive(&mut stream).await?;
    Ok(kind == b'R' || kind == b'E' && refusal(&content).starts_with(INVALID_AUTHORIZATION))
}

fn startup(user: &str, database: &str) -> Vec<u8> {
    message(b"", &["\0\x03\0", "user", user, "database", database, "", ""])
}

/// A message of this kind, its strings with zeros in between.
fn message(kind: &[u8], strings: &[&str]) -> Vec<u8> {
    let content = strings.join("\0");
    let length = u32::try_from(content.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    [kind, &length, content.as_bytes()].concat()
}

/// The next message's kind and content.
async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await?;
    let length = stream.read_u32().await?.saturating_sub(4);
    let mut content = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    stream.read_exact(&mut content).await?;
    Ok((kind, content))
}

/// The rows until the server is ready for another query.
async fn finish(stream: &mut TcpStream) -> io::Result<String> {
    let mut rows = Vec::new();
    loop {
        let (kind, content) = receive(stream).await?;
        match kind {
            b'Z' => return Ok(rows.join("\n")),
            b'D' => rows.push(row(&content).await?),
            b'R' if content != [0; 4] => return Err(io::Error::other("it asks for a password")),
            b'E' => return Err(io::Error::other(refusal(&content))),
            _ => {}
        }
    }
}

async fn row(mut content: &[u8]) -> io::Result<String> {
    let mut values = Vec::new();
    for _ in 0..content.read_u16().await? {
        // A NULL has the length -1, and no bytes.
        let length = usize::try_from(content.read_i32().await?).unwrap_or(0);
        let mut value = vec![0; length];
        content.read_exact(&mut value).await?;
        values.push(String::from_utf8_lossy(&value).into_owned());
    }
    Ok(values.join("|"))
}

/// The code and the text among the fields of an error.
fn refusal(content: &[u8]) -> String {
    let fields = content.split(|byte| *byte == 0).filter(|field| matches!(field.first(), Some(b'C' | b'M')));
    fields.map(|field| String::from_utf8_lossy(&field[1..])).collect::<Vec<_>>().join(": ")
}
