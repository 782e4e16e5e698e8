use ring::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::Value;
use spki::der::asn1::{AnyRef, ObjectIdentifier};
use spki::der::pem::{LineEnding, PemLabel};
use spki::der::{Document, Tag};
use spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};

/// A public key that metadata lists as PEM: ECDSA on P-256, or RSA-PSS, both with SHA-256.
///
/// Repositories of other publishers have such keys; we read them and sign with none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemKey {
    scheme: PemScheme,
    /// The key's own bits: a point that is not compressed, or modulus and exponent. DER has one
    /// spelling of either, so equal keys are equal bytes.
    bits: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PemScheme {
    EcdsaP256,
    RsaPss,
}

impl PemKey {
    /// Returns the key, or `None` for what is none of a scheme that is known.
    pub(crate) fn parse(kind: &str, scheme: &str, public: &str) -> Option<PemKey> {
        let scheme = match (kind, scheme) {
            // Early repositories call the kind like the scheme.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => PemScheme::EcdsaP256,
            ("rsa", "rsassa-pss-sha256") => PemScheme::RsaPss,
            _ => return None,
        };
        let (label, document) = Document::from_pem(public).ok()?;
        Info::validate_pem_label(label).ok()?;
        let info = Info::try_from(document.as_bytes()).ok()?;
        let bits = info.subject_public_key.as_bytes()?;
        scheme.accepts(&info, bits).then(|| PemKey {
            scheme,
            bits: bits.to_vec(),
        })
    }

    /// Returns the key as a member of a `keys` object, in the one spelling that we write.
    pub(crate) fn to_json(&self) -> Option<Value> {
        let (algorithm, kind, scheme) = match self.scheme {
            PemScheme::EcdsaP256 => (
                spki::AlgorithmIdentifierRef {
                    oid: EC_PUBLIC_KEY,
                    parameters: Some(AnyRef::from(&P256)),
                },
                "ecdsa",
                "ecdsa-sha2-nistp256",
            ),
            PemScheme::RsaPss => (
                spki::AlgorithmIdentifierRef {
                    oid: RSA_ENCRYPTION,
                    parameters: Some(AnyRef::NULL),
                },
                "rsa",
                "rsassa-pss-sha256",
            ),
        };
        let info = SubjectPublicKeyInfoRef {
            algorithm,
            subject_public_key: spki::der::asn1::BitStringRef::from_bytes(&self.bits).ok()?,
        };
        let document = Document::try_from(info).ok()?;
        let public = document.to_pem(Info::PEM_LABEL, LineEnding::LF).ok()?;
        Some(serde_json::json!({
            "keytype": kind,
            "keyval": { "public": public },
            "scheme": scheme,
        }))
    }

    pub(crate) fn material(&self) -> Vec<u8> {
        self.bits.clone()
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn VerificationAlgorithm = match self.scheme {
            PemScheme::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            PemScheme::RsaPss => &RSA_PSS_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.bits)
            .verify(message, signature)
            .is_ok()
    }
}

impl PemScheme {
    /// Whether the key is of the kind that it says: what the curve or the modulus is worth is judged
    /// with each signature.
    fn accepts(self, info: &Info<'_>, bits: &[u8]) -> bool {
        let algorithm = &info.algorithm;
        match self {
            PemScheme::EcdsaP256 => {
                let curve = algorithm.parameters_oid();
                algorithm.oid == EC_PUBLIC_KEY
                    && curve == Ok(P256)
                    && bits.len() == P256_POINT_BYTES
                    && bits.first() == Some(&UNCOMPRESSED)
            }
            PemScheme::RsaPss => {
                let is_null = |any: &AnyRef<'_>| spki::der::Tagged::tag(any) == Tag::Null;
                algorithm.oid == RSA_ENCRYPTION
                    && algorithm.parameters.as_ref().is_none_or(is_null)
                    && bits.len() <= MOST_RSA_BYTES
            }
        }
    }
}

type Info<'a> = SubjectPublicKeyInfo<AnyRef<'a>, spki::der::asn1::BitStringRef<'a>>;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const P256_POINT_BYTES: usize = 65;
const UNCOMPRESSED: u8 = 4;
/// A modulus of 8192 bits, an exponent, and what DER puts around them.
const MOST_RSA_BYTES: usize = 1100;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::key::PublicKey;
    use super::*;

    /// Keys and signatures as python-tuf's signer makes them, and what must not pass for them; `fixtures`
    /// keeps them since, written once and never again.
    fn cases() -> (Vec<u8>, Vec<Value>) {
        let text = include_str!("../../fixtures/signatures-v1/cases.json");
        let file: Value = serde_json::from_str(text).unwrap();
        let message = file["message"].as_str().unwrap().as_bytes().to_vec();
        (message, file["cases"].as_array().unwrap().clone())
    }

    #[test]
    fn every_kind_of_key_verifies_its_own_signatures_and_no_others() {
        let (message, cases) = cases();
        let mut verified = BTreeSet::new();
        for case in cases {
            let name = case["case"].as_str().unwrap();
            let key = PublicKey::from_json(&case["key"]);
            let signature = hex::decode(case["signature"].as_str().unwrap()).unwrap();
            let verifies = key.verifies(&message, &signature);
            assert_eq!(verifies, case["verifies"], "{name}");
            if verifies {
                verified.insert(name.to_owned());
            }
        }
        let expected = ["ecdsa", "ed25519", "kind called like the scheme", "rsa"];
        assert_eq!(verified, expected.map(str::to_owned).into());
    }

    #[test]
    fn no_flipped_bit_of_a_signature_passes() {
        let (message, cases) = cases();
        for case in cases.iter().filter(|case| case["verifies"] == true) {
            let key = PublicKey::from_json(&case["key"]);
            let signature = hex::decode(case["signature"].as_str().unwrap()).unwrap();
            for bit in 0..signature.len() * 8 {
                let mut flipped = signature.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!key.verifies(&message, &flipped), "{} {bit}", case["case"]);
            }
        }
    }

    #[test]
    fn key_that_is_written_is_read_as_the_same() {
        let (_, cases) = cases();
        for case in cases.iter().filter(|case| case["verifies"] == true) {
            let key = PublicKey::from_json(&case["key"]);
            let written = key.to_json().unwrap();
            assert_eq!(PublicKey::from_json(&written), key);
            assert_eq!(written["keyval"], case["key"]["keyval"], "{}", case["case"]);
        }
    }

    #[test]
    fn one_key_under_two_names_is_the_same_material() {
        let (_, cases) = cases();
        let named = |name: &str| {
            let case = cases.iter().find(|case| case["case"] == name).unwrap();
            PublicKey::from_json(&case["key"]).material().unwrap()
        };
        assert_eq!(named("ecdsa"), named("kind called like the scheme"));
        assert_ne!(named("ecdsa"), named("rsa"));
    }

    fn pem(oid: ObjectIdentifier, parameters: Option<AnyRef<'_>>, bits: &[u8]) -> String {
        let info = SubjectPublicKeyInfoRef {
            algorithm: spki::AlgorithmIdentifierRef { oid, parameters },
            subject_public_key: spki::der::asn1::BitStringRef::from_bytes(bits).unwrap(),
        };
        let document = Document::try_from(info).unwrap();
        document.to_pem(Info::PEM_LABEL, LineEnding::LF).unwrap()
    }

    fn point(first: u8) -> Vec<u8> {
        let mut point = vec![7; P256_POINT_BYTES];
        point[0] = first;
        point
    }

    #[test]
    fn an_elliptic_key_is_a_whole_point_of_its_curve() {
        let is_taken = |pem: &str| PemKey::parse("ecdsa", "ecdsa-sha2-nistp256", pem).is_some();
        let curve = Some(AnyRef::from(&P256));
        assert!(is_taken(&pem(EC_PUBLIC_KEY, curve, &point(UNCOMPRESSED))));
        let another = ObjectIdentifier::new_unwrap("1.3.132.0.34");
        for refused in [
            pem(EC_PUBLIC_KEY, curve, &point(2)),
            pem(EC_PUBLIC_KEY, curve, &point(UNCOMPRESSED)[1..]),
            pem(EC_PUBLIC_KEY, curve, &[]),
            pem(EC_PUBLIC_KEY, None, &point(UNCOMPRESSED)),
            pem(
                EC_PUBLIC_KEY,
                Some(AnyRef::from(&another)),
                &point(UNCOMPRESSED),
            ),
            pem(RSA_ENCRYPTION, curve, &point(UNCOMPRESSED)),
        ] {
            assert!(!is_taken(&refused), "{refused}");
        }
    }

    #[test]
    fn an_rsa_key_has_no_parameters_and_no_more_bits_than_are_verified() {
        let is_taken = |pem: &str| PemKey::parse("rsa", "rsassa-pss-sha256", pem).is_some();
        let (null, modulus) = (Some(AnyRef::NULL), [7; MOST_RSA_BYTES]);
        assert!(is_taken(&pem(RSA_ENCRYPTION, null, &modulus)));
        assert!(is_taken(&pem(RSA_ENCRYPTION, None, &modulus)));
        for refused in [
            pem(RSA_ENCRYPTION, null, &[7; MOST_RSA_BYTES + 1]),
            pem(RSA_ENCRYPTION, Some(AnyRef::from(&P256)), &modulus),
            pem(EC_PUBLIC_KEY, null, &modulus),
        ] {
            assert!(!is_taken(&refused), "{refused}");
        }
    }
}
