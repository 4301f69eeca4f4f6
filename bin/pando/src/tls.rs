//! The certificate for TLS: the one that was given, or one made at the first start, as MySQL does.
//!
//! ```text
//! <data>/ca.pem            vouches for the next; for clients that want to check
//! <data>/server-cert.pem
//! <data>/server-key.pem    readable by the owner alone
//! ```
//! The key of ca.pem is forgotten once it has signed, so that nobody can make a second certificate.
//! server-cert.pem is written last: where it is, the others are.

use crate::options::TlsOptions;
use mysql_protocol::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const CA: &str = "ca.pem";
const CERTIFICATE: &str = "server-cert.pem";
const KEY: &str = "server-key.pem";

/// What TLS needs, from the files of `options` or from `data`. The error is a line for a person.
pub fn prepare(data: &Path, options: &TlsOptions) -> Result<Tls, String> {
    let (certificate, key) = match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => {
            make_missing(data).map_err(|error| format!("cannot make a certificate for TLS: {error}"))?;
            (data.join(CERTIFICATE), data.join(KEY))
        }
    };
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    Tls::from_pem(&read(&certificate)?, &read(&key)?)
        .map_err(|error| format!("{} and {}: {error}", certificate.display(), key.display()))
}

fn make_missing(data: &Path) -> Result<(), Box<dyn std::error::Error>> {
    if data.join(CERTIFICATE).exists() {
        return Ok(());
    }
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Pando automatically generated CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let names = ["localhost".to_string(), "127.0.0.1".to_string(), "::1".to_string(), host_name()];
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "Pando automatically generated server");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;

    write(data, KEY, &key.serialize_pem(), 0o600)?;
    write(data, CA, &issuer.pem(), 0o644)?;
    write(data, CERTIFICATE, &certificate.pem(), 0o644)?;
    Ok(())
}

/// The machine's name, as far as a certificate can hold it.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let name = if !name.is_empty() && name.chars().all(plain) { name } else { "localhost" };
    name.to_string()
}

/// Writes a file so that it is there whole or not at all.
fn write(folder: &Path, name: &str, text: &str, mode: u32) -> std::io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, folder.join(name))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_private() {
        let folder = std::env::temp_dir().join(format!("pando-tls-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let none = TlsOptions::default();
        prepare(&folder, &none).unwrap();
        let first = fs::read(folder.join(CERTIFICATE)).unwrap();
        prepare(&folder, &none).unwrap();
        assert_eq!(fs::read(folder.join(CERTIFICATE)).unwrap(), first);
        assert_eq!(fs::metadata(folder.join(KEY)).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!folder.join("ca-key.pem").exists());

        let given = TlsOptions { tls_cert: Some(folder.join(CERTIFICATE)), tls_key: Some(folder.join(CA)) };
        assert!(prepare(&folder, &given).unwrap_err().contains("private key"));
        let missing = TlsOptions { tls_cert: Some(folder.join("no.pem")), tls_key: Some(folder.join(KEY)) };
        assert!(prepare(&folder, &missing).unwrap_err().contains("no.pem"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
