//! From options to a client.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::stall::watched;
use super::{Checksums, PART_BYTES_MIN, S3Credentials, S3Options, S3Store};
use crate::store::StoreError;
use crate::stream::BoxError;

/// Tries of one request, by the SDK's standard rules.
pub(super) const ATTEMPTS: u32 = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that carries less than this is as good as dead.
pub(super) const BYTES_PER_SECOND_MIN: u64 = 64 << 10;

impl S3Store {
    /// Makes a client; asks the server nothing yet. Fails where the certificates cannot be read.
    pub async fn connect(options: S3Options) -> Result<Self, StoreError> {
        let S3Options { bucket, endpoint, part_bytes, stall_timeout, checksums, .. } = options.clone();
        let prefix = options.prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let at = endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        let description = format!("s3://{bucket}/{}{at}", prefix.trim_end_matches('/'));
        let description = description.replacen("/ at", " at", 1);

        let unusable = |source| StoreError::Request {
            store: description.clone(),
            action: "use the certificates".to_owned(),
            source,
        };
        let trust = trust_store(&options).await.map_err(unusable)?;
        let trust = TlsContext::builder().with_trust_store(trust).build().map_err(|error| unusable(error.into()))?;

        let part_bytes = part_bytes.max(PART_BYTES_MIN);
        let attempt_timeout = stall_timeout + Duration::from_secs(part_bytes / BYTES_PER_SECOND_MIN);
        let region = RegionProviderChain::first_try(options.region.map(Region::new))
            .or_else(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(Region::from_static("us-east-1"));
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(attempt_timeout);
        let mut shared = aws_config::defaults(BehaviorVersion::latest())
            .http_client(watched(http_client(trust, proxy(endpoint.as_deref())), stall_timeout))
            .region(region)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts.build());
        if let S3Credentials::Key { id, secret } = options.credentials {
            shared = shared.credentials_provider(Credentials::new(id, secret, None, None, "tidegate"));
        }
        if let Some(endpoint) = endpoint {
            shared = shared.endpoint_url(endpoint);
        }
        let shared = shared.load().await;
        let (sent, received) = match checksums {
            Checksums::Always => (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported),
            Checksums::WhenRequired => {
                (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
            }
        };
        let config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(options.path_style)
            .request_checksum_calculation(sent)
            .response_checksum_validation(received);
        Ok(Self {
            client: Client::from_conf(config.build()),
            bucket,
            prefix,
            part_bytes: usize::try_from(part_bytes).unwrap_or(usize::MAX),
            parts_in_flight: options.parts_in_flight.max(1),
            stall_timeout,
            checksums,
            description,
        })
    }
}

/// The system's certificates and those of `ca_file`. All are looked at here, since the client would panic on bad ones;
/// a host may have none, and then only its own authority counts.
async fn trust_store(options: &S3Options) -> Result<TrustStore, BoxError> {
    let native = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
    let (usable, _) = RootCertStore::empty().add_parsable_certificates(native.certs);
    let trust = TrustStore::empty().with_native_roots(usable > 0);
    let Some(path) = &options.ca_file else { return Ok(trust) };
    let pem = tokio::fs::read(path).await.map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        return Err(format!("`{}` holds no certificate", path.display()).into());
    }
    Ok(trust.with_pem_certificate(pem))
}

/// `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, but never for this host.
fn proxy(endpoint: Option<&str>) -> ProxyConfig {
    let host = endpoint.and_then(|endpoint| endpoint.split_once("://")).map_or("", |(_, host)| host);
    let is_local = ["localhost", "127.", "[::1]"].iter().any(|local| host.starts_with(local));
    if is_local { ProxyConfig::disabled() } else { ProxyConfig::from_env() }
}

fn http_client(trust: TlsContext, proxy: ProxyConfig) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(Provider::rustls(CryptoMode::Ring))
            .tls_context(trust.clone())
            .proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.build()
    })
}
