//! The authority that opens the build's HTTPS: made for one build, trusted by nobody else.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber, date_time_ymd,
};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::PrivatePkcs8KeyDer,
    version::{TLS12, TLS13},
};

use super::GatewayError;
use crate::model::Digest;

const NAME: &str = "reprov build gateway";
/// Another name than the authority's: OpenSSL takes a certificate whose issuer has its own name for self-signed.
const LEAF_NAME: &str = "reprov build gateway, one host";
/// Hosts whose certificates are kept; beyond, they are made anew.
const HOSTS_MAX: usize = 1024;

/// A certificate authority of P-256 keys, valid from 2000 to 2049 so that a build at any clock accepts it.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    leaf_key: KeyPair,
    hosts: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").finish_non_exhaustive()
    }
}

impl Ca {
    /// Makes new keys and the authority's certificate.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn generate() -> Result<Self, GatewayError> {
        let fail = |source| GatewayError::Certificate { name: NAME.to_owned(), source };
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fail);
        let mut params = params(NAME, Vec::new()).map_err(fail)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key()?).map_err(fail)?;
        Ok(Self { issuer, leaf_key: key()?, hosts: Mutex::default() })
    }

    /// The authority's certificate, for the build to trust.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// TLS as `host`, HTTP/1.1 only.
    pub(super) fn server(&self, host: &str) -> Result<Arc<ServerConfig>, GatewayError> {
        let hosts = || self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = hosts().get(host) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.leaf(host)?);
        let mut hosts = hosts();
        if hosts.len() >= HOSTS_MAX {
            hosts.clear();
        }
        hosts.insert(host.to_owned(), Arc::clone(&config));
        Ok(config)
    }

    fn leaf(&self, host: &str) -> Result<ServerConfig, GatewayError> {
        let fail = |source| GatewayError::Certificate { name: host.to_owned(), source };
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let mut params = params(LEAF_NAME, vec![name]).map_err(fail)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let mut serial = Digest::of(host.as_bytes()).bytes()[..16].to_vec();
        serial[0] = serial[0] & 0x3f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let leaf = params.signed_by(&self.leaf_key, &self.issuer).map_err(fail)?;
        let key = PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .and_then(|builder| {
                builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key.into())
            });
        let mut config = config.map_err(|source| GatewayError::Tls { name: host.to_owned(), source })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn params(name: &str, hosts: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(hosts)?;
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_one_configuration() {
        let ca = Ca::generate().unwrap();
        let first = ca.server("mirror.example.org").unwrap();
        assert!(Arc::ptr_eq(&first, &ca.server("mirror.example.org").unwrap()));
        assert_eq!(first.alpn_protocols, [b"http/1.1"]);
        assert!(ca.server("[::1]").is_ok());
        assert!(ca.server("not a host\u{e9}").is_err());
    }

    #[test]
    fn every_build_has_its_own() {
        assert_ne!(Ca::generate().unwrap().pem(), Ca::generate().unwrap().pem());
    }
}
