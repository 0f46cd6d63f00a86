//! What operators configure of the pages, and the files that every page refers to.

use std::{fmt::Write, fs, path::PathBuf};

use actix_web::{
    HttpResponse,
    http::header,
    web::{Bytes, Data, Path},
};
use sha2::{Digest, Sha256};
use skriptoteket_actix::{ApiError, Rejection};

use super::{
    Pages,
    color::{Color, DARK, LIGHT},
    language::Language,
};

/// The settings of the pages.
#[derive(Clone, Debug)]
pub struct PageSettings {
    /// The name in titles and in the header.
    pub product_name: String,
    /// The file of the logo: SVG or PNG.
    pub logo_file: Option<PathBuf>,
    /// The colour of links and buttons in the light theme.
    pub accent_color: Color,
    /// The same in the dark theme.
    pub accent_color_dark: Color,
    /// The language of all pages. `None`: the one that the browser prefers.
    pub language: Option<Language>,
}

/// Maximum size of a logo, in bytes.
const MAX_LOGO: u64 = 256 * 1024;

/// The logo cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogoError {
    /// The file cannot be read.
    #[error("{path}: cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too large.
    #[error("{path}: expected at most 256 KiB")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is of another type.
    #[error("{path}: expected an SVG or PNG image")]
    UnknownType {
        /// The file.
        path: PathBuf,
    },
}

/// A file of the pages. Its name contains a hash of its content, so that browsers may keep it without asking again.
#[derive(Debug)]
struct Asset {
    /// The path under which it is served.
    path: String,
    media_type: &'static str,
    content: Bytes,
}

impl Asset {
    fn new(name: &str, extension: &str, media_type: &'static str, content: Vec<u8>) -> Self {
        let mut hash = String::new();
        for byte in &Sha256::digest(&content)[..8] {
            let _ = write!(hash, "{byte:02x}");
        }
        Self {
            path: format!("/assets/{name}-{hash}.{extension}"),
            media_type,
            content: content.into(),
        }
    }
}

/// The name, the language and the files of the pages. Created once.
#[derive(Debug)]
pub struct Branding {
    pub(super) product_name: String,
    pub(super) language: Option<Language>,
    style: Asset,
    script: Asset,
    icon: Asset,
    logo: Option<Asset>,
}

impl Branding {
    /// Reads the logo and creates the style sheet.
    ///
    /// # Errors
    ///
    /// [`LogoError`] if the logo cannot be used.
    pub fn load(settings: &PageSettings) -> Result<Self, LogoError> {
        let style = format!(
            ":root{{--background:{LIGHT};--background-dark:{DARK};--accent:{};--accent-dark:{}}}\n{}",
            settings.accent_color,
            settings.accent_color_dark,
            include_str!("assets/pages.css")
        );
        let script = include_str!("assets/pages.js");
        let icon = include_str!("assets/icon.svg");
        Ok(Self {
            product_name: settings.product_name.clone(),
            language: settings.language,
            style: Asset::new("pages", "css", "text/css; charset=utf-8", style.into()),
            script: Asset::new(
                "pages",
                "js",
                "text/javascript; charset=utf-8",
                script.into(),
            ),
            icon: Asset::new("icon", "svg", "image/svg+xml", icon.into()),
            logo: settings.logo_file.as_ref().map(logo).transpose()?,
        })
    }

    pub(super) fn style(&self) -> &str {
        &self.style.path
    }

    pub(super) fn script(&self) -> &str {
        &self.script.path
    }

    pub(super) fn icon(&self) -> &str {
        &self.icon.path
    }

    pub(super) fn logo(&self) -> Option<&str> {
        self.logo.as_ref().map(|it| it.path.as_str())
    }

    fn asset(&self, path: &str) -> Option<&Asset> {
        let all = [&self.style, &self.script, &self.icon];
        let mut all = all.into_iter().chain(&self.logo);
        all.find(|it| it.path == path)
    }
}

fn logo(path: &PathBuf) -> Result<Asset, LogoError> {
    let unreadable = |source| LogoError::Unreadable {
        path: path.clone(),
        source,
    };
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_LOGO {
        return Err(LogoError::TooLarge { path: path.clone() });
    }
    let content = fs::read(path).map_err(unreadable)?;
    let text = str::from_utf8(&content).unwrap_or_default();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let is_markup = ["<svg", "<?xml", "<!--", "<!DOCTYPE svg"]
        .iter()
        .any(|it| text.starts_with(it));
    if content.starts_with(b"\x89PNG\r\n\x1a\n") {
        Ok(Asset::new("logo", "png", "image/png", content))
    } else if is_markup && text.contains("<svg") {
        Ok(Asset::new("logo", "svg", "image/svg+xml", content))
    } else {
        Err(LogoError::UnknownType { path: path.clone() })
    }
}

/// Serves a file of the pages.
pub(super) async fn asset(
    pages: Data<Pages>,
    file: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let path = format!("/assets/{file}");
    let asset = pages.branding().asset(&path).ok_or(Rejection::NotFound)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, asset.media_type))
        // Drawings may have styles of their own; as images they run no script anyway.
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'",
        ))
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(asset.content.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(logo_file: Option<PathBuf>) -> PageSettings {
        PageSettings {
            product_name: "Example".into(),
            logo_file,
            accent_color: "#1d4ed8".parse().unwrap(),
            accent_color_dark: "#93c5fd".parse().unwrap(),
            language: None,
        }
    }

    #[test]
    fn a_name_changes_with_the_content() {
        let one = Branding::load(&settings(None)).unwrap();
        let mut other = settings(None);
        other.accent_color = "#000000".parse().unwrap();
        let other = Branding::load(&other).unwrap();
        assert_ne!(one.style(), other.style());
        assert_eq!(one.script(), other.script());
        assert!(one.asset(other.style()).is_none());
        assert!(one.script.content.len() <= 10 * 1024);
    }

    #[test]
    fn a_logo_is_an_svg_or_png_image_of_a_moderate_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logo");
        let load = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            Branding::load(&settings(Some(path.clone())))
        };
        for (content, extension) in [
            (&b"\x89PNG\r\n\x1a\nrest"[..], ".png"),
            (b"\n<svg xmlns='http://www.w3.org/2000/svg'/>", ".svg"),
            (b"<?xml version='1.0'?><svg/>", ".svg"),
            (b"\xef\xbb\xbf<!-- made by an editor --><svg/>", ".svg"),
        ] {
            let branding = load(content).unwrap();
            assert!(branding.logo().unwrap().ends_with(extension));
        }
        for content in [&b"<html><svg>"[..], b"GIF89a", b"", b"<?xml?><a/>"] {
            assert!(matches!(load(content), Err(LogoError::UnknownType { .. })));
        }
        assert!(matches!(
            load(&vec![b' '; 300_000]),
            Err(LogoError::TooLarge { .. })
        ));
        let missing = Branding::load(&settings(Some(dir.path().join("none"))));
        assert!(matches!(missing, Err(LogoError::Unreadable { .. })));
    }
}
