//! A certificate authority in memory that signs whatever a test wants, right or wrong.
//! Checks nothing and writes no file; keys are made anew for each certificate.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

use super::super::LinkPems;
use crate::identity;
use crate::message::Role;
use crate::peer::NodeName;

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// What a certificate should say.
pub(super) struct Wish {
    pub(super) uri: Option<String>,
    pub(super) host: String,
    pub(super) server: bool,
    pub(super) years: (i32, i32),
}

impl Wish {
    pub(super) fn new(name: &str, role: Role) -> Self {
        let name = NodeName::parse(name).unwrap();
        Self {
            uri: Some(identity::uri("test", &name, role)),
            host: name.host().to_owned(),
            server: role == Role::Node,
            years: (2020, 2200),
        }
    }
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = ca_params();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// An authority below this one and its own certificate.
    pub(super) fn intermediate(&self) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = ca_params();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "intermediate");
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    pub(super) fn issue(&self, wish: &Wish) -> LinkPems {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        let host = match wish.host.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(wish.host.clone().try_into().unwrap()),
        };
        params.subject_alt_names.push(host);
        if let Some(uri) = &wish.uri {
            let uri = SanType::URI(uri.clone().try_into().unwrap());
            params.subject_alt_names.push(uri);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if wish.server {
            let server = ExtendedKeyUsagePurpose::ServerAuth;
            params.extended_key_usages.push(server);
        }
        params.not_before = rcgen::date_time_ymd(wish.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(wish.years.1, 1, 1);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        LinkPems {
            key: key.serialize_pem().into(),
            cert_chain: cert.pem().into(),
            ca_certs: vec![self.pem.clone().into()],
        }
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}
