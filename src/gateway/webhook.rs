//! A webhook as the one who says who clients are.

use http::header;

use super::authority::{Authenticate, Credentials, Denied, Identity};
use crate::{
    broker::Pending,
    upstream::webhook::{Knock, Turned, Webhook},
};

/// Asks the application about each `hello` and each `auth`; nothing is remembered.
///
/// A cookie is passed on only where a page that may connect stands behind the request: one whose `Origin` was checked, or
/// that the browser calls `same-origin`.
impl Authenticate for Webhook {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        let headers = &credentials.headers;
        let is_same = headers.get("sec-fetch-site").is_some_and(|site| site.as_bytes() == b"same-origin");
        let knock = Knock {
            token: credentials.token.as_ref().map(|token| token.reveal()),
            headers,
            with_cookies: headers.contains_key(header::ORIGIN) || is_same,
            remote: credentials.remote,
        };
        Box::pin(async move {
            let admitted = self.open(&knock).await.map_err(|turned| match turned {
                Turned::Unauthorized => Denied::Unauthorized,
                Turned::Forbidden => Denied::Forbidden,
                Turned::Unavailable => Denied::Unavailable,
            })?;
            Ok(Identity { user: admitted.user, info: admitted.info, ..Identity::default() })
        })
    }
}
