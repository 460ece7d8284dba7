//! As much of HTTP as tests need, and a vendor's answers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use super::Done;

/// What somebody asks.
pub(super) struct Request {
    /// Method, path and version.
    pub(super) line: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    /// Reads one.
    pub(super) fn read(
        stream: &TcpStream,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            headers.push(line.trim().to_owned());
        }
        let mut request = Self {
            line: headers.first().cloned().unwrap_or_default(),
            headers,
            body: Vec::new(),
        };
        request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut request.body)?;
        Ok(request)
    }

    /// The value of a header; empty where there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        let headers = self.headers.iter().skip(1);
        let mut found = headers
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map_or("", |(_, value)| value.trim())
    }

    /// Whether a message is to be answered.
    pub(super) fn wants_a_message(&self) -> bool {
        ["POST /v1/messages?", "POST /v1/messages "]
            .iter()
            .any(|start| self.line.starts_with(start))
    }

    /// The answer of a model: kind and content.
    pub(super) fn message(&self) -> (&'static str, String) {
        if String::from_utf8_lossy(&self.body).contains("\"stream\":true") {
            ("text/event-stream", streamed())
        } else {
            ("application/json", MESSAGE.to_owned())
        }
    }
}

/// Answers, and ends the connection.
pub(super) fn answer(mut stream: TcpStream, status: &str, kind: &str, content: &str) -> Done {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    );
    stream.write_all(head.as_bytes())?;
    Ok(stream.write_all(content.as_bytes())?)
}

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"hello from the API"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":5}}"#;

fn streamed() -> String {
    let events = [
        (
            "message_start",
            r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#,
        ),
        (
            "content_block_start",
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        ),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello from the API"}}"#,
        ),
        (
            "content_block_stop",
            r#"{"type":"content_block_stop","index":0}"#,
        ),
        (
            "message_delta",
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}"#,
        ),
        ("message_stop", r#"{"type":"message_stop"}"#),
    ];
    events
        .iter()
        .map(|(name, data)| format!("event: {name}\ndata: {data}\n\n"))
        .collect()
}
