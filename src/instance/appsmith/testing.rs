//! What the servers of unit tests share.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Reads one request with its body; a GET has none.
pub async fn request(peer: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !is_whole(&String::from_utf8_lossy(&request)) {
        assert_ne!(peer.read_buf(&mut request).await.unwrap(), 0, "the client went away");
    }
    String::from_utf8(request).unwrap()
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok();
    match head.lines().find_map(length) {
        Some(length) => body.len() >= length,
        None => true,
    }
}
