//! A bucket behind HTTPS, with a certificate authority of its own.
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tidegate::store::s3::{S3Options, S3Store};
use tidegate::store::{ObjectStore, StoreError};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Bucket, PART_BYTES, body, key, sample};

fn openssl(folder: &Path, args: &[&str]) {
    let key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let done = Command::new("openssl").current_dir(folder).args(key).args(args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// An authority in `ca.pem`, and a server's certificate from it.
fn certificates(folder: &Path) -> ServerConfig {
    openssl(folder, &["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority"]);
    let server = ["-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "server.key", "-out", "server.pem"];
    let name = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"];
    openssl(folder, &[&server[..], &name[..], &["-addext", "basicConstraints=critical,CA:FALSE"]].concat());
    let chain = CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    config.with_safe_default_protocol_versions().unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap()
}

/// Puts TLS before a server; leaves its authority's certificate in `folder/ca.pem`. Its endpoint.
pub(crate) async fn before(upstream: SocketAddr, folder: &Path) -> String {
    let acceptor = TlsAcceptor::from(Arc::new(certificates(folder)));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let (Ok(mut client), Ok(mut server)) =
                    (acceptor.accept(client).await, TcpStream::connect(upstream).await)
                else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    endpoint
}

#[tokio::test]
async fn https_is_spoken_with_a_trusted_server_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::start().await;
    let endpoint = before(bucket.server.address(), folder.path()).await;
    let trusting =
        S3Options { endpoint: Some(endpoint), ca_file: Some(folder.path().join("ca.pem")), ..bucket.options() };
    let store = S3Store::connect(trusting.clone()).await.unwrap();
    store.put(&key("a"), Bytes::from("x")).await.unwrap();
    assert_eq!(store.get(&key("a"), 9).await.unwrap(), "x");
    store.put_stream(&key("b"), body(&sample(2 * PART_BYTES))).await.unwrap();

    let store = S3Store::connect(S3Options { ca_file: None, ..trusting }).await.unwrap();
    let error = store.head(&key("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Untrusted { .. }), "{error:?}");
}
