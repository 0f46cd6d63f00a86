//! The settings of the pages.

use skriptoteket_config::Reported;

use super::{reader::Reader, settings as s};
use crate::pages::PageSettings;

pub(super) fn settings(reader: &mut Reader<'_>) -> Result<PageSettings, Reported> {
    let product_name = reader.get(&s::PRODUCT_NAME);
    let logo_file = reader.get(&s::LOGO_FILE);
    let accent_color = reader.get(&s::ACCENT_COLOR);
    let accent_color_dark = reader.get(&s::ACCENT_COLOR_DARK);
    let language = reader.get(&s::LANGUAGE);
    Ok(PageSettings {
        product_name: product_name?.value,
        logo_file: logo_file?.value,
        accent_color: accent_color?.value,
        accent_color_dark: accent_color_dark?.value,
        language: language?.value,
    })
}
