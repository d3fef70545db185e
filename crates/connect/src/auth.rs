//! The token that a client must show.

use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Lets calls through that carry the token as `authorization: Bearer <token>`; all calls if there is no token.
#[derive(Clone)]
pub struct TokenCheck {
    expected: Option<String>,
}

impl TokenCheck {
    /// A check for this token.
    pub fn new(token: Option<&str>) -> Self {
        Self { expected: token.map(|token| format!("Bearer {token}")) }
    }
}

impl Interceptor for TokenCheck {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(expected) = &self.expected else { return Ok(request) };
        let shown = request.metadata().get("authorization").map_or(&[][..], |value| value.as_bytes());
        if same(expected.as_bytes(), shown) {
            Ok(request)
        } else {
            Err(Status::unauthenticated("the token is missing or wrong"))
        }
    }
}

/// Compares in a time that does not depend on where the texts differ.
fn same(expected: &[u8], shown: &[u8]) -> bool {
    let differences = expected.iter().zip(shown).fold(0u8, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differences) == 0 && expected.len() == shown.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(expected: Option<&str>, shown: Option<&str>) -> bool {
        let mut request = Request::new(());
        if let Some(shown) = shown {
            request.metadata_mut().insert("authorization", shown.parse().expect("header"));
        }
        TokenCheck::new(expected).call(request).is_ok()
    }

    #[test]
    fn only_the_whole_token_opens() {
        assert!(allowed(Some("secret"), Some("Bearer secret")));
        assert!(allowed(None, None));
        for shown in [None, Some("Bearer"), Some("Bearer secre"), Some("Bearer secret2"), Some("secret")] {
            assert!(!allowed(Some("secret"), shown), "{shown:?}");
        }
    }
}
