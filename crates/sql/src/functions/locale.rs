//! FORMAT: numbers as people of a country write them.

use super::kernel::{Function, Nulls, Returns, build_text, functions};
use super::warnings;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};
use types::ErrorKind;

functions! {
    /// format_number(number as text with all its digits, decimals, locale)
    format_number, "format_number", Returns::Type(DataType::Utf8View), Always, |args| {
        let (numbers, decimals) = (args.texts(0)?, args.numbers::<Int64Type>(1)?);
        let locales = args.texts(2)?;
        let constant = locales.constant().map(style_of);
        build_text(args.rows, |row, out| {
            let (Some(number), Some(decimals)) = (numbers.get(row), decimals.get(row)) else { return Ok(None) };
            let style = constant.unwrap_or_else(|| style_of(locales.get(row)));
            write_grouped(out, number, decimals.clamp(0, 30) as usize, style);
            Ok(Some(()))
        })
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Style {
    point: char,
    /// What stands between groups of three digits.
    comma: Option<char>,
    /// Only the last group has three digits, the others two.
    pairs: bool,
}

const fn style(point: char, comma: Option<char>) -> Style {
    Style { point, comma, pairs: false }
}

const ENGLISH: Style = style('.', Some(','));

/// Locales that do not write numbers as in English, by what they write.
const STYLES: &[(Style, &[&str])] = &[
    (
        style(',', Some('.')),
        &[
            "be_BY", "da_DK", "de_BE", "de_DE", "de_LU", "es_AR", "es_BO", "es_CL", "es_CO", "es_EC",
            "es_ES", "es_PY", "es_UY", "es_VE", "fo_FO", "hu_HU", "id_ID", "is_IS", "lt_LT", "mn_MN",
            "nb_NO", "no_NO", "ro_RO", "ru_UA", "sq_AL", "tr_TR", "uk_UA", "vi_VN",
        ],
    ),
    (style('.', None), &["ar_SA", "sr_RS"]),
    (
        style(',', None),
        &[
            "bg_BG", "ca_ES", "de_AT", "el_GR", "eu_ES", "fr_BE", "fr_CA", "fr_CH", "fr_FR", "fr_LU",
            "gl_ES", "hr_HR", "it_IT", "nl_BE", "nl_NL", "pl_PL", "pt_BR", "pt_PT", "sl_SI",
        ],
    ),
    (
        style(',', Some(' ')),
        &["cs_CZ", "es_CR", "et_EE", "fi_FI", "lv_LV", "mk_MK", "ru_RU", "sk_SK", "sv_FI", "sv_SE"],
    ),
    (Style { point: '.', comma: Some(','), pairs: true }, &["en_IN", "ta_IN", "te_IN"]),
    (style('.', Some('\'')), &["de_CH"]),
    (style(',', Some('\'')), &["it_CH", "rm_CH"]),
];

const LIKE_ENGLISH: &[&str] = &[
    "ar_AE", "ar_BH", "ar_DZ", "ar_EG", "ar_IN", "ar_IQ", "ar_JO", "ar_KW", "ar_LB", "ar_LY", "ar_MA",
    "ar_OM", "ar_QA", "ar_SD", "ar_SY", "ar_TN", "ar_YE", "en_AU", "en_CA", "en_GB", "en_NZ", "en_PH",
    "en_US", "en_ZA", "en_ZW", "es_DO", "es_GT", "es_HN", "es_MX", "es_NI", "es_PA", "es_PE", "es_PR",
    "es_SV", "es_US", "gu_IN", "he_IL", "hi_IN", "ja_JP", "ko_KR", "ms_MY", "th_TH", "ur_PK", "zh_CN",
    "zh_HK", "zh_TW",
];

/// How a locale writes numbers. One that is not known writes as in English, with a warning.
fn style_of(name: Option<&str>) -> Style {
    let is = |known: &&str| name.is_some_and(|name| known.eq_ignore_ascii_case(name));
    if let Some((style, _)) = STYLES.iter().find(|(_, names)| names.iter().any(is)) {
        return *style;
    }
    if !LIKE_ENGLISH.iter().any(is) {
        warnings::warn(ErrorKind::UnknownLocale, || format!("Unknown locale: '{}'", name.unwrap_or("NULL")));
    }
    ENGLISH
}

/// Rounded to `decimals`, its digits in groups.
fn write_grouped(out: &mut String, number: &str, decimals: usize, style: Style) {
    let rounded = super::numerals::round_decimal_text(number, decimals);
    let (sign, digits) = match rounded.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", rounded.as_str()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    out.push_str(sign);
    for (at, digit) in whole.chars().enumerate() {
        let left = whole.len() - at;
        let begins_group = if style.pairs && left > 3 { left % 2 == 1 } else { left % 3 == 0 };
        if at > 0 && begins_group {
            out.extend(style.comma);
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push(style.point);
        out.push_str(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups() {
        for (locale, expected) in [
            ("en_US", "-1,234,567.50"),
            ("DE_de", "-1.234.567,50"),
            ("fr_FR", "-1234567,50"),
            ("te_IN", "-12,34,567.50"),
            ("de_CH", "-1'234'567.50"),
            ("nowhere", "-1,234,567.50"),
        ] {
            let mut out = String::new();
            write_grouped(&mut out, "-1234567.499", 2, style_of(Some(locale)));
            assert_eq!(out, expected, "{locale}");
        }
        for (digits, expected) in
            [("100", "100"), ("1000", "1,000"), ("100000", "1,00,000"), ("10000", "10,000")]
        {
            let mut out = String::new();
            write_grouped(&mut out, digits, 0, style_of(Some("en_IN")));
            assert_eq!(out, expected);
        }
    }
}
