//! Query parameters and path segments.

use std::{
    future::{Ready, ready},
    str::FromStr,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use crate::{error::ApiError, rejection::Rejection};

/// Maximum page size of a list, and the default.
const LARGEST_PAGE: u32 = 200;
const USUAL_PAGE: u32 = 50;

/// The query parameters of a request, not parsed yet.
#[derive(Debug)]
pub struct Parameters(String);

impl FromRequest for Parameters {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(request.query_string().to_owned())))
    }
}

impl Parameters {
    /// Returns the values of the parameters with these names. An empty value counts as absent.
    ///
    /// # Errors
    ///
    /// [`Rejection::Parameter`] for an unknown or repeated parameter: ignoring a misspelt filter would show, or end,
    /// more than was asked for.
    pub fn named<const N: usize>(
        &self,
        names: [&'static str; N],
    ) -> Result<[Option<String>; N], Rejection> {
        let mut values = [const { None }; N];
        for (name, value) in url::form_urlencoded::parse(self.0.as_bytes()) {
            let known = names.iter().position(|it| *it == name);
            let known = known.ok_or_else(|| {
                Rejection::Parameter(format!("the parameters are: {}", names.join(", ")))
            })?;
            if values[known].is_some() {
                return Err(Rejection::Parameter(format!("{name} is repeated")));
            }
            values[known] = Some(value.into_owned());
        }
        Ok(values.map(|value| value.filter(|value| !value.is_empty())))
    }
}

/// Returns the value of `limit`: the number of entries of a page.
///
/// # Errors
///
/// [`Rejection::Parameter`] if it is not a number in the range.
pub fn page_size(limit: Option<&str>) -> Result<u32, Rejection> {
    let Some(limit) = limit else {
        return Ok(USUAL_PAGE);
    };
    let size = limit.parse().ok();
    size.filter(|size| (1..=LARGEST_PAGE).contains(size))
        .ok_or_else(|| {
            Rejection::Parameter(format!("limit must be a number from 1 to {LARGEST_PAGE}"))
        })
}

/// The `{id}` of the path. A text that is not a valid id results in 404.
#[derive(Debug)]
pub struct Segment<T>(pub T);

impl<T: FromStr> FromRequest for Segment<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request
            .match_info()
            .get("id")
            .and_then(|id| id.parse().ok());
        ready(id.map(Self).ok_or_else(|| Rejection::NotFound.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<[Option<String>; 2], Rejection> {
        Parameters(query.to_owned()).named(["role", "limit"])
    }

    #[test]
    fn parameters_are_read_by_name_and_empty_ones_are_none() {
        assert_eq!(read(""), Ok([None, None]));
        assert_eq!(read("role=&limit="), Ok([None, None]));
        assert_eq!(
            read("limit=%35&role=a+b"),
            Ok([Some("a b".into()), Some("5".into())])
        );
    }

    #[test]
    fn unknown_and_double_parameters_are_refused() {
        assert!(read("rolle=admin").is_err());
        assert!(read("role=admin&role=user").is_err());
        assert!(read("&&&role").is_ok());
        assert!(read("%ff=%00").is_err());
    }

    #[test]
    fn a_page_has_1_to_200_entries() {
        assert_eq!(page_size(None), Ok(50));
        assert_eq!(page_size(Some("200")), Ok(200));
        for bad in ["0", "201", "-1", "1e2", "ten", "99999999999"] {
            assert!(page_size(Some(bad)).is_err(), "{bad}");
        }
    }
}
